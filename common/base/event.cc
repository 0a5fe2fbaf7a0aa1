#include "common/base/event.h"

#include <algorithm>
#include <chrono>

namespace ctlstore {
namespace {

// What the standard library can add to a point in time.
constexpr absl::Duration kLongest = absl::Hours(24 * 365);

}  // namespace

void Event::Notify() {
  std::lock_guard<std::mutex> lock(mutex_);
  notified_ = true;
  condition_.notify_one();
}

bool Event::Wait(absl::Duration duration) {
  std::unique_lock<std::mutex> lock(mutex_);
  // On the steady clock.
  condition_.wait_for(lock, absl::ToChronoMicroseconds(std::min(duration, kLongest)),
                      [this] { return notified_; });
  const bool notified = notified_;
  notified_ = false;
  return notified;
}

}  // namespace ctlstore
