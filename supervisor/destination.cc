#include "supervisor/destination.h"

#include <glog/logging.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/snapshot/single_object.h"

namespace ctlstore::supervisor {

snapshot::Compression Destination::CompressionOf(const Options& options) {
  return options.location.form == snapshot::Location::Form::kFolder ? options.compression
                                                                    : options.location.compression;
}

Destination::Destination(const Options& options, std::unique_ptr<object_store::ObjectStore> store,
                         SupervisorMetrics* metrics)
    : options_(options),
      url_(options.location.ToString()),
      compression_(CompressionOf(options)),
      store_(std::move(store)),
      folder_(store_.get()),
      metrics_(metrics) {
  metrics_->AddDestination(url_);
  {
    absl::MutexLock lock(&mutex_);
    status_.url = url_;
  }
  absl::MutexLock lock(&thread_mutex_);
  thread_ = std::thread([this] { Run(); });
}

Destination::~Destination() { Stop(); }

void Destination::RequestStop() {
  {
    absl::MutexLock lock(&mutex_);
    stop_ = true;
  }
  store_->Cancel();
}

void Destination::Stop() {
  RequestStop();
  // Held to the end, so that every caller finds the work ended when its call returns.
  absl::MutexLock lock(&thread_mutex_);
  if (thread_.joinable()) thread_.join();
}

void Destination::Put(std::shared_ptr<const TakenSnapshot> snapshot, OnPut on_put) {
  const std::string id = snapshot->id();
  absl::optional<Job> overtaken;
  bool stopped = false;
  {
    absl::MutexLock lock(&mutex_);
    stopped = stop_;
    if (!stopped) {
      overtaken = std::move(waiting_);
      waiting_ = Job{std::move(snapshot), on_put};
    }
  }
  if (stopped) on_put(absl::CancelledError("the supervisor ends"));
  if (!overtaken.has_value()) return;
  LOG(WARNING) << "event=snapshot_overtaken destination=" << url_
               << " id=" << overtaken->snapshot->id() << " by=" << id;
  overtaken->on_put(absl::AbortedError(
      absl::StrCat("the one before it was still being put there when ", id, " came")));
}

void Destination::Run() {
  const absl::Status removed = store_->RemoveUnfinished(options_.clock->Now());
  if (!removed.ok() && !absl::IsUnimplemented(removed) && !absl::IsCancelled(removed)) {
    LOG(WARNING) << "event=unfinished_not_removed destination=" << url_ << " error=\""
                 << removed.ToString() << "\"";
  }
  for (;;) {
    absl::optional<Job> job;
    bool stop = false;
    {
      absl::MutexLock lock(&mutex_);
      const auto something_to_do = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
        return stop_ || waiting_.has_value();
      };
      mutex_.Await(absl::Condition(&something_to_do));
      job = std::move(waiting_);
      waiting_.reset();
      stop = stop_;
      if (job.has_value() && !stop) {
        status_.busy_since = options_.clock->Now();
        position_ = job->snapshot->position();
      }
    }
    if (stop) {
      if (job.has_value()) job->on_put(absl::CancelledError("the supervisor ends"));
      return;
    }
    Work(*std::move(job));
  }
}

void Destination::Work(Job job) {
  const SnapshotSummary summary = SummaryOf(job.snapshot->ManifestFor(compression_));
  const absl::Duration begin = options_.clock->SteadyNow();
  metrics_->PutBegins();
  const absl::Status status = Publish(*job.snapshot);
  const absl::Duration duration = options_.clock->SteadyNow() - begin;
  metrics_->PutEnds(url_, duration, status);
  {
    absl::MutexLock lock(&mutex_);
    status_.busy_since.reset();
    status_.last_error = status;
    if (status.ok()) {
      status_.last_snapshot = summary;
      status_.last_success = options_.clock->Now();
      metrics_->Published(url_, summary, *status_.last_success);
    } else {
      position_.reset();
      ++status_.failures;
    }
  }
  if (status.ok()) {
    LOG(INFO) << "event=snapshot_published destination=" << url_ << " id=" << summary.id
              << " sequence=" << summary.sequence << " object_bytes=" << summary.object_bytes
              << " seconds=" << absl::ToDoubleSeconds(duration);
  } else {
    LOG(ERROR) << "event=snapshot_not_published destination=" << url_ << " id=" << summary.id
               << " seconds=" << absl::ToDoubleSeconds(duration) << " error=\"" << status.ToString()
               << "\"";
  }
  // Before others are told, who may look whether the files are gone.
  job.snapshot.reset();
  job.on_put(status);
  if (status.ok() && options_.location.form == snapshot::Location::Form::kFolder) ApplyRetention();
}

