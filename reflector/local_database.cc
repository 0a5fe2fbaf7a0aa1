#include "reflector/local_database.h"

#include <glog/logging.h>

#include <atomic>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <set>
#include <system_error>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "common/base/file_lock.h"
#include "common/ldb/adopt_snapshot.h"
#include "common/ldb/file_identity.h"
#include "common/ldb/ldb_check.h"
#include "common/ldb/ldb_files.h"
#include "common/ldb/reader.h"
#include "common/schema/errors.h"
#include "reflector/snapshot_fetch.h"

namespace ctlstore::reflector {
namespace {

// How often files of replaced databases are looked for.
constexpr absl::Duration kRemoveOldEvery = absl::Minutes(1);

// Why it is built anew, which decides what becomes of the old one.
enum class Cause {
  // The old one is as good as the new one.
  kOperator,
  // Is found again when it is opened.
  kFamilies,
  kDamaged,
  // Its position means nothing.
  kAnotherLedger,
  // There is none yet.
  kNew,
  // The ledger does not have the entries that come next.
  kPruned,
};
constexpr Cause kLastCause = Cause::kPruned;

// A rebuild that is under way.
struct RebuildPlan {
  Cause cause = Cause::kOperator;
  std::string reason;
  // The new one has to be as far as this; nullopt: as far as the ledger is.
  absl::optional<int64_t> sequence;
  // What is to be replaced; inode 0 for nothing.
  ldb::FileIdentity replaced;
};

std::string FetchFolder(const std::string& path) { return absl::StrCat(path, ".fetch"); }

std::string MarkerPath(const std::string& path) { return absl::StrCat(path, ".rebuild"); }

// The reason of the last line may hold anything.
absl::Status WriteMarker(const std::string& path, const RebuildPlan& plan) {
  std::ofstream file(path, std::ios::trunc);
  file << plan.replaced.device << ' ' << plan.replaced.inode << ' ' << static_cast<int>(plan.cause)
       << ' ' << plan.sequence.value_or(-1) << '\n'
       << plan.reason << '\n';
  file.close();
  return file.fail() ? absl::UnavailableError(absl::StrCat("cannot write ", path))
                     : absl::OkStatus();
}

absl::optional<RebuildPlan> ReadMarker(const std::string& path) {
  std::ifstream file(path);
  RebuildPlan plan;
  int cause = 0;
  int64_t sequence = 0;
  file >> plan.replaced.device >> plan.replaced.inode >> cause >> sequence;
  file.ignore(1);
  std::getline(file, plan.reason);
  if (file.fail() || cause < 0 || cause > static_cast<int>(kLastCause)) {
    return absl::nullopt;
  }
  plan.cause = static_cast<Cause>(cause);
  if (sequence >= 0) plan.sequence = sequence;
  return plan;
}

// What is in the way of going on, where no snapshot could be had.
absl::Status NoSnapshot(const absl::Status& why) {
  if (absl::IsResourceExhausted(why) || ErrorReason(why).has_value()) return why;
  return ErrorWithReason(absl::StatusCode::kUnavailable, reason::kSnapshotNotFound, why.message());
}

// Checks a local database in a thread of its own.
class BackgroundCheck {
 public:
  ~BackgroundCheck() { Cancel(); }

  void Start(const std::string& path) {
    Cancel();
    cancelled_ = false;
    thread_ = std::thread([this, path] {
      absl::Status status = ldb::CheckLdb(path, [this] { return cancelled_.load(); });
      if (absl::IsDataLoss(status)) {
        {
          absl::MutexLock lock(&mutex_);
          finding_ = std::move(status);
        }
        found_ = true;
      } else if (!status.ok() && !absl::IsCancelled(status)) {
        LOG(WARNING) << "event=ldb_check_failed path=" << path << " error=\"" << status << "\"";
      } else if (status.ok()) {
        LOG(INFO) << "event=ldb_checked path=" << path;
      }
    });
  }

  // Nothing is found afterwards.
  void Cancel() {
    if (thread_.joinable()) {
      cancelled_ = true;
      thread_.join();
    }
    found_ = false;
  }

  bool found() const { return found_; }
  absl::Status finding() const {
    absl::MutexLock lock(&mutex_);
    return finding_;
  }

 private:
  std::atomic<bool> cancelled_{false};
  std::atomic<bool> found_{false};
  mutable absl::Mutex mutex_;
  absl::Status finding_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace

class LocalDatabase::Impl {
 public:
  Impl(const Options& options, std::unique_ptr<FileLock> lock)
      : options_(options), lock_(std::move(lock)), files_(options.path, options.clock) {}

