#include "reflector/reflector.h"

#include <glog/logging.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/schema/errors.h"

namespace ctlstore::reflector {
namespace {

// How soon it is seen that a snapshot is there.
constexpr absl::Duration kFetchPause = absl::Milliseconds(100);

ReplicationState StateOfReadError(const absl::Status& status) {
  if (HasReason(status, reason::kLedgerPruned)) return ReplicationState::kNeedsSnapshot;
  if (HasReason(status, reason::kLedgerBehind)) return ReplicationState::kLedgerBehind;
  return ReplicationState::kUpstreamUnavailable;
}

ReplicationState StateOfApplyError(const absl::Status& status) {
  if (HasReason(status, reason::kEntryFailed)) return ReplicationState::kEntryFailed;
  if (absl::IsResourceExhausted(status)) return ReplicationState::kDiskFull;
  if (HasReason(status, reason::kSnapshotNotFound) || HasReason(status, reason::kSnapshotDamaged) ||
      HasReason(status, reason::kLedgerPruned)) {
    return ReplicationState::kNeedsSnapshot;
  }
  if (absl::IsDataLoss(status)) return ReplicationState::kRebuilding;
  return ReplicationState::kLdbUnavailable;
}

bool IsTrouble(ReplicationState state) {
  return state != ReplicationState::kStarting && state != ReplicationState::kCatchingUp &&
         state != ReplicationState::kCurrent;
}

LedgerFetcher::Options FetcherOptions(const Reflector::Options& options, Event* wake) {
  LedgerFetcher::Options fetcher;
  fetcher.read.max_entries = options.max_entries_per_query;
  fetcher.read.max_bytes = options.max_bytes_per_query;
  fetcher.max_queue_bytes = options.max_queue_bytes;
  fetcher.min_retry_pause = options.min_retry_pause;
  fetcher.max_retry_pause = options.max_retry_pause;
  fetcher.on_read = [on_read = options.on_read, wake](const absl::Status& status) {
    if (on_read) on_read(status);
    wake->Notify();
  };
  return fetcher;
}

}  // namespace

Reflector::Reflector(LedgerSource* source, Target* target, Clock* clock, const Options& options)
    : target_(target),
      clock_(clock),
      options_(options),
      backoff_(options.min_retry_pause, options.max_retry_pause),
      fetcher_(source, clock, FetcherOptions(options, &wake_)) {
  absl::MutexLock lock(&mutex_);
  state_.applied_sequence = target_->applied_sequence();
}

void Reflector::Run() {
  while (FollowOrders()) {
    const absl::Duration wait = Step();
    if (wait > absl::ZeroDuration()) wake_.Wait(wait);
  }
  fetcher_.Stop();
}

void Reflector::Stop() {
  {
    absl::MutexLock lock(&mutex_);
    stop_ = true;
  }
  wake_.Notify();
}

Reflector::State Reflector::state() const {
  absl::MutexLock lock(&mutex_);
  return state_;
}

absl::Status Reflector::Readiness() const {
  const State state = this->state();
  const std::string in_the_way = absl::StrCat(", its sequence is ", state.applied_sequence,
                                              state.error.ok() ? "" : ": ", state.error.message());
  if (state.replication == ReplicationState::kEntryFailed ||
      state.replication == ReplicationState::kNeedsSnapshot) {
    return absl::UnavailableError(
        absl::StrCat("the local database cannot go on by itself", in_the_way));
  }
  if (!state.last_caught_up.has_value()) {
    return absl::UnavailableError(absl::StrCat(
        "the local database has not caught up with the ledger since the start", in_the_way));
  }
  const absl::Duration age = clock_->SteadyNow() - state.last_caught_up_steady;
  if (age > options_.ready_within) {
    return absl::UnavailableError(
        absl::StrCat("the local database had all of the ledger ",
                     absl::FormatDuration(absl::Trunc(age, absl::Seconds(1))), " ago", in_the_way));
  }
  return absl::OkStatus();
}

absl::Status Reflector::SkipEntry(int64_t sequence) {
  {
    absl::MutexLock lock(&mutex_);
    if (!state_.failed_sequence.has_value()) {
      return absl::FailedPreconditionError(absl::StrCat("no ledger entry stands in the way of ",
                                                        options_.ldb_path, ", it is ",
                                                        ReplicationStateName(state_.replication)));
    }
    if (*state_.failed_sequence != sequence) {
      return absl::FailedPreconditionError(absl::StrCat("ledger entry ", *state_.failed_sequence,
                                                        " stands in the way of ", options_.ldb_path,
                                                        ", not ", sequence));
    }
    skip_ = sequence;
  }
  wake_.Notify();
  return absl::OkStatus();
}

void Reflector::Rebuild() {
  {
    absl::MutexLock lock(&mutex_);
    rebuild_ = true;
  }
  wake_.Notify();
}

bool Reflector::FollowOrders() {
  absl::optional<int64_t> skip;
  bool rebuild;
  bool behind;
  {
    absl::MutexLock lock(&mutex_);
    if (stop_) return false;
    skip.swap(skip_);
    rebuild = rebuild_;
    rebuild_ = false;
    behind = state_.replication == ReplicationState::kLedgerBehind;
  }
  if (!skip.has_value() && !rebuild) return true;
  if (skip.has_value()) {
    LOG(WARNING) << "event=skip_ledger_entry ldb=" << options_.ldb_path << " sequence=" << *skip;
    target_->SkipEntry(*skip);
  }
  // A ledger that ends before our position is another one to whoever wants to go on with it.
  if (rebuild) target_->Rebuild("an operator asked for it", behind);
  backoff_.Reset();
  retry_at_ = absl::ZeroDuration();
  return true;
}

absl::Duration Reflector::Step() {
  const absl::Duration until_retry = retry_at_ - clock_->SteadyNow();
  if (until_retry > absl::ZeroDuration()) return until_retry;
  absl::Status status = target_->Open();
  if (HasReason(status, reason::kFetchingSnapshot)) return FetchingSnapshot(status);
  if (!status.ok()) return ApplyFailed(status);
  if (restart_ || target_->generation() != generation_) {
    restart_ = false;
    generation_ = target_->generation();
    fetcher_.Restart(target_->received_position());
    absl::MutexLock lock(&mutex_);
    state_.applied_sequence = target_->applied_sequence();
    const bool fetched = state_.replication == ReplicationState::kFetchingSnapshot;
    if (target_->rebuilding() && (fetched || state_.error.ok())) {
      SetState(ReplicationState::kRebuilding, absl::OkStatus());
    } else if (fetched) {
      SetState(ReplicationState::kCatchingUp, absl::OkStatus());
    }
  }
  LedgerSource::Limits limits;
  limits.max_entries = options_.max_entries_per_query;
  limits.max_bytes = options_.max_bytes_per_query;
  const absl::optional<absl::StatusOr<LedgerFetcher::Fetched>> fetched = fetcher_.Take(limits);
  if (!fetched.has_value()) return Idle();
  if (!fetched->ok()) {
    ReadFailed(fetched->status());
    return absl::ZeroDuration();
  }
  status = target_->Apply((*fetched)->entries, (*fetched)->all_as_of.has_value());
  if (!status.ok()) return ApplyFailed(status);
  Succeeded(**fetched);
  return absl::ZeroDuration();
}

absl::Duration Reflector::Idle() {
  const absl::Duration now = clock_->SteadyNow();
  if (now < idle_at_) return idle_at_ - now;
  idle_at_ = now + options_.idle_interval;
  absl::Status status = target_->Idle();
  return status.ok() ? options_.idle_interval : ApplyFailed(status);
}

void Reflector::Succeeded(const LedgerFetcher::Fetched& fetched) {
  const bool at_end = fetched.all_as_of.has_value();
  const bool rebuilding = target_->rebuilding();
  const absl::Time now = clock_->Now();
  const absl::Duration steady_now = clock_->SteadyNow();
  absl::MutexLock lock(&mutex_);
  state_.applied_sequence = target_->applied_sequence();
  state_.ledger_sequence = fetched.ledger_sequence;
  // What comes before the place where it failed says nothing about that.
  if (failed_after_.has_value() && !at_end && target_->applied_sequence() <= *failed_after_) return;
  failed_after_.reset();
  backoff_.Reset();
  state_.failures = 0;
  state_.last_success = now;
  state_.caught_up = at_end && !rebuilding;
  if (state_.caught_up) {
    state_.last_caught_up = fetched.all_as_of;
    state_.last_caught_up_steady = fetched.all_as_of_steady;
  }
  const bool stays_current = state_.replication == ReplicationState::kCurrent &&
                             steady_now - state_.last_caught_up_steady < options_.current_for;
  SetState(rebuilding                          ? ReplicationState::kRebuilding
           : state_.caught_up || stays_current ? ReplicationState::kCurrent
                                               : ReplicationState::kCatchingUp,
           absl::OkStatus());
}

void Reflector::ReadFailed(const absl::Status& status) {
  const bool diverged = HasReason(status, reason::kLedgerDiverged);
  if (diverged) target_->Rebuild(std::string(status.message()), /*another_ledger=*/true);
  const bool given_up =
      HasReason(status, reason::kLedgerPruned) && target_->rebuilding() && target_->GiveUpRebuild();
  if (!given_up && HasReason(status, reason::kLedgerPruned)) {
    target_->FetchSnapshot(std::string(status.message()));
  }
  if (given_up) {
    LOG(WARNING) << "event=ldb_rebuild_given_up ldb=" << options_.ldb_path << " error=\"" << status
                 << "\"";
  }
  absl::MutexLock lock(&mutex_);
  ++state_.failures;
  state_.caught_up = false;
  SetState(diverged   ? ReplicationState::kRebuilding
           : given_up ? ReplicationState::kCatchingUp
                      : StateOfReadError(status),
           status);
}

absl::Duration Reflector::ApplyFailed(const absl::Status& status) {
  // What was read is read anew: it may have been mended.
  fetcher_.Pause();
  restart_ = true;
  const absl::Duration pause = backoff_.Next();
  retry_at_ = clock_->SteadyNow() + pause;
  failed_after_ = target_->applied_sequence();
  const absl::optional<int64_t> failed_sequence = target_->failed_sequence();
  absl::MutexLock lock(&mutex_);
  ++state_.failures;
  state_.caught_up = false;
  state_.applied_sequence = target_->applied_sequence();
  SetState(StateOfApplyError(status), status);
  if (state_.replication == ReplicationState::kEntryFailed) {
    state_.failed_sequence = failed_sequence;
  }
  return pause;
}

absl::Duration Reflector::FetchingSnapshot(const absl::Status& status) {
  fetcher_.Pause();
  restart_ = true;
  absl::MutexLock lock(&mutex_);
  state_.caught_up = false;
  SetState(ReplicationState::kFetchingSnapshot, status);
  return kFetchPause;
}

void Reflector::SetState(ReplicationState to, const absl::Status& error) {
  const ReplicationState from = state_.replication;
  state_.replication = to;
  state_.error = error;
  state_.failed_sequence.reset();
  if (from == to) return;
  const std::string line = absl::StrCat(
      "event=replication_state ldb=", options_.ldb_path, " from=", ReplicationStateName(from),
      " to=", ReplicationStateName(to), " applied_sequence=", state_.applied_sequence, " error=\"",
      error.ok() ? "" : error.ToString(), "\"");
  if (IsTrouble(to)) {
    LOG(WARNING) << line;
  } else {
    LOG(INFO) << line;
  }
}

}  // namespace ctlstore::reflector
