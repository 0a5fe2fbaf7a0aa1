#include "executive/ledger_pruner.h"

#include <glog/logging.h>

#include <algorithm>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "common/schema/errors.h"
#include "common/schema/ledger_position.h"
#include "common/snapshot/folder.h"

namespace ctlstore::executive {
namespace {

// The first round comes soon, so that executives that are often started anew prune, too.
constexpr absl::Duration kFirstRound = absl::Minutes(1);

absl::Status Disabled(absl::string_view message) {
  return ErrorWithReason(absl::StatusCode::kFailedPrecondition, reason::kPruningDisabled, message);
}

absl::Status Busy() {
  return ErrorWithReason(absl::StatusCode::kUnavailable, reason::kCtldbBusy,
                         "this executive looks at the ledger's pruning just now; try again later");
}

absl::Status Ended() { return absl::CancelledError("the pruning of the ledger was ended"); }

// Whether the status speaks against one snapshot, and not against the place.
bool IsAboutSnapshot(const absl::Status& status) {
  return absl::IsNotFound(status) || absl::IsDataLoss(status) ||
         absl::IsFailedPrecondition(status) || absl::IsInvalidArgument(status);
}

absl::Status Uncovering(absl::string_view message) {
  return absl::FailedPreconditionError(message);
}

absl::Status Annotated(const absl::Status& status, absl::string_view message) {
  absl::Status annotated(status.code(), absl::StrCat(message, status.message()));
  status.ForEachPayload([&annotated](absl::string_view type, const absl::Cord& payload) {
    annotated.SetPayload(type, payload);
  });
  return annotated;
}

}  // namespace

class LedgerPruner::Session {
 public:
  explicit Session(LedgerPruner* pruner) : pruner_(pruner) {}
  ~Session() { Close(); }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  absl::Status Open(bool locked) {
    Close();
    absl::StatusOr<std::unique_ptr<ctldb::Connection>> opened = pruner_->options_.connect();
    if (!opened.ok()) return opened.status();
    connection_ = *std::move(opened);
    {
      absl::MutexLock lock(&pruner_->mutex_);
      pruner_->connection_ = connection_.get();
    }
    // From here on Stop() finds the connection.
    if (pruner_->stopping_) return Ended();
    if (!locked) return absl::OkStatus();
    absl::StatusOr<std::unique_ptr<ctldb::PruneLock>> lock =
        ctldb::PruneLock::Take(pruner_->options_.ctldb, connection_.get());
    if (!lock.ok()) return lock.status();
    lock_ = *std::move(lock);
    return absl::OkStatus();
  }

  // Where nothing was asked for long, the connection, and the lock with it, may be gone.
  absl::Status MakeSure() {
    return connection_->Alive() ? absl::OkStatus() : Open(lock_ != nullptr);
  }

  ctldb::Connection* connection() { return connection_.get(); }

 private:
  void Close() {
    lock_.reset();
    {
      absl::MutexLock lock(&pruner_->mutex_);
      pruner_->connection_ = nullptr;
    }
    connection_.reset();
  }

