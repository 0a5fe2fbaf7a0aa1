#include "common/ldb/ldb_writer.h"

#include <glog/logging.h>
#include <malloc.h>
#include <sqlite3.h>

#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/file_lock.h"
#include "common/ldb/change_history.h"
#include "common/ldb/change_recorder.h"
#include "common/ldb/family_filter.h"
#include "common/ldb/file_identity.h"
#include "common/ldb/freshness_page_keeper.h"
#include "common/ldb/ldb_state.h"
#include "common/ldb/ledger_markers.h"
#include "common/ldb/statement_applier.h"
#include "common/ldb/transaction_splitter.h"
#include "common/ldb/wal_keeper.h"
#include "common/schema/errors.h"
#include "common/sqlite/database.h"

namespace ctlstore::ldb {
namespace {

// Nobody else writes, so only a reader that repairs the WAL after a crash is ever waited for.
constexpr absl::Duration kBusyTimeout = absl::Seconds(5);
// In KiB. SQLite's default of 2,000 makes random writes to a table of 100,000 rows a third slower.
constexpr char kCacheSize[] = "PRAGMA cache_size=-16384";
// Memory is given back when nothing was committed for as long, where this much was before.
constexpr absl::Duration kIdleAfter = absl::Seconds(3);
constexpr size_t kWorthGivingBackBytes = size_t{1} << 20;

absl::Status WithMessage(const absl::Status& status, absl::string_view message) {
  return absl::Status(status.code(), message);
}

// What is wrong with the file or the system, and not with an entry.
bool IsOfTheFile(const absl::Status& status) {
  return (absl::IsUnavailable(status) || absl::IsResourceExhausted(status) ||
          absl::IsDataLoss(status)) &&
         ErrorReason(status) != reason::kWalFull;
}

absl::Status Replaced(absl::string_view message) {
  return ErrorWithReason(absl::StatusCode::kFailedPrecondition, reason::kLdbReplaced, message);
}

// One connection to the file, with all that hangs on it.
struct Connection {
  std::unique_ptr<sqlite::Database> database;
  std::unique_ptr<LdbState> state;
  std::unique_ptr<sqlite::Statement> begin;
  std::unique_ptr<sqlite::Statement> commit;
  std::unique_ptr<sqlite::Statement> rollback;
  std::unique_ptr<ChangeRecorder> changes;
  std::unique_ptr<ChangeHistoryWriter> history;
  std::unique_ptr<StatementApplier> applier;

  static absl::StatusOr<std::unique_ptr<Connection>> Open(const std::string& path,
                                                          const std::vector<std::string>& families,
                                                          int64_t history_bytes) {
    auto connection = std::make_unique<Connection>();
    absl::StatusOr<std::unique_ptr<sqlite::Database>> database =
        sqlite::Database::Open(path, sqlite::Database::Mode::kReadWrite, kBusyTimeout);
    if (!database.ok()) return database.status();
    connection->database = *std::move(database);
    absl::Status status = connection->Configure(path);
    if (!status.ok()) return status;
    absl::StatusOr<std::unique_ptr<LdbState>> state =
        LdbState::Open(connection->database.get(), families);
    if (!state.ok()) return state.status();
    connection->state = *std::move(state);
    connection->changes = std::make_unique<ChangeRecorder>(connection->database.get());
    connection->history =
        std::make_unique<ChangeHistoryWriter>(connection->database.get(), history_bytes);
    status = connection->AttachHistory();
    if (!status.ok()) return status;
    connection->applier = std::make_unique<StatementApplier>(connection->database.get());
    return connection;
  }

  // So that readers need not wait for the first commit.
  absl::Status AttachHistory() {
    absl::Status status = begin->Run();
    if (!status.ok()) return status;
    const absl::StatusOr<int64_t> sequence = state->ReadSequence();
    status = sequence.status();
    if (status.ok()) status = history->Attach(*sequence);
    if (status.ok()) status = commit->Run();
    if (!status.ok() && database->in_transaction()) rollback->Run().IgnoreError();
    return status;
  }

