#include "common/base/lock_order.h"

#include "absl/synchronization/mutex.h"

namespace ctlstore {

void StopWatchingLockOrder() {
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
}

}  // namespace ctlstore
