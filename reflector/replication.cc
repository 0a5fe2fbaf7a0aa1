#include "reflector/replication.h"

#include <glog/logging.h>

#include <utility>

namespace ctlstore::reflector {

absl::StatusOr<std::unique_ptr<Replication>> Replication::Create(const Options& options,
                                                                 std::unique_ptr<Upstreams> source,
                                                                 prometheus::Registry* registry,
                                                                 Clock* clock) {
  std::unique_ptr<Replication> replication(
      new Replication(options, std::move(source), registry, clock));
  Replication* const self = replication.get();
  LocalDatabase::Options database = options.database;
  database.clock = clock;
  database.on_apply = [self](const absl::Status& status, absl::Duration duration,
                             const ldb::LdbWriter::Applied& applied) {
    self->metrics_.Applied(status, duration, applied);
  };
  database.listeners.push_back(
      {&self->feed_, [self](int64_t sequence) { self->feed_.Attach(sequence); }});
  if (self->changelog_ != nullptr) {
    database.listeners.push_back(
        {self->changelog_.get(), [self](int64_t sequence) { self->changelog_->Attach(sequence); }});
  }
  absl::StatusOr<std::unique_ptr<LocalDatabase>> locked = LocalDatabase::Lock(database);
  if (!locked.ok()) return locked.status();
  Reflector::Options reflector = options.reflector;
  reflector.ldb_path = options.database.path;
  reflector.on_read = [self](const absl::Status& status) { self->metrics_.Read(status); };
  self->reflector_ =
      std::make_unique<Reflector>(self->source_.get(), locked->get(), clock, reflector);
  absl::MutexLock lock(&self->mutex_);
  self->database_ = *std::move(locked);
  return replication;
}

Replication::Replication(const Options& options, std::unique_ptr<Upstreams> source,
                         prometheus::Registry* registry, Clock* clock)
    : options_(options),
      clock_(clock),
      metrics_(registry, options.database.path),
      source_(std::move(source)),
      changelog_(options.changelog.path.empty()
                     ? nullptr
                     : std::make_unique<ldb::Changelog>(options.changelog)),
      feed_(options.max_feed_bytes),
      reader_(options.database.path) {}

Replication::~Replication() { Stop(); }

void Replication::Begin() {
  absl::MutexLock lock(&thread_mutex_);
  thread_ = std::thread([this] { reflector_->Run(); });
}

void Replication::RequestStop() {
  if (reflector_ != nullptr) reflector_->Stop();
  // Ends a read that is under way.
  source_->Cancel();
}

void Replication::Stop() {
  RequestStop();
  // Held to the end, so that every caller finds the work ended when its call returns.
  absl::MutexLock thread_lock(&thread_mutex_);
  if (thread_.joinable()) thread_.join();
  feed_.Close();
  absl::MutexLock lock(&mutex_);
  if (database_ == nullptr) return;
  last_info_ = database_->info();
  database_.reset();
  LOG(INFO) << "event=replication_stopped ldb=" << path()
            << " applied_sequence=" << last_info_.applied_sequence;
}

LocalDatabase::Info Replication::info() const {
  absl::MutexLock lock(&mutex_);
  return database_ == nullptr ? last_info_ : database_->info();
}

LdbStatus Replication::Status() const {
  const Reflector::State state = reflector_->state();
  const LocalDatabase::Info info = this->info();
  LdbStatus status;
  status.path = path();
  status.state = state.replication;
  status.error = state.error;
  status.readiness = Readiness();
  status.failures = state.failures;
  status.applied_sequence = info.applied_sequence;
  status.ledger_sequence = state.ledger_sequence;
  status.last_caught_up = state.last_caught_up;
  status.upstream = source_->name();
  status.families = options_.database.writer.families;
  status.wal_bytes = info.wal.bytes;
  status.checkpoint_blocked_since = info.wal.blocked_since;
  status.checkpoint_blocked_by = info.wal.blocked_by;
  status.failed_sequence = state.failed_sequence;
  status.skipped_entries = info.skipped_entries;
  status.rebuild_sequence = info.rebuild_sequence;
  status.rebuild_reason = info.rebuild_reason;
  status.changelog_path = options_.changelog.path;
  if (state.replication == ReplicationState::kFetchingSnapshot) status.fetch = info.fetch;
  status.snapshot_id = info.snapshot_id;
  return status;
}

LdbSample Replication::Sample() const {
  LdbSample sample;
  sample.path = path();
  sample.state = reflector_->state();
  sample.info = info();
  sample.ready = Readiness().ok();
  sample.queue_bytes = reflector_->queue_bytes();
  sample.upstream = source_->name();
  sample.upstream_switches = source_->switches();
  sample.ledger_gaps = options_.ledger_gaps();
  if (changelog_ != nullptr) sample.changelog = changelog_->counts();
  const absl::StatusOr<ldb::Position> position = reader_.GetPosition();
  if (position.ok()) {
    const absl::optional<absl::Duration> lag = position->Lag(clock_->Now());
    if (lag.has_value()) sample.lag = *lag;
  }
  return sample;
}

}  // namespace ctlstore::reflector
