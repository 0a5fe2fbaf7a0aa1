#include "common/rpc/readiness_watch.h"

#include <glog/logging.h>

#include <utility>

namespace ctlstore::rpc {

ReadinessWatch::ReadinessWatch(Check check, OnChange on_change, absl::Duration interval)
    : check_(std::move(check)), on_change_(std::move(on_change)), interval_(interval) {
  Look(/*first=*/true);
  thread_ = std::thread([this] { Run(); });
}

ReadinessWatch::~ReadinessWatch() {
  stop_.Notify();
  thread_.join();
}

absl::Status ReadinessWatch::status() const {
  absl::MutexLock lock(&mutex_);
  return status_;
}

void ReadinessWatch::Run() {
  while (!stop_.WaitForNotificationWithTimeout(interval_)) Look(/*first=*/false);
}

void ReadinessWatch::Look(bool first) {
  const absl::Status status = check_();
  bool changed = false;
  {
    absl::MutexLock lock(&mutex_);
    changed = status.ok() != status_.ok();
    status_ = status;
  }
  if (changed && status.ok()) {
    LOG(INFO) << "event=ready";
  } else if (changed) {
    LOG(WARNING) << "event=not_ready error=\"" << status.ToString() << "\"";
  }
  if (changed || first) on_change_(status.ok());
}

}  // namespace ctlstore::rpc
