#include "common/snapshot/progress_meter.h"

#include <algorithm>

namespace ctlstore::snapshot {
namespace {

// How far the rate goes back: long enough that a chunk more or less does not show.
constexpr absl::Duration kRateTime = absl::Seconds(10);
// Below this nothing can be said of the rate.
constexpr absl::Duration kMinRateTime = absl::Milliseconds(200);

}  // namespace

void ProgressMeter::Fetching(const std::string& url, const std::string& id, int64_t sequence,
                             int64_t bytes_total, int64_t bytes_there) {
  absl::MutexLock lock(&mutex_);
  progress_ = FetchProgress();
  progress_.stage = FetchProgress::Stage::kFetching;
  progress_.url = url;
  progress_.id = id;
  progress_.sequence = sequence;
  progress_.bytes_total = bytes_total;
  progress_.bytes_done = bytes_there;
  bytes_ = bytes_there;
  samples_.assign(1, {clock_->SteadyNow(), bytes_there});
}

void ProgressMeter::Checking() {
  absl::MutexLock lock(&mutex_);
  progress_.stage = FetchProgress::Stage::kChecking;
  progress_.bytes_done = std::max(progress_.bytes_done, bytes_);
}

void ProgressMeter::Looking() {
  absl::MutexLock lock(&mutex_);
  progress_ = FetchProgress();
  samples_.clear();
}

void ProgressMeter::Add(int64_t bytes) {
  absl::MutexLock lock(&mutex_);
  bytes_ += bytes;
}

FetchProgress ProgressMeter::Measure() {
  absl::MutexLock lock(&mutex_);
  progress_.bytes_per_second = 0;
  progress_.time_left = absl::nullopt;
  if (progress_.stage != FetchProgress::Stage::kFetching) return progress_;
  progress_.bytes_done = std::max(progress_.bytes_done, bytes_);
  const absl::Duration now = clock_->SteadyNow();
  samples_.push_back({now, progress_.bytes_done});
  while (samples_.size() > 2 && samples_[1].time <= now - kRateTime) samples_.pop_front();
  const absl::Duration time = now - samples_.front().time;
  if (time < kMinRateTime) return progress_;
  const int64_t bytes = progress_.bytes_done - samples_.front().bytes;
  progress_.bytes_per_second =
      static_cast<int64_t>(static_cast<double>(bytes) / absl::ToDoubleSeconds(time));
  const int64_t missing = progress_.bytes_total - progress_.bytes_done;
  if (progress_.bytes_per_second > 0 && missing >= 0) {
    progress_.time_left = absl::Seconds(static_cast<double>(missing) /
                                        static_cast<double>(progress_.bytes_per_second));
  }
  return progress_;
}

}  // namespace ctlstore::snapshot
