#include "executive/ledger_turn.h"

#include <algorithm>

namespace ctlstore::executive {

bool LedgerTurn::Take(absl::Time deadline) {
  absl::MutexLock lock(&mutex_);
  if (!taken_) {
    taken_ = true;
    return true;
  }
  Waiter self;
  waiters_.push_back(&self);
  while (!self.has_turn) {
    if (self.called.WaitWithDeadline(&mutex_, deadline) && !self.has_turn) {
      waiters_.erase(std::find(waiters_.begin(), waiters_.end(), &self));
      return false;
    }
  }
  return true;
}

void LedgerTurn::Give() {
  absl::MutexLock lock(&mutex_);
  if (waiters_.empty()) {
    taken_ = false;
    return;
  }
  // Handed over directly, so that nobody can come in between.
  Waiter* const next = waiters_.front();
  waiters_.pop_front();
  next->has_turn = true;
  next->called.Signal();
}

}  // namespace ctlstore::executive