  absl::Status Configure(const std::string& path) {
    {
      absl::StatusOr<std::unique_ptr<sqlite::Statement>> journal =
          database->Prepare("PRAGMA journal_mode=WAL");
      if (!journal.ok()) return journal.status();
      absl::StatusOr<bool> row = (*journal)->Step();
      if (!row.ok()) return row.status();
      if (!*row || (*journal)->Column(0) != ValueView("wal")) {
        return absl::UnavailableError(absl::StrCat(path, " cannot be put in WAL mode"));
      }
    }
    for (const char* sql : {"PRAGMA synchronous=NORMAL", kCacheSize}) {
      absl::Status status = database->Execute(sql);
      if (!status.ok()) return status;
    }
    for (auto [sql, statement] :
         {std::make_pair("BEGIN IMMEDIATE", &begin), std::make_pair("COMMIT", &commit),
          std::make_pair("ROLLBACK", &rollback)}) {
      absl::StatusOr<std::unique_ptr<sqlite::Statement>> prepared = database->Prepare(sql);
      if (!prepared.ok()) return prepared.status();
      *statement = *std::move(prepared);
    }
    return absl::OkStatus();
  }
};

}  // namespace

class LdbWriter::Impl {
 public:
  Impl(std::string path, const Options& options, FamilyFilter filter,
       std::unique_ptr<FileLock> lock)
      : path_(std::move(path)),
        options_(options),
        filter_(std::move(filter)),
        lock_(std::move(lock)),
        splitter_(options.max_open_transaction_bytes) {}

  absl::Status Start() {
    absl::StatusOr<std::unique_ptr<Connection>> connection =
        Connection::Open(path_, filter_.families(), options_.change_history_bytes);
    if (!connection.ok()) return connection.status();
    connection_ = *std::move(connection);
    file_ = IdentityOf(path_);
    identity_ = connection_->state->identity();
    absl::StatusOr<LedgerPosition> position = connection_->state->ReadPosition();
    if (!position.ok()) return position.status();
    applied_position_ = *std::move(position);
    absl::StatusOr<int64_t> skipped = connection_->state->CountSkipped();
    if (!skipped.ok()) return skipped.status();
    skipped_entries_ = *skipped;
    WalKeeper::Options wal;
    wal.checkpoint_bytes = options_.checkpoint_wal_bytes;
    wal.max_bytes = options_.max_wal_bytes;
    wal.warn_reader_after = options_.warn_reader_after;
    wal.clock = options_.clock;
    const std::string file_path = sqlite3_db_filename(connection_->database->handle(), "main");
    page_ = std::make_unique<FreshnessPageKeeper>(file_path, identity_, options_.clock);
    wal_ = std::make_unique<WalKeeper>(path_, file_path, page_.get(), wal);
    page_->Attach(applied_position_.sequence);
    return absl::OkStatus();
  }

  const LedgerPosition& applied_position() const { return applied_position_; }
  LedgerPosition received_position() const {
    const LedgerEntry* last = splitter_.last_waiting();
    return last != nullptr ? PositionAfter(*last) : applied_position_;
  }
  int64_t received_sequence() const {
    const LedgerEntry* last = splitter_.last_waiting();
    return last != nullptr ? last->sequence : applied_position_.sequence;
  }
  const std::string& identity() const { return identity_; }
  Applied applied() const { return applied_; }
  absl::optional<int64_t> failed_sequence() const { return failed_sequence_; }
  int64_t skipped_entries() const { return skipped_entries_; }
  WalStatus wal() const { return wal_->status(); }

  absl::Status Apply(absl::Span<const LedgerEntry> entries) {
    failed_sequence_.reset();
    absl::Status status = CheckOrder(entries);
    if (status.ok()) status = Connect();
    if (status.ok()) {
      splitter_.Take(entries);
      status = ApplyTransactions();
    }
    if (!status.ok()) splitter_.Forget();
    return AfterUse(status);
  }

  void SkipEntry(int64_t sequence) { splitter_.Skip(sequence); }

  absl::Status Checkpoint() {
    absl::Status status = Connect();
    if (status.ok()) status = wal_->Checkpoint(connection_->database.get());
    return AfterUse(status);
  }

  absl::Status Idle() {
    absl::Status status = Connect();
    if (status.ok()) status = wal_->Idle(connection_->database.get());
    if (status.ok()) {
      page_->Attach(applied_position_.sequence);
      GiveBackMemory();
    }
    return AfterUse(status);
  }