  ~Impl() {
    fetch_.reset();
    check_.Cancel();
    writer_.reset();
  }

  absl::Status Open() {
    if (check_.found()) {
      Plan(Cause::kDamaged, check_.finding().message());
      UpdateInfo();
    }
    if (writer_ != nullptr) return absl::OkStatus();
    absl::Status status = OpenClosed();
    UpdateInfo();
    return status;
  }

  int64_t generation() const { return generation_; }
  LedgerPosition received_position() const {
    return writer_ == nullptr ? LedgerPosition() : writer_->received_position();
  }
  int64_t applied_sequence() const { return writer_ == nullptr ? 0 : writer_->applied_sequence(); }
  absl::optional<int64_t> failed_sequence() const {
    return writer_ == nullptr ? absl::nullopt : writer_->failed_sequence();
  }
  void SkipEntry(int64_t sequence) {
    if (writer_ != nullptr) writer_->SkipEntry(sequence);
  }

  absl::Status Apply(absl::Span<const LedgerEntry> entries, bool at_end) {
    if (writer_ == nullptr) return absl::UnavailableError("the local database is not open");
    absl::Status status = absl::OkStatus();
    if (!entries.empty()) {
      const absl::Duration begin = options_.clock->SteadyNow();
      const ldb::LdbWriter::Applied before = writer_->applied();
      status = writer_->Apply(entries);
      if (options_.on_apply) {
        ldb::LdbWriter::Applied applied = writer_->applied();
        applied.entries -= before.entries;
        applied.transactions -= before.transactions;
        applied.commits -= before.commits;
        options_.on_apply(status, options_.clock->SteadyNow() - begin, applied);
      }
    }
    if (status.ok() && plan_.has_value() && IsFarEnough(at_end)) status = Publish();
    // The ledger goes on from here: what a fetch that ended early has left is of no use.
    if (status.ok() && at_end && !plan_.has_value() && !is_fetch_folder_removed_) {
      std::error_code ignored;
      std::filesystem::remove_all(FetchFolder(options_.path), ignored);
      is_fetch_folder_removed_ = true;
    }
    if (!status.ok()) HandleError(status);
    UpdateInfo();
    return status;
  }

  absl::Status Idle() {
    if (check_.found()) {
      absl::Status found = check_.finding();
      Plan(Cause::kDamaged, found.message());
      UpdateInfo();
      return found;
    }
    if (writer_ == nullptr) return absl::OkStatus();
    absl::Status status = CheckPath();
    if (status.ok()) status = writer_->Idle();
    if (!status.ok()) HandleError(status);
    RemoveOld();
    UpdateInfo();
    return status;
  }

  void Rebuild(const std::string& reason, bool another_ledger) {
    const Cause cause = another_ledger ? Cause::kAnotherLedger : Cause::kOperator;
    if (!plan_.has_value()) {
      Plan(cause, reason);
    } else if (another_ledger) {
      ExcludeSnapshot();
      // What has been played so far is of the ledger before.
      plan_->cause = cause;
      plan_->reason = reason;
      plan_->sequence.reset();
      CloseGeneration();
      WritePlan();
    }
    UpdateInfo();
  }

  bool rebuilding() const { return plan_.has_value(); }

  bool FetchSnapshot(const std::string& reason) {
    if (options_.snapshots == nullptr) return false;
    if (!plan_.has_value()) {
      Plan(Cause::kPruned, reason);
    } else {
      ExcludeSnapshot();
      is_beginning_gone_ = is_beginning_gone_ || received_position().sequence == 0;
      CloseGeneration();
    }
    UpdateInfo();
    return true;
  }

  bool GiveUpRebuild() {
    if (!plan_.has_value() || plan_->cause != Cause::kOperator) return false;
    CloseGeneration();
    ForgetPlan();
    UpdateInfo();
    return true;
  }

  Info info() const {
    absl::MutexLock lock(&mutex_);
    Info info = info_;
    if (fetch_ != nullptr) info.fetch = fetch_->progress();
    return info;
  }

