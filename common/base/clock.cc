#include "common/base/clock.h"

#include <chrono>

namespace ctlstore {
namespace {

class RealClock : public Clock {
 public:
  absl::Time Now() override { return absl::Now(); }
  bool SleepOrStop(absl::Duration duration, absl::Notification* stop) override {
    return stop->WaitForNotificationWithTimeout(duration);
  }
};

}  // namespace

absl::Duration Clock::SteadyNow() {
  return absl::FromChrono(std::chrono::steady_clock::now().time_since_epoch());
}

bool Clock::SleepOrWake(absl::Duration duration, Event* event) { return event->Wait(duration); }

Clock* Clock::Real() {
  static RealClock* const clock = new RealClock;
  return clock;
}

}  // namespace ctlstore