 private:
  // Opens the file anew where that is needed.
  absl::Status Connect() {
    if (connection_ != nullptr) return absl::OkStatus();
    // SQLite would make a new file.
    absl::Status status = CheckFile();
    if (!status.ok()) return status;
    absl::StatusOr<std::unique_ptr<Connection>> connection =
        Connection::Open(path_, filter_.families(), options_.change_history_bytes);
    if (!connection.ok()) return connection.status();
    if ((*connection)->state->identity() != identity_) {
      return Replaced(absl::StrCat(path_, " is no longer the local database that was opened"));
    }
    connection_ = *std::move(connection);
    absl::StatusOr<LedgerPosition> position = connection_->state->ReadPosition();
    if (!position.ok()) return AfterUse(position.status());
    // A commit that seemed to fail may be there. Then what the caller has would be applied twice.
    if (position->sequence != applied_position_.sequence) {
      const int64_t expected = applied_position_.sequence;
      splitter_.Forget();
      TellThatEverythingChanged(*position);
      return AfterUse(absl::UnavailableError(absl::StrCat(path_, " has been opened anew and is at ",
                                                          position->sequence, ", not at ", expected,
                                                          "; go on from there")));
    }
    LOG(INFO) << "event=ldb_opened_anew path=" << path_ << " sequence=" << position->sequence;
    return absl::OkStatus();
  }

  absl::Status AfterUse(const absl::Status& status) {
    if (IsOfTheFile(status)) Disconnect();
    return status;
  }

  // Drops a connection that may not know any more what is in the file.
  void Disconnect() {
    connection_.reset();
    page_->Detach();
  }

  // SQLite would go on to write to a file that nobody can open any more.
  absl::Status CheckFile() const {
    if (IdentityOf(path_) == file_) return absl::OkStatus();
    return Replaced(absl::StrCat(path_, " is no longer the file that was opened"));
  }

  absl::Status CheckOrder(absl::Span<const LedgerEntry> entries) const {
    int64_t last = received_sequence();
    for (const LedgerEntry& entry : entries) {
      if (entry.sequence <= last) {
        return absl::InvalidArgumentError(absl::StrCat(
            "ledger entry ", entry.sequence, " comes after entry ", last, ", out of order"));
      }
      last = entry.sequence;
    }
    return absl::OkStatus();
  }

  // Applies what the splitter has, and keeps in it what is without its end.
  absl::Status ApplyTransactions() {
    size_t done = 0;
    size_t stop = splitter_.size();
    absl::Status failure;
    while (done < stop) {
      size_t failed = done;
      const absl::StatusOr<absl::optional<size_t>> end = splitter_.End(done, &failed);
      if (!end.ok()) return EntryFailed(splitter_[failed], end.status());
      if (!end->has_value()) break;
      absl::Status status = wal_->MakeRoom(connection_->database.get());
      if (!status.ok()) return status;
      size_t next = done;
      status = CommitSome(done, **end, stop, &next);
      if (status.ok()) {
        done = next;
      } else if (ErrorReason(status) == reason::kEntryFailed) {
        // What stands before the ledger transaction that cannot be applied is not held back by it.
        failure = status;
        stop = next;
      } else {
        return status;
      }
    }
    if (!failure.ok()) return failure;
    absl::Status status = splitter_.Keep(done);
    return status.ok() ? status : EntryFailed(splitter_[done], status);
  }

  // Runs ledger transactions from `begin` on, at most up to `stop`, in one SQLite transaction; the
  // first one ends at `first_end`. `*next` is behind the last one that was run; after an error
  // nothing is committed.
  absl::Status CommitSome(size_t begin, size_t first_end, size_t stop, size_t* next) {
    absl::Status status = Begin();
    const absl::Time begin_time = options_.clock->Now();
    size_t bytes = 0;
    int64_t transactions = 0;
    size_t end = first_end;
    while (status.ok()) {
      for (size_t i = *next; i < end && status.ok(); ++i) {
        status = Run(splitter_[i]);
        bytes += TransactionSplitter::BytesOf(splitter_[i]);
      }
      if (!status.ok()) break;
      *next = end;
      ++transactions;
      if (end >= stop || end - begin >= options_.max_commit_entries ||
          bytes >= options_.max_commit_bytes ||
          options_.clock->Now() - begin_time >= options_.max_commit_time) {
        break;
      }
      // What is wrong with the next one is found when it comes first.
      size_t failed = end;
      const absl::StatusOr<absl::optional<size_t>> next_end = splitter_.End(end, &failed);
      if (!next_end.ok() || !next_end->has_value()) break;
      end = **next_end;
    }
    if (status.ok()) status = Commit(splitter_[*next - 1]);
    if (!status.ok()) {
      RollBack();
      return status;
    }
    applied_.entries += static_cast<int64_t>(*next - begin);
    applied_.transactions += transactions;
    ++applied_.commits;
    return AfterCommit(bytes);
  }