absl::Status Destination::Publish(const TakenSnapshot& snapshot) {
  const TakenSnapshot::Object& object = snapshot.object(compression_);
  if (options_.location.form == snapshot::Location::Form::kSingleObject) {
    return snapshot::PutSingleObject(store_.get(), options_.location, object.path,
                                     object.encoded.file_sha1);
  }
  return folder_.Publish(snapshot.ManifestFor(compression_), object.path);
}

void Destination::ApplyRetention() {
  const absl::StatusOr<std::vector<std::string>> removed =
      folder_.ApplyRetention(options_.retention, options_.clock->Now());
  metrics_->Retained(url_, removed.ok() ? static_cast<int>(removed->size()) : 0, removed.status());
  if (!removed.ok()) {
    LOG(WARNING) << "event=old_snapshots_not_removed destination=" << url_ << " error=\""
                 << removed.status().ToString() << "\"";
    return;
  }
  for (const std::string& id : *removed) {
    LOG(INFO) << "event=old_snapshot_removed destination=" << url_ << " id=" << id;
  }
}

absl::optional<LedgerPosition> Destination::Holds(absl::Time since) const {
  absl::MutexLock lock(&mutex_);
  if (waiting_.has_value()) return waiting_->snapshot->position();
  if (status_.busy_since.has_value()) return position_;
  if (!position_.has_value() || *status_.last_success < since) return absl::nullopt;
  return position_;
}

absl::StatusOr<std::vector<SnapshotSummary>> Destination::List() {
  std::vector<SnapshotSummary> found;
  if (options_.location.form == snapshot::Location::Form::kSingleObject) {
    const absl::StatusOr<object_store::ObjectInfo> info = store_->Stat(options_.location.key);
    if (absl::IsNotFound(info.status())) return found;
    if (!info.ok()) return info.status();
    SnapshotSummary summary;
    summary.id = options_.location.key;
    summary.taken_at = info->modified;
    summary.compression = compression_;
    summary.object_bytes = info->size;
    found.push_back(std::move(summary));
    return found;
  }
  absl::StatusOr<std::vector<std::string>> ids = folder_.List();
  if (!ids.ok()) return ids.status();
  for (const std::string& id : *ids) {
    absl::StatusOr<SnapshotSummary> summary = Summary(id);
    // Removed since, or damaged: no snapshot.
    if (absl::IsNotFound(summary.status()) || absl::IsDataLoss(summary.status())) continue;
    if (!summary.ok()) return summary.status();
    found.push_back(*std::move(summary));
  }
  absl::MutexLock lock(&mutex_);
  for (auto known = summaries_.begin(); known != summaries_.end();) {
    const bool there = std::find(ids->begin(), ids->end(), known->first) != ids->end();
    known = there ? std::next(known) : summaries_.erase(known);
  }
  return found;
}

absl::StatusOr<SnapshotSummary> Destination::Summary(const std::string& id) {
  {
    absl::MutexLock lock(&mutex_);
    const auto known = summaries_.find(id);
    if (known != summaries_.end()) return known->second;
  }
  const absl::StatusOr<snapshot::Manifest> manifest = folder_.ReadManifest(id);
  if (!manifest.ok()) return manifest.status();
  const SnapshotSummary summary = SummaryOf(*manifest);
  absl::MutexLock lock(&mutex_);
  summaries_.insert_or_assign(id, summary);
  return summary;
}

DestinationStatus Destination::Status() const {
  absl::MutexLock lock(&mutex_);
  return status_;
}

}  // namespace ctlstore::supervisor
