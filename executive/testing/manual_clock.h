// A clock that a test sets.

#ifndef CTLSTORE_EXECUTIVE_TESTING_MANUAL_CLOCK_H_
#define CTLSTORE_EXECUTIVE_TESTING_MANUAL_CLOCK_H_

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "common/base/clock.h"

namespace ctlstore::executive {

// Stands still between the test's calls. Thread-safe.
class ManualClock : public Clock {
 public:
  explicit ManualClock(absl::Time now) : now_(now) {}

  absl::Time Now() override {
    absl::MutexLock lock(&mutex_);
    return now_;
  }

  bool SleepOrStop(absl::Duration duration, absl::Notification* stop) override {
    mutex_.Lock();
    const absl::Duration end = passed_ + duration;
    mutex_.Unlock();
    while (!stop->WaitForNotificationWithTimeout(absl::Milliseconds(1))) {
      absl::MutexLock lock(&mutex_);
      if (passed_ >= end) return false;
    }
    return true;
  }

  // Time passes, for sleepers too.
  void Advance(absl::Duration duration) {
    absl::MutexLock lock(&mutex_);
    now_ += duration;
    passed_ += duration;
  }

  // The time of day is set, also back; sleepers sleep on.
  void Set(absl::Time now) {
    absl::MutexLock lock(&mutex_);
    now_ = now;
  }

 private:
  absl::Mutex mutex_;
  absl::Time now_ ABSL_GUARDED_BY(mutex_);
  absl::Duration passed_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace ctlstore::executive

#endif  // CTLSTORE_EXECUTIVE_TESTING_MANUAL_CLOCK_H_