 private:
  absl::Status OpenClosed() {
    if (!looked_for_marker_) {
      looked_for_marker_ = true;
      ResumePlan();
    }
    if (plan_.has_value()) return OpenGeneration();
    if (options_.snapshots != nullptr && !is_first_given_up_ &&
        !std::filesystem::exists(std::filesystem::symlink_status(options_.path))) {
      Plan(Cause::kNew, "there was none");
      return OpenGeneration();
    }
    absl::Status status = OpenPath();
    if (HasReason(status, reason::kFamiliesDiffer)) {
      Plan(Cause::kFamilies, status.message());
    } else if (absl::IsDataLoss(status)) {
      Plan(Cause::kDamaged, status.message());
    } else {
      return status;
    }
    return OpenGeneration();
  }

  // Opens what readers see.
  absl::Status OpenPath() {
    ldb::LdbWriter::Options options = options_.writer;
    options.lock = false;
    for (const Options::Listener& listener : options_.listeners) {
      options.listeners.push_back(listener.listener);
    }
    absl::StatusOr<std::unique_ptr<ldb::LdbWriter>> writer =
        ldb::LdbWriter::Open(options_.path, options);
    if (!writer.ok()) return writer.status();
    writer_ = *std::move(writer);
    identity_ = ldb::IdentityOf(options_.path).value_or(ldb::FileIdentity());
    ++generation_;
    TellListeners();
    ForgetPlan();
    LOG(INFO) << "event=ldb_opened ldb=" << options_.path
              << " applied_sequence=" << writer_->applied_sequence();
    if (options_.check && !is_checked_) check_.Start(options_.path);
    is_checked_ = true;
    return absl::OkStatus();
  }

  // Opens the one that is built.
  absl::Status OpenGeneration() {
    if (generation_path_.empty()) {
      if (options_.snapshots != nullptr && !is_without_snapshot_) {
        const absl::Status fetched = TakeSnapshot();
        if (HasReason(fetched, reason::kFetchingSnapshot)) return fetched;
        if (!fetched.ok()) {
          const absl::optional<absl::Status> end = GoOnWithoutSnapshot(fetched);
          if (end.has_value()) return *end;
        }
      }
      if (generation_path_.empty()) {
        absl::StatusOr<std::string> path = files_.NewGeneration();
        if (!path.ok()) return path.status();
        generation_path_ = *std::move(path);
      }
    }
    ldb::LdbWriter::Options options = options_.writer;
    options.lock = false;
    absl::StatusOr<std::unique_ptr<ldb::LdbWriter>> writer =
        ldb::LdbWriter::Open(generation_path_, options);
    if (!writer.ok()) {
      if (absl::IsDataLoss(writer.status())) {
        if (!snapshot_.key.empty()) excluded_snapshots_.insert(snapshot_.key);
        CloseGeneration();
      }
      return writer.status();
    }
    writer_ = *std::move(writer);
    identity_ = ldb::IdentityOf(generation_path_).value_or(ldb::FileIdentity());
    ++generation_;
    if (!IsGoodWithoutLedger()) return absl::OkStatus();
    absl::Status status = Publish();
    if (!status.ok()) HandleError(status);
    return status;
  }

  // Whether it is put in place although the ledger has not been asked yet: hosts must come up also
  // while nothing else does. Should it be of another ledger, that shows, and it is built anew.
  bool IsGoodWithoutLedger() const {
    if (snapshot_.key.empty() || writer_->applied_sequence() == 0) return false;
    if (plan_->cause == Cause::kNew) return true;
    return plan_->cause == Cause::kDamaged && plan_->sequence.has_value() &&
           writer_->applied_sequence() >= *plan_->sequence;
  }

  // Makes the newest snapshot the one that is built. FETCHING_SNAPSHOT while that is under way.
  absl::Status TakeSnapshot() {
    if (fetch_ == nullptr) {
      is_fetch_folder_removed_ = false;
      SnapshotSource::Request request;
      request.families = options_.writer.families;
      request.excluded = excluded_snapshots_;
      request.folder = FetchFolder(options_.path);
      absl::MutexLock lock(&mutex_);
      fetch_ = std::make_unique<SnapshotFetch>(options_.snapshots, std::move(request),
                                               options_.path, options_.clock);
    }
    if (!fetch_->done()) {
      return ErrorWithReason(absl::StatusCode::kUnavailable, reason::kFetchingSnapshot,
                             "a snapshot is being fetched");
    }
    const absl::StatusOr<SnapshotSource::Snapshot> fetched = fetch_->Result();
    CancelFetch();
    if (!fetched.ok()) return fetched.status();
    absl::StatusOr<std::string> path = files_.NewGeneration();
    if (!path.ok()) return path.status();
    const absl::Status adopted = ldb::AdoptSnapshot(fetched->path, *path, options_.writer.families);
    if (!adopted.ok()) {
      if (absl::IsDataLoss(adopted)) excluded_snapshots_.insert(fetched->key);
      return adopted;
    }
    generation_path_ = *std::move(path);
    snapshot_ = *fetched;
    is_beginning_gone_ = false;
    ++snapshots_fetched_;
    LOG(INFO) << "event=snapshot_adopted ldb=" << options_.path << " url=" << snapshot_.url
              << " snapshot=" << snapshot_.id << " sequence=" << snapshot_.sequence;
    return absl::OkStatus();
  }