  absl::Status Begin() {
    skipped_here_.clear();
    absl::Status status = CheckFile();
    if (status.ok()) status = connection_->begin->Run();
    if (!status.ok()) return status;
    absl::StatusOr<int64_t> sequence = connection_->state->ReadSequence();
    if (!sequence.ok()) return sequence.status();
    if (*sequence == applied_position_.sequence) {
      page_->Attach(applied_position_.sequence);
      return connection_->history->Attach(applied_position_.sequence);
    }
    // Another writer that does not take our lock. What it has applied is not applied again.
    const int64_t expected = applied_position_.sequence;
    absl::StatusOr<LedgerPosition> position = connection_->state->ReadPosition();
    if (!position.ok()) return position.status();
    TellThatEverythingChanged(*position);
    return Replaced(absl::StrCat("another program has written to ", path_, ": its sequence is ",
                                 *sequence, " and was ", expected));
  }

  // Applies one entry in the open transaction.
  absl::Status Run(const LedgerEntry& entry) {
    if (splitter_.IsSkipped(entry.sequence)) return Skip(entry);
    if (MarkerOf(entry.statement) != Marker::kNone) return absl::OkStatus();
    if (!filter_.families().empty()) {
      const absl::StatusOr<bool> keeps = filter_.Keeps(entry.statement);
      if (!keeps.ok()) return EntryFailed(entry, keeps.status());
      if (!*keeps) return absl::OkStatus();
    }
    absl::Status status = connection_->applier->Run(entry.statement);
    if (status.ok()) {
      return connection_->changes->Add(entry, connection_->applier->parameterized());
    }
    if (IsOfTheFile(status)) {
      return WithMessage(status,
                         absl::StrCat("ledger entry ", entry.sequence, ": ", status.message()));
    }
    return EntryFailed(entry, status);
  }

  absl::Status Skip(const LedgerEntry& entry) {
    const std::string error = last_failure_.sequence == entry.sequence ? last_failure_.message : "";
    absl::Status status =
        connection_->state->AddSkipped(entry.sequence, options_.clock->Now(), error);
    if (status.ok()) skipped_here_.push_back(entry.sequence);
    return status;
  }

  absl::Status Commit(const LedgerEntry& last) {
    absl::StatusOr<LedgerPosition> position = connection_->state->WritePosition(last);
    if (!position.ok()) return position.status();
    const absl::Span<const Change> changes = connection_->changes->changes();
    absl::Status status = connection_->history->Add(changes, position->sequence);
    if (!status.ok()) return status;
    Committing(changes);
    status = connection_->commit->Run();
    if (!status.ok()) {
      page_->CommitFailed();
      for (ChangeListener* listener : options_.listeners) listener->CommitFailed();
      return status;
    }
    applied_position_ = *std::move(position);
    Committed(changes);
    connection_->changes->Clear(/*rolled_back=*/false);
    return status;
  }

  void RollBack() {
    // Some errors have ended the transaction already.
    if (connection_->database->in_transaction()) connection_->rollback->Run().IgnoreError();
    connection_->changes->Clear(/*rolled_back=*/true);
    connection_->history->RolledBack();
  }

  absl::Status AfterCommit(size_t bytes) {
    bytes_since_idle_ += bytes;
    last_commit_ = options_.clock->Now();
    if (splitter_.has_skipped()) {
      for (int64_t sequence : skipped_here_) {
        LOG(WARNING) << "event=ldb_entry_skipped path=" << path_ << " sequence=" << sequence;
      }
      splitter_.ForgetSkippedUpTo(applied_position_.sequence);
      absl::StatusOr<int64_t> count = connection_->state->CountSkipped();
      if (!count.ok()) return count.status();
      skipped_entries_ = *count;
    }
    absl::Status status = wal_->AfterCommit(connection_->database.get());
    if (status.ok()) return status;
    // What was committed stays so; the next commit tries again, over a new connection.
    LOG(WARNING) << "event=ldb_checkpoint_failed path=" << path_ << " error=\"" << status << "\"";
    if (absl::IsDataLoss(status)) return status;
    Disconnect();
    return Connect();
  }

  // The page is untrusted for as short a time as can be.
  void Committing(absl::Span<const Change> changes) {
    for (ChangeListener* listener : options_.listeners) listener->Committing(changes);
    page_->Committing(changes);
  }
  void Committed(absl::Span<const Change> changes) {
    page_->Committed(changes, applied_position_.sequence);
    for (ChangeListener* listener : options_.listeners) {
      listener->Committed(changes, applied_position_.sequence);
    }
  }

