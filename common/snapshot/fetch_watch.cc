#include "common/snapshot/fetch_watch.h"

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace ctlstore::snapshot {
namespace {

constexpr absl::Duration kAskTime = absl::Milliseconds(50);
constexpr absl::Duration kReportTime = absl::Seconds(1);

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
  while (!stopping_) {
    stop_.Wait(kAskTime);
    if (stopping_) return;
    if (!cancelled_ && ask_cancelled_ != nullptr && ask_cancelled_()) {
      absl::MutexLock lock(&mutex_);
      cancelled_ = true;
      for (object_store::ObjectStore* store : stores_) store->Cancel();
    }
    until_report -= kAskTime;
    if (until_report <= absl::ZeroDuration()) {
      Report();
      until_report = kReportTime;
    }
  }
}

}  // namespace ctlstore::snapshot