  // What is done where no snapshot came: nullopt to go on from the ledger's beginning.
  absl::optional<absl::Status> GoOnWithoutSnapshot(const absl::Status& why) {
    ++snapshot_fetches_failed_;
    LOG(WARNING) << "event=snapshot_fetch_failed ldb=" << options_.path << " error=\"" << why
                 << "\"";
    switch (plan_->cause) {
      case Cause::kNew:
        is_first_given_up_ = true;
        ForgetPlan();
        return OpenPath();
      case Cause::kPruned:
        // What there is may fit again, to another upstream.
        ForgetPlan();
        return NoSnapshot(why);
      default:
        break;
    }
    // Asked again at the next try, and then the ledger's beginning: both may be mended.
    if (std::exchange(is_beginning_gone_, false)) return NoSnapshot(why);
    is_without_snapshot_ = true;
    return absl::nullopt;
  }

  // The ledger does not go on from the snapshot that what there is began from.
  void ExcludeSnapshot() {
    if (writer_ != nullptr && !snapshot_.key.empty() &&
        writer_->applied_sequence() == snapshot_.sequence) {
      excluded_snapshots_.insert(snapshot_.key);
    }
  }

  void CancelFetch() {
    std::unique_ptr<SnapshotFetch> fetch;
    {
      absl::MutexLock lock(&mutex_);
      fetch.swap(fetch_);
    }
  }

  void CloseGeneration() {
    CancelFetch();
    writer_.reset();
    generation_path_.clear();
    snapshot_ = SnapshotSource::Snapshot();
    is_without_snapshot_ = false;
  }

  void TellListeners() {
    const int64_t sequence = writer_->applied_sequence();
    for (const Options::Listener& listener : options_.listeners) {
      listener.attach(sequence);
      if (!is_another_) continue;
      ldb::Change change;
      change.kind = ldb::Change::Kind::kEverything;
      change.sequence = sequence;
      listener.listener->Committing({change});
      listener.listener->Committed({change}, sequence);
    }
    is_another_ = false;
  }

  // Begins to build it anew.
  void Plan(Cause cause, absl::string_view reason) {
    check_.Cancel();
    RebuildPlan plan;
    plan.cause = cause;
    plan.reason = std::string(reason);
    if (cause == Cause::kNew) {
      plan.sequence = 0;
    } else if (cause != Cause::kAnotherLedger) {
      plan.sequence = OldSequence();
    }
    plan.replaced = ldb::IdentityOf(options_.path).value_or(ldb::FileIdentity());
    if (cause == Cause::kAnotherLedger || cause == Cause::kPruned) ExcludeSnapshot();
    CloseGeneration();
    plan_ = std::move(plan);
    LOG(WARNING) << "event=ldb_rebuild_began ldb=" << options_.path
                 << " until_sequence=" << plan_->sequence.value_or(-1) << " reason=\""
                 << plan_->reason << "\"";
    if (cause == Cause::kDamaged) {
      const absl::Status kept = files_.KeepDamaged();
      if (!kept.ok()) {
        LOG(WARNING) << "event=ldb_keep_damaged_failed ldb=" << options_.path << " error=\"" << kept
                     << "\"";
      }
    }
    WritePlan();
  }

  // How far what readers see is, where that can be told.
  absl::optional<int64_t> OldSequence() const {
    if (writer_ != nullptr) return writer_->applied_sequence();
    const absl::StatusOr<ldb::Position> position = ldb::Reader(options_.path).GetPosition();
    if (!position.ok()) return absl::nullopt;
    return position->applied_sequence;
  }

  void WritePlan() {
    const absl::Status written = WriteMarker(MarkerPath(options_.path), *plan_);
    if (!written.ok()) {
      LOG(WARNING) << "event=ldb_rebuild_marker_failed ldb=" << options_.path << " error=\""
                   << written << "\"";
    }
  }

  void ForgetPlan() {
    plan_.reset();
    std::error_code ignored;
    std::filesystem::remove(MarkerPath(options_.path), ignored);
  }

