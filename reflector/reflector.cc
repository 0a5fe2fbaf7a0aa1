#include "reflector/reflector.h"

#include <glog/logging.h>

#include "common/base/backoff.h"

namespace ctlstore::reflector {

Reflector::Reflector(Source* source, Target* target, Clock* clock, const Options& options)
    : source_(source), target_(target), clock_(clock), options_(options) {
  state_.applied_sequence = target_->applied_sequence();
}

void Reflector::Run(absl::Notification* stop) {
  Backoff backoff(options_.min_retry_pause, options_.max_retry_pause);
  while (!stop->HasBeenNotified()) {
    const absl::Time begin = clock_->Now();
    const absl::StatusOr<bool> more = Step();
    Record(more, begin);
    absl::Duration pause;
    if (more.ok()) {
      backoff.Reset();
      if (*more) continue;
      pause = Jittered(options_.poll_interval, options_.poll_jitter);
    } else {
      pause = backoff.Next();
    }
    if (clock_->SleepOrStop(pause, stop)) return;
  }
}

Reflector::State Reflector::state() const {
  absl::MutexLock lock(&mutex_);
  return state_;
}

absl::StatusOr<bool> Reflector::Step() {
  // The target is the only one that knows how far it is: after a failed Apply() its received
  // sequence is the applied one again, so what it forgot is read anew.
  absl::StatusOr<std::vector<LedgerEntry>> entries = source_->ReadAfter(
      target_->received_sequence(), options_.max_entries_per_query, options_.max_bytes_per_query);
  if (!entries.ok()) return entries.status();
  if (entries->empty()) return false;
  absl::Status status = target_->Apply(*entries);
  if (!status.ok()) return status;

  size_t bytes = 0;
  for (const LedgerEntry& entry : *entries) bytes += entry.statement.size();
  return entries->size() >= options_.max_entries_per_query || bytes >= options_.max_bytes_per_query;
}

void Reflector::Record(const absl::StatusOr<bool>& more, absl::Time begin) {
  const absl::Status& status = more.status();
  const int64_t applied_sequence = target_->applied_sequence();
  State before;
  {
    absl::MutexLock lock(&mutex_);
    before = state_;
    state_.applied_sequence = applied_sequence;
    state_.failures = status.ok() ? 0 : before.failures + 1;
    state_.last_error = status;
    if (more.ok()) state_.last_success = begin;
    if (more.ok() && !*more) state_.last_caught_up = begin;
  }
  // A failure of another kind is a new one: the ctldb may come back and the disk be full.
  if (status.code() == before.last_error.code()) return;
  if (status.ok()) {
    LOG(INFO) << "event=replication_recovered applied_sequence=" << applied_sequence
              << " failures=" << before.failures;
  } else {
    LOG(WARNING) << "event=replication_failed applied_sequence=" << applied_sequence << " error=\""
                 << status.ToString() << "\"";
  }
}

}  // namespace ctlstore::reflector
