#include "reflector/snapshot_fetch.h"

#include <glog/logging.h>

#include <utility>

#include "absl/strings/str_cat.h"

namespace ctlstore::reflector {
namespace {

constexpr absl::Duration kLogEvery = absl::Seconds(10);

}  // namespace

SnapshotFetch::SnapshotFetch(SnapshotSource* source, SnapshotSource::Request request,
                             const std::string& ldb_path, Clock* clock)
    : source_(source), ldb_path_(ldb_path), clock_(clock) {
  request.on_progress = [this](const snapshot::FetchProgress& progress) { NoteProgress(progress); };
  request.cancelled = [this] { return cancelled_.load(); };
  thread_ = std::thread([this, request = std::move(request)] {
    result_ = source_->Fetch(request);
    done_ = true;
  });
}

SnapshotFetch::~SnapshotFetch() {
  cancelled_ = true;
  if (thread_.joinable()) thread_.join();
}

snapshot::FetchProgress SnapshotFetch::progress() const {
  absl::MutexLock lock(&mutex_);
  return progress_;
}

absl::StatusOr<SnapshotSource::Snapshot> SnapshotFetch::Result() {
  if (thread_.joinable()) thread_.join();
  return result_;
}

void SnapshotFetch::NoteProgress(const snapshot::FetchProgress& progress) {
  const absl::Duration now = clock_->SteadyNow();
  absl::MutexLock lock(&mutex_);
  const bool is_news = progress.stage != progress_.stage || progress.id != progress_.id;
  progress_ = progress;
  if (!is_news && now < log_at_) return;
  log_at_ = now + kLogEvery;
  const int64_t percent =
      progress.bytes_total > 0 ? progress.bytes_done * 100 / progress.bytes_total : 0;
  LOG(INFO) << "event=snapshot_fetch ldb=" << ldb_path_
            << " stage=" << snapshot::FetchStageName(progress.stage) << " url=" << progress.url
            << " snapshot=" << progress.id << " percent=" << percent
            << " bytes=" << progress.bytes_done << " bytes_per_second=" << progress.bytes_per_second
            << " seconds_left="
            << (progress.time_left.has_value()
                    ? absl::StrCat(absl::ToInt64Seconds(*progress.time_left))
                    : "unknown");
}

}  // namespace ctlstore::reflector