  // Takes up what was under way when the process before ended.
  void ResumePlan() {
    absl::optional<RebuildPlan> plan = ReadMarker(MarkerPath(options_.path));
    if (!plan.has_value()) return;
    const absl::optional<ldb::FileIdentity> now = ldb::IdentityOf(options_.path);
    if (now.has_value() && *now != plan->replaced) {
      // It was put in place, or somebody else has done that; who listens may not know.
      is_another_ = true;
      return;
    }
    // These show again: where the families are not what they were before, and where there is still
    // nothing, or the ledger does not reach back.
    if (plan->cause == Cause::kFamilies || plan->cause == Cause::kNew ||
        plan->cause == Cause::kPruned) {
      return;
    }
    plan_ = std::move(plan);
    LOG(WARNING) << "event=ldb_rebuild_resumed ldb=" << options_.path << " reason=\""
                 << plan_->reason << "\"";
  }

  bool IsFarEnough(bool at_end) const {
    return plan_->sequence.has_value() ? writer_->applied_sequence() >= *plan_->sequence : at_end;
  }

  absl::Status Publish() {
    absl::Status status = CheckPath();
    if (!status.ok()) return status;
    const int64_t sequence = writer_->applied_sequence();
    // Less to read for those who open it first. What stays in the WAL is put in place with it.
    status = writer_->Checkpoint();
    if (!status.ok()) return status;
    writer_.reset();
    status = files_.Publish(generation_path_);
    // It is opened again, and put in place when the next entries or the ledger's end come.
    if (!status.ok()) return status;
    if (plan_->cause != Cause::kNew) ++rebuilds_;
    LOG(INFO) << "event=ldb_rebuild_ended ldb=" << options_.path << " sequence=" << sequence
              << " reason=\"" << plan_->reason << "\"";
    plan_.reset();
    generation_path_.clear();
    is_another_ = true;
    is_checked_ = true;
    return OpenPath();
  }

  // LDB_REPLACED where somebody has put another file in place of the one that readers see.
  absl::Status CheckPath() const {
    const absl::optional<ldb::FileIdentity> now = ldb::IdentityOf(options_.path);
    if (plan_.has_value()) {
      // Where nothing is, there is nothing to be lost.
      if (!now.has_value() || *now == plan_->replaced) return absl::OkStatus();
    } else if (now.has_value() && *now == identity_) {
      return absl::OkStatus();
    }
    return ErrorWithReason(
        absl::StatusCode::kFailedPrecondition, reason::kLdbReplaced,
        absl::StrCat(options_.path, " is no longer the file that was there before"));
  }

  void HandleError(const absl::Status& status) {
    if (HasReason(status, reason::kLdbReplaced)) {
      if (plan_.has_value() && !CheckPath().ok()) {
        LOG(WARNING) << "event=ldb_rebuild_given_up ldb=" << options_.path << " error=\"" << status
                     << "\"";
        CloseGeneration();
        ForgetPlan();
      }
      check_.Cancel();
      CloseGeneration();
      is_another_ = true;
      is_checked_ = false;
    } else if (absl::IsDataLoss(status)) {
      if (plan_.has_value()) {
        CloseGeneration();
      } else {
        Plan(Cause::kDamaged, status.message());
      }
    }
  }

  void RemoveOld() {
    const absl::Duration now = options_.clock->SteadyNow();
    if (now < remove_old_at_) return;
    remove_old_at_ = now + kRemoveOldEvery;
    const absl::Status removed = files_.RemoveOld(options_.keep_old_for);
    if (!removed.ok()) {
      LOG(WARNING) << "event=ldb_remove_old_failed ldb=" << options_.path << " error=\"" << removed
                   << "\"";
    }
  }

  void UpdateInfo() {
    absl::MutexLock lock(&mutex_);
    if (writer_ != nullptr) {
      info_.wal = writer_->wal();
      info_.skipped_entries = writer_->skipped_entries();
    }
    info_.rebuilding = plan_.has_value();
    info_.rebuilds = rebuilds_;
    info_.snapshots_fetched = snapshots_fetched_;
    info_.snapshot_fetches_failed = snapshot_fetches_failed_;
    if (!plan_.has_value()) info_.snapshot_id = snapshot_.id;
    if (plan_.has_value()) {
      if (plan_->sequence.has_value()) info_.applied_sequence = *plan_->sequence;
      info_.rebuild_reason = plan_->reason;
      info_.rebuild_sequence = applied_sequence();
    } else {
      info_.rebuild_reason.clear();
      info_.rebuild_sequence = 0;
      if (writer_ != nullptr) info_.applied_sequence = writer_->applied_sequence();
    }
  }

