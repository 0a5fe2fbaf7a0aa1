// Whose turn it is, among the calls of one executive, to write to the ledger.

#ifndef CTLSTORE_EXECUTIVE_LEDGER_TURN_H_
#define CTLSTORE_EXECUTIVE_LEDGER_TURN_H_

#include <deque>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace ctlstore::executive {

// Only one transaction at a time can hold the ctldb's ledger lock. Calls of one process wait for it
// here, first come, first served, and without a connection: a queue in the database would hold one
// for each call and is slower. Other processes are not kept out: the ledger lock does that.
// Thread-safe.
class LedgerTurn {
 public:
  LedgerTurn() = default;
  LedgerTurn(const LedgerTurn&) = delete;
  LedgerTurn& operator=(const LedgerTurn&) = delete;

  // Waits until nobody else has the turn. False where `deadline` came first; then there is nothing
  // to give back.
  bool Take(absl::Time deadline);

  // To be called once after each Take() that returned true.
  void Give();

 private:
  struct Waiter {
    absl::CondVar called;
    bool has_turn = false;
  };

  absl::Mutex mutex_;
  bool taken_ ABSL_GUARDED_BY(mutex_) = false;
  std::deque<Waiter*> waiters_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace ctlstore::executive

#endif  // CTLSTORE_EXECUTIVE_LEDGER_TURN_H_
