#include "common/snapshot/fetch_watch.h"

#include <glog/logging.h>

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace ctlstore::snapshot {
namespace {

constexpr absl::Duration kAskTime = absl::Milliseconds(50);
constexpr absl::Duration kReportTime = absl::Seconds(1);
constexpr absl::Duration kLogTime = absl::Seconds(10);

void Log(const FetchProgress& progress) {
  if (progress.stage != FetchProgress::Stage::kFetching) return;
  LOG(INFO) << "event=snapshot_fetch_progress url=" << progress.url << " id=" << progress.id
            << " percent="
            << (progress.bytes_total > 0
                    ? static_cast<int64_t>(100.0 * static_cast<double>(progress.bytes_done) /
                                           static_cast<double>(progress.bytes_total))
                    : 0)
            << " bytes=" << progress.bytes_done << " of=" << progress.bytes_total
            << " bytes_per_second=" << progress.bytes_per_second << " seconds_left="
            << (progress.time_left.has_value() ? absl::ToInt64Seconds(*progress.time_left) : -1);
}

}  // namespace

FetchWatch::FetchWatch(ProgressMeter* meter, std::function<void(const FetchProgress&)> on_progress,
                       std::function<bool()> cancelled)
    : meter_(meter), on_progress_(std::move(on_progress)), ask_cancelled_(std::move(cancelled)) {
  if (ask_cancelled_ != nullptr && ask_cancelled_()) cancelled_ = true;
  thread_ = std::thread([this] { Run(); });
}

FetchWatch::~FetchWatch() {
  stopping_ = true;
  stop_.Notify();
  thread_.join();
}

void FetchWatch::Add(object_store::ObjectStore* store) {
  absl::MutexLock lock(&mutex_);
  stores_.push_back(store);
  if (cancelled_) store->Cancel();
}

void FetchWatch::Remove(object_store::ObjectStore* store) {
  absl::MutexLock lock(&mutex_);
  stores_.erase(std::remove(stores_.begin(), stores_.end(), store), stores_.end());
}

void FetchWatch::Report() {
  absl::MutexLock lock(&report_mutex_);
  const FetchProgress progress = meter_->Measure();
  if (on_progress_ != nullptr) on_progress_(progress);
}

void FetchWatch::Run() {
  absl::Duration until_report = kReportTime;
  absl::Duration until_log = kLogTime;
  while (!stopping_) {
    stop_.Wait(kAskTime);
    if (stopping_) return;
    if (!cancelled_ && ask_cancelled_ != nullptr && ask_cancelled_()) {
      absl::MutexLock lock(&mutex_);
      cancelled_ = true;
      for (object_store::ObjectStore* store : stores_) store->Cancel();
    }
    until_report -= kAskTime;
    until_log -= kAskTime;
    if (until_report <= absl::ZeroDuration()) {
      Report();
      until_report = kReportTime;
    }
    if (until_log <= absl::ZeroDuration()) {
      absl::MutexLock lock(&report_mutex_);
      Log(meter_->Measure());
      until_log = kLogTime;
    }
  }
}

}  // namespace ctlstore::snapshot