  const Options options_;
  // Let go of after everything else.
  const std::unique_ptr<FileLock> lock_;
  ldb::LdbFiles files_;
  // Of the path, or of the one that is built where there is a plan.
  std::unique_ptr<ldb::LdbWriter> writer_;
  ldb::FileIdentity identity_;
  int64_t generation_ = 0;
  absl::optional<RebuildPlan> plan_;
  // The file that is built, where there is one.
  std::string generation_path_;
  bool looked_for_marker_ = false;
  // Those who listen have to be told that anything may have changed.
  bool is_another_ = false;
  // Nothing was found yet that would speak against the file at the path.
  bool is_checked_ = false;
  int64_t rebuilds_ = 0;
  // On the steady clock.
  absl::Duration remove_old_at_ = absl::ZeroDuration();
  BackgroundCheck check_;

  // The snapshot that the one that is open began from; its key is empty for none.
  SnapshotSource::Snapshot snapshot_;
  // By their keys: those that the ledger did not go on from, or that could not be used.
  std::set<std::string> excluded_snapshots_;
  // The one that is built begins from the ledger's beginning, because no snapshot came.
  bool is_without_snapshot_ = false;
  // The ledger's beginning was not there when it was last asked for.
  bool is_beginning_gone_ = false;
  // No snapshot came for the first one.
  bool is_first_given_up_ = false;
  bool is_fetch_folder_removed_ = false;
  int64_t snapshots_fetched_ = 0;
  int64_t snapshot_fetches_failed_ = 0;

  mutable absl::Mutex mutex_;
  Info info_ ABSL_GUARDED_BY(mutex_);
  // Changed with the mutex by the one thread that uses this, which needs none to look at it.
  std::unique_ptr<SnapshotFetch> fetch_;
};

absl::StatusOr<std::unique_ptr<LocalDatabase>> LocalDatabase::Lock(const Options& options) {
  const std::filesystem::path folder = std::filesystem::path(options.path).parent_path();
  std::error_code error;
  if (!folder.empty()) std::filesystem::create_directories(folder, error);
  if (error) {
    return absl::UnavailableError(
        absl::StrCat("cannot create the folder ", folder.string(), ": ", error.message()));
  }
  absl::StatusOr<std::unique_ptr<FileLock>> lock =
      FileLock::Open(absl::StrCat(options.path, ".lock"));
  if (!lock.ok()) return lock.status();
  absl::Status status = (*lock)->Lock(absl::ZeroDuration());
  if (!status.ok()) return status;
  auto impl = std::make_unique<Impl>(options, *std::move(lock));
  status = impl->Open();
  if (!status.ok() && !HasReason(status, reason::kFetchingSnapshot)) {
    LOG(WARNING) << "event=ldb_open_failed ldb=" << options.path << " error=\"" << status << "\"";
  }
  return std::unique_ptr<LocalDatabase>(new LocalDatabase(std::move(impl)));
}

LocalDatabase::LocalDatabase(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
LocalDatabase::~LocalDatabase() = default;

absl::Status LocalDatabase::Open() { return impl_->Open(); }
int64_t LocalDatabase::generation() const { return impl_->generation(); }
LedgerPosition LocalDatabase::received_position() const { return impl_->received_position(); }
int64_t LocalDatabase::applied_sequence() const { return impl_->applied_sequence(); }
absl::optional<int64_t> LocalDatabase::failed_sequence() const { return impl_->failed_sequence(); }
void LocalDatabase::SkipEntry(int64_t sequence) { impl_->SkipEntry(sequence); }
absl::Status LocalDatabase::Apply(absl::Span<const LedgerEntry> entries, bool at_end) {
  return impl_->Apply(entries, at_end);
}
absl::Status LocalDatabase::Idle() { return impl_->Idle(); }
void LocalDatabase::Rebuild(const std::string& reason, bool another_ledger) {
  impl_->Rebuild(reason, another_ledger);
}
bool LocalDatabase::FetchSnapshot(const std::string& reason) {
  return impl_->FetchSnapshot(reason);
}
bool LocalDatabase::rebuilding() const { return impl_->rebuilding(); }
bool LocalDatabase::GiveUpRebuild() { return impl_->GiveUpRebuild(); }
LocalDatabase::Info LocalDatabase::info() const { return impl_->info(); }

}  // namespace ctlstore::reflector
