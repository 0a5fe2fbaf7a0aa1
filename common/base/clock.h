// Time as an interface, so that tests can set it.

#ifndef CTLSTORE_COMMON_BASE_CLOCK_H_
#define CTLSTORE_COMMON_BASE_CLOCK_H_

#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/base/event.h"

namespace ctlstore {

// Thread-safe. What needs the time takes a `Clock*` that outlives it.
class Clock {
 public:
  virtual ~Clock() = default;

  virtual absl::Time Now() = 0;

  // The time since some moment in the past, which nobody can set. For measuring how long things
  // last; Now() is for showing when they were. The machine's, unless a test says otherwise.
  virtual absl::Duration SteadyNow();

  // Waits for `duration` or until `stop` is notified, whichever comes first. Returns whether `stop`
  // is notified.
  virtual bool SleepOrStop(absl::Duration duration, absl::Notification* stop) = 0;

  // The same until `event` is notified, and for as long on the steady clock: the other one may be
  // set meanwhile.
  virtual bool SleepOrWake(absl::Duration duration, Event* event);

  // The machine's clock; lives as long as the process.
  static Clock* Real();
};

}  // namespace ctlstore

#endif  // CTLSTORE_COMMON_BASE_CLOCK_H_