  // For a position that was not reached here.
  void TellThatEverythingChanged(const LedgerPosition& position) {
    applied_position_ = position;
    const Change everything{Change::Kind::kEverything, position.sequence, nullptr, {}, {}};
    const absl::Span<const Change> changes(&everything, 1);
    Committing(changes);
    Committed(changes);
  }

  absl::Status EntryFailed(const LedgerEntry& entry, const absl::Status& status) {
    failed_sequence_ = entry.sequence;
    last_failure_ = {entry.sequence, std::string(status.message())};
    return ErrorWithReason(status.code(), reason::kEntryFailed,
                           absl::StrCat("ledger entry ", entry.sequence, ": ", status.message()));
  }

  void GiveBackMemory() {
    if (bytes_since_idle_ < kWorthGivingBackBytes ||
        options_.clock->Now() - last_commit_ < kIdleAfter) {
      return;
    }
    bytes_since_idle_ = 0;
    sqlite3_db_release_memory(connection_->database->handle());
    malloc_trim(0);
  }

  const std::string path_;
  const Options options_;
  const FamilyFilter filter_;
  // Let go of after everything else.
  const std::unique_ptr<FileLock> lock_;

  absl::optional<FileIdentity> file_;
  std::string identity_;
  // Null after an error of the file.
  std::unique_ptr<Connection> connection_;
  std::unique_ptr<FreshnessPageKeeper> page_;
  std::unique_ptr<WalKeeper> wal_;
  TransactionSplitter splitter_;

  LedgerPosition applied_position_;
  Applied applied_;
  int64_t skipped_entries_ = 0;
  // By the SQLite transaction that is open, or was last.
  std::vector<int64_t> skipped_here_;
  absl::optional<int64_t> failed_sequence_;
  struct Failure {
    int64_t sequence = 0;
    std::string message;
  };
  // The last entry that could not be applied, also in an earlier call.
  Failure last_failure_;

  size_t bytes_since_idle_ = 0;
  absl::Time last_commit_ = absl::InfinitePast();
};

absl::StatusOr<std::unique_ptr<LdbWriter>> LdbWriter::Open(const std::string& path,
                                                           const Options& options) {
  absl::StatusOr<FamilyFilter> filter = FamilyFilter::Create(options.families);
  if (!filter.ok()) return filter.status();
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  std::error_code error;
  if (!folder.empty()) std::filesystem::create_directories(folder, error);
  if (error) {
    return absl::UnavailableError(
        absl::StrCat("cannot create the folder ", folder.string(), ": ", error.message()));
  }
  std::unique_ptr<FileLock> lock;
  if (options.lock) {
    absl::StatusOr<std::unique_ptr<FileLock>> opened = FileLock::Open(absl::StrCat(path, ".lock"));
    if (!opened.ok()) return opened.status();
    absl::Status status = (*opened)->Lock(absl::ZeroDuration());
    if (!status.ok()) return status;
    lock = *std::move(opened);
  }
  auto impl = std::make_unique<Impl>(path, options, *std::move(filter), std::move(lock));
  absl::Status status = impl->Start();
  if (!status.ok()) {
    const absl::optional<std::string> why = ErrorReason(status);
    const std::string message = absl::StrCat(path, ": ", status.message());
    if (why.has_value()) return ErrorWithReason(status.code(), *why, message);
    return WithMessage(status, message);
  }
  return std::unique_ptr<LdbWriter>(new LdbWriter(std::move(impl)));
}

LdbWriter::LdbWriter(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

LdbWriter::~LdbWriter() = default;

const LedgerPosition& LdbWriter::applied_position() const { return impl_->applied_position(); }

LedgerPosition LdbWriter::received_position() const { return impl_->received_position(); }

int64_t LdbWriter::received_sequence() const { return impl_->received_sequence(); }

const std::string& LdbWriter::identity() const { return impl_->identity(); }

LdbWriter::Applied LdbWriter::applied() const { return impl_->applied(); }

absl::Status LdbWriter::Apply(absl::Span<const LedgerEntry> entries) {
  return impl_->Apply(entries);
}

absl::optional<int64_t> LdbWriter::failed_sequence() const { return impl_->failed_sequence(); }

void LdbWriter::SkipEntry(int64_t sequence) { impl_->SkipEntry(sequence); }

int64_t LdbWriter::skipped_entries() const { return impl_->skipped_entries(); }

LdbWriter::Wal LdbWriter::wal() const { return impl_->wal(); }

absl::Status LdbWriter::Idle() { return impl_->Idle(); }

absl::Status LdbWriter::Checkpoint() { return impl_->Checkpoint(); }

}  // namespace ctlstore::ldb
