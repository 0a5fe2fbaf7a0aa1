#include "common/object_store/retry.h"

namespace ctlstore::object_store {

bool Retry::Again() {
  if (attempts_ >= options_.max_attempts) return false;
  ++attempts_;
  return !options_.clock->SleepOrStop(backoff_.Next(), stop_);
}

void Retry::Progress() {
  attempts_ = 1;
  backoff_.Reset();
}

}  // namespace ctlstore::object_store