  LedgerPruner* const pruner_;
  std::unique_ptr<ctldb::Connection> connection_;
  std::unique_ptr<ctldb::PruneLock> lock_;
};

LedgerPruner::LedgerPruner(Options options, std::vector<std::unique_ptr<SnapshotPlace>> places,
                           PruneMetrics* metrics)
    : options_(std::move(options)), places_(std::move(places)), metrics_(metrics) {}

LedgerPruner::~LedgerPruner() {
  Stop();
  if (thread_.joinable()) thread_.join();
}

void LedgerPruner::Start() {
  thread_ = std::thread([this] { Rounds(); });
}

void LedgerPruner::Stop() {
  stopping_ = true;
  next_round_.Notify();
  next_batch_.Notify();
  for (const std::unique_ptr<SnapshotPlace>& place : places_) place->Cancel();
  absl::MutexLock lock(&mutex_);
  if (connection_ != nullptr) connection_->Interrupt();
}

void LedgerPruner::Rounds() {
  absl::Duration wait = std::min(options_.interval, kFirstRound);
  while (!stopping_) {
    options_.clock->SleepOrWake(wait, &next_round_);
    if (stopping_) return;
    const absl::Status status = Prune(/*dry_run=*/false, nullptr).status();
    // Where another one prunes, all is well.
    if (!status.ok() && !stopping_ && !HasReason(status, reason::kCtldbBusy)) {
      LOG(WARNING) << "event=prune_failed error=\"" << status.message() << "\"";
    }
    wait = options_.interval;
  }
}

absl::StatusOr<LedgerPruner::Report> LedgerPruner::Prune(bool dry_run,
                                                         const ctldb::Cancelled& cancelled) {
  if (places_.empty()) {
    return Disabled("this executive knows no place of snapshots (--snapshot_urls)");
  }
  if (!dry_run && !options_.enabled) {
    return Disabled("this executive may not prune the ledger (--prune_ledger); a dry run it may");
  }
  if (running_.exchange(true)) return Busy();
  const absl::Cleanup done = [this] { running_ = false; };
  const auto ended = [this, &cancelled] { return stopping_ || (cancelled && cancelled()); };
  const absl::Duration start = options_.clock->SteadyNow();

  Report report;
  absl::Status status = Run(dry_run, ended, &report);
  if (ended() && !status.ok()) status = Ended();
  if (!status.ok() && report.pruned_entries > 0) {
    status = Annotated(status, absl::StrCat("after ", report.pruned_entries, " entries up to ",
                                            report.pruned_through, " were removed: "));
  }
  if (dry_run) {
    if (!status.ok()) return status;
    return report;
  }

  if (report.pruned_entries > 0) {
    LOG(INFO) << "event=ledger_pruned from=" << report.first_sequence
              << " through=" << report.pruned_through << " entries=" << report.pruned_entries
              << " duration_ms=" << absl::ToInt64Milliseconds(options_.clock->SteadyNow() - start);
  } else if (status.ok()) {
    LOG(INFO) << "event=ledger_not_pruned first=" << report.first_sequence
              << " last=" << report.last_sequence << " old_through=" << report.old_through
              << " covered_through=" << report.covered_through;
  }
  if (!status.ok()) {
    if (!HasReason(status, reason::kCtldbBusy) && !absl::IsCancelled(status)) {
      metrics_->Failed(status);
    }
    return status;
  }
  for (const Place& place : report.places) {
    if (place.error.ok()) continue;
    metrics_->Failed(place.error);
    LOG(WARNING) << "event=place_covers_nothing url=" << place.url << " error=\""
                 << place.error.message() << "\"";
  }
  metrics_->RoundDone(options_.clock->Now());
  return report;
}

absl::Status LedgerPruner::Run(bool dry_run, const ctldb::Cancelled& cancelled, Report* report) {
  Session session(this);
  absl::Status status = session.Open(/*locked=*/!dry_run);
  if (!status.ok()) return status;
  const absl::Time before = options_.clock->Now() - options_.older_than;
  {
    const absl::StatusOr<ctldb::LedgerBounds> bounds =
        ctldb::ReadLedgerBounds(session.connection());
    if (!bounds.ok()) return bounds.status();
    report->first_sequence = bounds->first;
    report->last_sequence = bounds->last;
    const absl::StatusOr<int64_t> old =
        ctldb::FindOldThrough(session.connection(), *bounds, before);
    if (!old.ok()) return old.status();
    report->old_through = *old;
  }

  for (size_t i = 0; i < places_.size(); ++i) {
    if (cancelled()) return Ended();
    status = session.MakeSure();
    if (!status.ok()) return status;
    absl::StatusOr<Place> place = Cover(i, *report, report->old_through, session.connection());
    if (!place.ok()) return place.status();
    // 0 where the place covers nothing.
    report->covered_through =
        i == 0 ? place->sequence : std::min(report->covered_through, place->sequence);
    report->places.push_back(*std::move(place));
  }
  metrics_->SetLedger(report->first_sequence, report->covered_through);
  status = session.MakeSure();
  if (!status.ok()) return status;

  // The entry at a snapshot's position stays, and what follows what goes is there for sure.
  int64_t through =
      std::min({report->old_through, report->covered_through - 1, report->last_sequence - 1});
  if (report->first_sequence == 0 || through < report->first_sequence) return absl::OkStatus();
  const absl::StatusOr<absl::optional<int64_t>> young = ctldb::FindFirstYoung(
      session.connection(), report->first_sequence, through, before, cancelled);
  if (!young.ok()) return young.status();
  if (young->has_value()) through = report->old_through = **young - 1;
  const absl::StatusOr<int64_t> cut =
      ctldb::FindTransactionEnd(session.connection(), report->first_sequence, through, cancelled);
  if (!cut.ok()) return cut.status();
  if (*cut == 0) return absl::OkStatus();
  if (!dry_run) return Remove(&session, cancelled, *cut, report);

  const absl::StatusOr<int64_t> entries =
      ctldb::CountEntries(session.connection(), report->first_sequence, *cut, cancelled);
  if (!entries.ok()) return entries.status();
  report->pruned_through = *cut;
  report->pruned_entries = *entries;
  return absl::OkStatus();
}

absl::Status LedgerPruner::Remove(Session* session, const ctldb::Cancelled& cancelled,
                                  int64_t through, Report* report) {
  int64_t first = report->first_sequence;
  while (first <= through) {
    if (cancelled()) return Ended();
    const absl::StatusOr<ctldb::RemovedBatch> batch = ctldb::RemoveBatch(
        session->connection(), first, through, options_.batch_entries, options_.batch_bytes);
    if (!batch.ok()) return batch.status();
    if (batch->through == 0) break;
    report->pruned_through = batch->through;
    report->pruned_entries += batch->entries;
    metrics_->Removed(batch->entries);
    first = batch->through + 1;
    metrics_->SetLedger(first, report->covered_through);
    if (first <= through) options_.clock->SleepOrWake(options_.pause, &next_batch_);
  }
  return absl::OkStatus();
}

absl::StatusOr<LedgerPruner::Place> LedgerPruner::Cover(size_t number, const Report& report,
                                                        int64_t wanted,
                                                        ctldb::Connection* connection) {
  Place result;
  result.url = places_[number]->url();
  const absl::StatusOr<std::vector<std::string>> ids = places_[number]->List();
  if (!ids.ok()) {
    result.error = ids.status();
    return result;
  }

  // What is not there any more need not be remembered. What covers enough and was read lately comes
  // first, so that not every round has to read a whole snapshot.
  std::vector<std::string> candidates;
  for (auto verdict = verdicts_.begin(); verdict != verdicts_.end();) {
    const auto& [place, id] = verdict->first;
    const bool listed = std::find(ids->begin(), ids->end(), id) != ids->end();
    if (place == number && !listed) {
      verdict = verdicts_.erase(verdict);
      continue;
    }
    const absl::optional<snapshot::SnapshotId> parsed = snapshot::ParseSnapshotId(id);
    if (place == number && parsed.has_value() && parsed->sequence > wanted &&
        verdict->second.status.ok() && IsFresh(verdict->second)) {
      candidates.push_back(id);
    }
    ++verdict;
  }
  candidates.insert(candidates.end(), ids->begin(), ids->end());

  result.error = ErrorWithReason(absl::StatusCode::kNotFound, reason::kSnapshotNotFound,
                                 "there is no snapshot");
  bool first_error = true;
  for (const std::string& id : candidates) {
    const absl::optional<snapshot::SnapshotId> parsed = snapshot::ParseSnapshotId(id);
    if (!parsed.has_value()) continue;
    if (stopping_) return Ended();
    const absl::StatusOr<absl::Status> judged = Judge(number, id, report, connection);
    if (!judged.ok()) return judged.status();
    if (judged->ok()) {
      result.error = absl::OkStatus();
      result.snapshot_id = id;
      result.sequence = parsed->sequence;
      return result;
    }
    if (!IsAboutSnapshot(*judged)) {
      result.error = *judged;
      return result;
    }
    // Of several reasons that of the newest one is told.
    if (first_error) result.error = Annotated(*judged, absl::StrCat("snapshot ", id, ": "));
    first_error = false;
    // The others are older still.
    if (parsed->sequence < report.first_sequence) break;
  }
  return result;
}

absl::StatusOr<absl::Status> LedgerPruner::Judge(size_t number, const std::string& id,
                                                 const Report& report,
                                                 ctldb::Connection* connection) {
  const absl::StatusOr<snapshot::Manifest> manifest = places_[number]->ReadManifest(id);
  if (!manifest.ok()) return manifest.status();
  if (!manifest->families.empty()) return Uncovering("it holds some of the families only");
  const LedgerPosition& position = manifest->position;
  if (position.sequence != snapshot::ParseSnapshotId(id)->sequence) {
    return Uncovering(absl::StrCat("its manifest is of the sequence ", position.sequence));
  }
  if (position.sequence < report.first_sequence) {
    return Uncovering(absl::StrCat("it stands before the ledger's first entry, ",
                                   report.first_sequence, ", so there is nothing that it covers"));
  }
  const absl::StatusOr<absl::optional<LedgerEntry>> entry =
      ctldb::ReadLedgerEntry(connection, position.sequence);
  if (!entry.ok()) return entry.status();
  if (!entry->has_value()) {
    return Uncovering(absl::StrCat("the ledger, which ends with ", report.last_sequence,
                                   ", has no entry ", position.sequence,
                                   ": it is of another ledger"));
  }
  if (position.digest.empty()) {
    return Uncovering("its manifest does not tell which ledger it is of");
  }
  if (DigestOf(**entry) != position.digest) {
    return ErrorWithReason(absl::StatusCode::kFailedPrecondition, reason::kLedgerDiverged,
                           absl::StrCat("the ledger has another entry ", position.sequence,
                                        ": it is of another ledger"));
  }
  return JudgeObject(number, *manifest);
}

absl::Status LedgerPruner::JudgeObject(size_t number, const snapshot::Manifest& manifest) {
  const auto key = std::make_pair(number, manifest.id);
  const auto known = verdicts_.find(key);
  if (known != verdicts_.end() && known->second.object_sha256 == manifest.object_sha256 &&
      IsFresh(known->second)) {
    if (!known->second.status.ok()) return known->second.status;
    absl::Status there = places_[number]->CheckIsThere(manifest);
    if (IsAboutSnapshot(there)) verdicts_.erase(known);
    return there;
  }
  const absl::Status status = places_[number]->Verify(manifest);
  if (status.ok() || absl::IsDataLoss(status)) {
    verdicts_[key] = Verdict{manifest.object_sha256, options_.clock->Now(), status};
  }
  if (absl::IsDataLoss(status)) {
    LOG(ERROR) << "event=snapshot_damaged url=" << places_[number]->url() << " id=" << manifest.id
               << " error=\"" << status.message() << "\"";
  }
  return status;
}

bool LedgerPruner::IsFresh(const Verdict& verdict) const {
  const absl::Duration age = options_.clock->Now() - verdict.at;
  return age >= absl::ZeroDuration() && age < options_.reverify_after;
}

}  // namespace ctlstore::executive
