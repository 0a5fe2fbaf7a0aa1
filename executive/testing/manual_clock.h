// A clock that a test sets.

#ifndef CTLSTORE_EXECUTIVE_TESTING_MANUAL_CLOCK_H_
#define CTLSTORE_EXECUTIVE_TESTING_MANUAL_CLOCK_H_

#include <atomic>
#include <cstdint>

#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "common/base/clock.h"

namespace ctlstore::executive {

// Stands still until it is told to go on; a sleeper takes it along at once. Thread-safe.
class ManualClock : public Clock {
 public:
  absl::Time Now() override { return absl::FromUnixNanos(now_); }

  bool SleepOrStop(absl::Duration duration, absl::Notification* stop) override {
    Advance(duration);
    return stop->HasBeenNotified();
  }

  // Negative to set it back.
  void Advance(absl::Duration duration) { now_ += absl::ToInt64Nanoseconds(duration); }

 private:
  std::atomic<int64_t> now_{int64_t{1700000000} * 1000000000};
};

}  // namespace ctlstore::executive

#endif  // CTLSTORE_EXECUTIVE_TESTING_MANUAL_CLOCK_H_
