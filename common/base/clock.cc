#include "common/base/clock.h"

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

Clock* Clock::Real() {
  static RealClock* const clock = new RealClock;
  return clock;
}

}  // namespace ctlstore
