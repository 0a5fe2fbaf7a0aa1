#include "common/ldb/ldb_writer.h"

#include <glog/logging.h>
#include <sqlite3.h>
#include <sys/stat.h>

#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/base/file_lock.h"
#include "common/ldb/file_identity.h"
#include "common/ldb/ldb_tables.h"
#include "common/ldb/leader_time.h"
#include "common/ldb/statement_cache.h"
#include "common/schema/table_schema.h"
#include "common/sql/ledger_statements.h"
#include "common/sql/parameterized_statement.h"
#include "common/sqlite/database.h"

namespace ctlstore::ldb {
namespace {

// Nobody else writes, so only a reader that repairs the WAL after a crash is ever waited for.
constexpr absl::Duration kBusyTimeout = absl::Seconds(5);
// How long one checkpoint waits for readers to let go of an old state.
constexpr absl::Duration kCheckpointWait = absl::Milliseconds(10);
constexpr size_t kCachedStatements = 500;
// In KiB. SQLite's default of 2,000 makes random writes to a table of 100,000 rows a third slower.
constexpr char kCacheSize[] = "PRAGMA cache_size=-16384";

enum class Marker { kNone, kBegin, kCommit };

Marker MarkerOf(absl::string_view statement) {
  if (!absl::StrContains(statement.substr(0, 16), "---")) return Marker::kNone;
  statement = absl::StripAsciiWhitespace(statement);
  absl::ConsumeSuffix(&statement, ";");
  if (absl::EqualsIgnoreCase(statement, kBeginMarker)) return Marker::kBegin;
  if (absl::EqualsIgnoreCase(statement, kCommitMarker)) return Marker::kCommit;
  return Marker::kNone;
}

// Whether SQLite finds no statement in `sql`: white space, semicolons and comments only.
bool IsEmptySql(absl::string_view sql) {
  while (!sql.empty()) {
    if (absl::StartsWith(sql, "--")) {
      const size_t end = sql.find('\n');
      if (end == absl::string_view::npos) return true;
      sql.remove_prefix(end + 1);
    } else if (absl::StartsWith(sql, "/*")) {
      const size_t end = sql.find("*/", 2);
      if (end == absl::string_view::npos) return true;
      sql.remove_prefix(end + 2);
    } else if (absl::StrContains(" \t\n\f\r;", sql[0])) {
      sql.remove_prefix(1);
    } else {
      return false;
    }
  }
  return true;
}

bool IsDefinition(absl::string_view statement) {
  statement = absl::StripLeadingAsciiWhitespace(statement);
  return absl::StartsWithIgnoreCase(statement, "CREATE") ||
         absl::StartsWithIgnoreCase(statement, "ALTER") ||
         absl::StartsWithIgnoreCase(statement, "DROP");
}

// Whether the table is better kept in the order of its key, without a rowid. A single integer key
// is the rowid itself, and long values in the key's tree would make it deep.
bool IsBetterWithoutRowid(const TableSchema& schema) {
  for (const Field& field : schema.fields()) {
    if (field.type == FieldType::kText || field.type == FieldType::kBinary) return false;
  }
  return schema.key_positions().size() > 1 || schema.key_field(0).type != FieldType::kInteger;
}

// The statement as it is run here: tables get the layout that reads fastest.
std::string WithLayout(absl::string_view statement) {
  if (IsDefinition(statement)) {
    absl::StatusOr<TableSchema> schema = sql::ParseCreateTable(statement);
    if (schema.ok() && IsBetterWithoutRowid(*schema)) {
      const std::string create = sql::CreateTableStatement(*schema);
      return absl::StrCat(absl::StripSuffix(create, ";"), " WITHOUT ROWID");
    }
  }
  return std::string(statement);
}

bool IsOwnTable(const char* name) {
  return name != nullptr && absl::StartsWithIgnoreCase(name, "_ldb_");
}

absl::Status WithMessage(const absl::Status& status, absl::string_view message) {
  return absl::Status(status.code(), message);
}

}  // namespace

class LdbWriter::Impl {
 public:
  Impl(std::string path, const Options& options, std::unique_ptr<FileLock> lock,
       std::unique_ptr<sqlite::Database> database)
      : path_(std::move(path)),
        options_(options),
        lock_(std::move(lock)),
        database_(std::move(database)),
        identity_(IdentityOf(path_)),
        statements_(database_.get(), kCachedStatements) {}

  absl::Status Start() {
    absl::StatusOr<std::unique_ptr<sqlite::Statement>> journal =
        database_->Prepare("PRAGMA journal_mode=WAL");
    if (!journal.ok()) return journal.status();
    absl::StatusOr<bool> row = (*journal)->Step();
    if (!row.ok()) return row.status();
    if (!*row || (*journal)->Column(0) != ValueView("wal")) {
      return absl::UnavailableError(absl::StrCat(path_, " cannot be put in WAL mode"));
    }
    journal->reset();
    for (const char* sql : {"PRAGMA synchronous=NORMAL", kCacheSize, "BEGIN IMMEDIATE",
                            kCreateSequenceTable, kCreateLastUpdateTable, "COMMIT"}) {
      absl::Status status = database_->Execute(sql);
      if (!status.ok()) return status;
    }
    for (auto [sql, statement] :
         {std::make_pair("BEGIN IMMEDIATE", &begin_), std::make_pair("COMMIT", &commit_),
          std::make_pair("ROLLBACK", &rollback_), std::make_pair(kReadSequence, &read_sequence_),
          std::make_pair(kWriteSequence, &write_sequence_),
          std::make_pair(kWriteLastUpdate, &write_last_update_)}) {
      absl::StatusOr<std::unique_ptr<sqlite::Statement>> prepared = database_->Prepare(sql);
      if (!prepared.ok()) return prepared.status();
      *statement = *std::move(prepared);
    }
    absl::StatusOr<int64_t> sequence = ReadSequence();
    if (!sequence.ok()) return sequence.status();
    applied_sequence_ = received_sequence_ = *sequence;
    sqlite3_set_authorizer(database_->handle(), &Impl::Authorize, this);
    return CheckpointWhereLarge();
  }

  const LedgerPosition& applied_position() {
    position_.sequence = applied_sequence_;
    return position_;
  }
  const std::string& identity() const { return ldb_identity_; }
  int64_t received_sequence() const { return received_sequence_; }
  Applied applied() const { return applied_; }

  absl::Status Apply(absl::Span<const LedgerEntry> entries) {
    absl::Status status = CheckOrder(entries);
    const size_t complete = status.ok() ? WholeTransactions(entries) : 0;
    if (status.ok()) status = CheckOpenTransaction(entries.subspan(complete), complete > 0);
    if (status.ok() && complete > 0) {
      size_t failed = 0;
      status = ApplyInOneTransaction(entries.subspan(0, complete), &failed);
      const size_t before = status.ok() ? 0 : WholeTransactions(entries.subspan(0, failed));
      // What stands before a ledger transaction that cannot be applied is not held back by it.
      if (before > 0) ApplyInOneTransaction(entries.subspan(0, before), &failed).IgnoreError();
    }
    if (!status.ok() || complete > 0) ForgetPending();
    if (!status.ok()) return status;
    Keep(entries.subspan(complete));
    if (complete > 0) {
      // What was committed stays so, whatever becomes of the checkpoint; the next one tries again.
      absl::Status checkpoint = CheckpointWhereLarge();
      if (!checkpoint.ok()) {
        LOG(WARNING) << "event=ldb_checkpoint_failed path=" << path_ << " error=\"" << checkpoint
                     << "\"";
      }
    }
    return absl::OkStatus();
  }

  absl::Status Checkpoint() {
    sqlite3_busy_timeout(database_->handle(), absl::ToInt64Milliseconds(kCheckpointWait));
    bool reset = false;
    absl::Status status = database_->Checkpoint(&reset);
    sqlite3_busy_timeout(database_->handle(), absl::ToInt64Milliseconds(kBusyTimeout));
    // While a reader holds on to an old state, trying at every commit would only cost time.
    retry_checkpoint_at_bytes_ = reset ? 0 : WalBytes() + options_.checkpoint_wal_bytes / 4;
    return status;
  }

 private:
  // The number of entries up to the end of the last whole ledger transaction, where what is pending
  // comes before them.
  size_t WholeTransactions(absl::Span<const LedgerEntry> entries) const {
    size_t whole = 0;
    bool open = !pending_.empty();
    for (size_t i = 0; i < entries.size(); ++i) {
      const Marker marker = MarkerOf(entries[i].statement);
      if (marker != Marker::kNone) open = marker == Marker::kBegin;
      if (!open) whole = i + 1;
    }
    return whole;
  }

  // Checks what can be checked before anything is run.
  absl::Status CheckOrder(absl::Span<const LedgerEntry> entries) const {
    int64_t last = received_sequence_;
    bool open = !pending_.empty();
    for (size_t i = 0; i < entries.size(); ++i) {
      const LedgerEntry& entry = entries[i];
      if (entry.sequence <= last) {
        return absl::InvalidArgumentError(absl::StrCat(
            "ledger entry ", entry.sequence, " comes after entry ", last, ", out of order"));
      }
      last = entry.sequence;
      const Marker marker = MarkerOf(entry.statement);
      if (marker == Marker::kBegin && open) {
        return absl::InvalidArgumentError(absl::StrCat(
            "ledger entry ", entry.sequence, " begins a transaction inside a transaction"));
      }
      if (marker == Marker::kCommit && !open) {
        return absl::InvalidArgumentError(absl::StrCat("ledger entry ", entry.sequence,
                                                       " ends a transaction that was not begun"));
      }
      if (marker != Marker::kNone) open = marker == Marker::kBegin;
    }
    return absl::OkStatus();
  }

  // Runs what is pending and then `entries`, which end with a whole ledger transaction. After an
  // error `*failed` is the position of the entry that could not be run, 0 where it was none of
  // them.
  absl::Status ApplyInOneTransaction(absl::Span<const LedgerEntry> entries, size_t* failed) {
    *failed = 0;
    absl::Status status = RunInOneTransaction(entries, failed);
    if (!status.ok()) {
      // Some errors have ended the transaction already.
      if (database_->in_transaction()) rollback_->Run().IgnoreError();
      // The file knows best what is committed.
      absl::StatusOr<int64_t> sequence = ReadSequence();
      if (sequence.ok()) applied_sequence_ = *sequence;
      return status;
    }
    applied_sequence_ = received_sequence_ = entries.back().sequence;
    CountApplied(entries);
    return absl::OkStatus();
  }

  // Counts what is pending and then `entries`, which end with a whole ledger transaction.
  void CountApplied(absl::Span<const LedgerEntry> entries) {
    applied_.entries += static_cast<int64_t>(pending_.size() + entries.size());
    bool open = !pending_.empty();
    for (const LedgerEntry& entry : entries) {
      const Marker marker = MarkerOf(entry.statement);
      if (marker != Marker::kNone) open = marker == Marker::kBegin;
      if (!open) ++applied_.transactions;
    }
  }

  absl::Status RunInOneTransaction(absl::Span<const LedgerEntry> entries, size_t* failed) {
    // SQLite would go on to write to a file that nobody can open any more.
    if (IdentityOf(path_) != identity_) {
      return absl::FailedPreconditionError(
          absl::StrCat(path_, " is no longer the file that was opened"));
    }
    absl::Status status = begin_->Run();
    if (!status.ok()) return status;
    absl::StatusOr<int64_t> sequence = ReadSequence();
    if (!sequence.ok()) return sequence.status();
    if (*sequence != applied_sequence_) {
      // Another writer that does not take our lock. What it has applied is not applied again.
      const int64_t expected = applied_sequence_;
      applied_sequence_ = *sequence;
      return absl::FailedPreconditionError(absl::StrCat("another program has written to ", path_,
                                                        ": its sequence is ", *sequence,
                                                        " and was ", expected));
    }
    for (const LedgerEntry& entry : pending_) {
      status = Run(entry);
      if (!status.ok()) return status;
    }
    for (size_t i = 0; i < entries.size(); ++i) {
      status = Run(entries[i]);
      if (status.ok()) continue;
      *failed = i;
      return status;
    }
    status = write_sequence_->Bind(1, entries.back().sequence);
    if (status.ok()) status = write_sequence_->Run();
    if (status.ok()) status = WriteLastUpdate(entries.back());
    if (status.ok()) status = commit_->Run();
    return status;
  }

  absl::Status Run(const LedgerEntry& entry) {
    if (MarkerOf(entry.statement) != Marker::kNone) return absl::OkStatus();
    in_ledger_statement_ = true;
    refused_ = false;
    absl::Status status = sql::ParameterizeStatement(entry.statement, &parameterized_)
                              ? RunParameterized()
                              : RunText(entry.statement);
    in_ledger_statement_ = false;
    if (status.ok()) {
      if (database_->in_transaction()) return status;
      status = absl::FailedPreconditionError("it ended the transaction");
    } else if (refused_) {
      status = absl::FailedPreconditionError("a ledger statement must not do this");
    } else if (status.code() == absl::StatusCode::kInvalidArgument) {
      // That code says something else here.
      status = absl::FailedPreconditionError(status.message());
    }
    return WithMessage(status,
                       absl::StrCat("ledger entry ", entry.sequence, ": ", status.message()));
  }

  absl::Status RunParameterized() {
    absl::StatusOr<sqlite::Statement*> statement = statements_.Get(parameterized_.sql);
    if (!statement.ok()) return statement.status();
    absl::Status status;
    for (size_t i = 0; i < parameterized_.parameters.size() && status.ok(); ++i) {
      status = (*statement)->Bind(static_cast<int>(i + 1), parameterized_.parameters[i]);
    }
    if (status.ok()) return (*statement)->Run();
    (*statement)->Reset();
    return status;
  }

  absl::Status RunText(const std::string& text) {
    if (absl::StrContains(text, '\0')) {
      return absl::FailedPreconditionError("the statement holds a NUL");
    }
    const std::string statement_text = WithLayout(text);
    absl::string_view tail;
    absl::StatusOr<std::unique_ptr<sqlite::Statement>> statement =
        database_->Prepare(statement_text, &tail);
    if (!statement.ok()) {
      // SQLite's message repeats what it does not understand, which may be a value; definitions
      // have none.
      if (IsDefinition(text)) return statement.status();
      return WithMessage(statement.status(), "SQLite does not take the statement");
    }
    if (!IsEmptySql(tail))
      return absl::FailedPreconditionError("there are several statements in it");
    while (true) {
      absl::StatusOr<bool> row = (*statement)->Step();
      if (!row.ok()) return row.status();
      if (!*row) return absl::OkStatus();
    }
  }

  absl::Status WriteLastUpdate(const LedgerEntry& entry) {
    const absl::optional<absl::Time> time = ParseLeaderTime(entry.leader_time);
    if (!time.has_value()) {
      // The old time stays: better too old a copy than none.
      LOG_FIRST_N(WARNING, 10) << "event=ldb_entry_without_time path=" << path_
                               << " sequence=" << entry.sequence;
      return absl::OkStatus();
    }
    const std::string text = FormatLeaderTime(*time);
    absl::Status status = write_last_update_->Bind(1, text);
    return status.ok() ? write_last_update_->Run() : status;
  }

  absl::StatusOr<int64_t> ReadSequence() {
    absl::StatusOr<bool> row = read_sequence_->Step();
    int64_t sequence = 0;
    if (row.ok() && *row) {
      const ValueView value = read_sequence_->Column(0);
      if (value.kind() == ValueKind::kInteger) sequence = value.integer();
    }
    read_sequence_->Reset();
    if (!row.ok()) return row.status();
    return sequence;
  }

  static size_t BytesOf(absl::Span<const LedgerEntry> entries) {
    size_t bytes = 0;
    for (const LedgerEntry& entry : entries) {
      bytes += sizeof(entry) + entry.statement.size() + entry.leader_time.size();
    }
    return bytes;
  }

  // Checks the size of the ledger transaction that would be left without its end. `rest` begins it,
  // or continues what is pending.
  absl::Status CheckOpenTransaction(absl::Span<const LedgerEntry> rest, bool rest_begins_it) const {
    const size_t bytes = BytesOf(rest) + (rest_begins_it ? 0 : pending_bytes_);
    if (bytes <= options_.max_open_transaction_bytes) return absl::OkStatus();
    const bool pending = !rest_begins_it && !pending_.empty();
    return absl::InvalidArgumentError(absl::StrCat(
        "the ledger transaction that begins with entry ",
        (pending ? pending_.front() : rest.front()).sequence, " has ", bytes,
        " bytes without its end; at most ", options_.max_open_transaction_bytes, " are kept"));
  }

  // Takes entries that wait for the end of their ledger transaction.
  void Keep(absl::Span<const LedgerEntry> entries) {
    if (entries.empty()) return;
    pending_bytes_ += BytesOf(entries);
    pending_.insert(pending_.end(), entries.begin(), entries.end());
    received_sequence_ = entries.back().sequence;
  }

  void ForgetPending() {
    pending_.clear();
    pending_.shrink_to_fit();
    pending_bytes_ = 0;
    received_sequence_ = applied_sequence_;
  }

  int64_t WalBytes() const {
    struct stat file;
    return stat(absl::StrCat(path_, "-wal").c_str(), &file) == 0 ? file.st_size : 0;
  }

  absl::Status CheckpointWhereLarge() {
    const int64_t bytes = WalBytes();
    if (bytes <= options_.checkpoint_wal_bytes || bytes < retry_checkpoint_at_bytes_) {
      return absl::OkStatus();
    }
    return Checkpoint();
  }

  // Asked by SQLite for each thing that a statement does, when it is prepared. The ledger's
  // statements change tables and their rows, and nothing else; in particular they neither end our
  // transaction nor touch our own tables.
  static int Authorize(void* self, int action, const char* argument, const char* second,
                       const char* /*database*/, const char* /*trigger*/) {
    auto* impl = static_cast<Impl*>(self);
    if (!impl->in_ledger_statement_) return SQLITE_OK;
    switch (action) {
      case SQLITE_FUNCTION:
      case SQLITE_READ:
      case SQLITE_RECURSIVE:
      case SQLITE_REINDEX:
      case SQLITE_SELECT:
        return SQLITE_OK;
      case SQLITE_CREATE_TABLE:
      case SQLITE_DELETE:
      case SQLITE_DROP_TABLE:
      case SQLITE_INSERT:
      case SQLITE_UPDATE:
        if (!IsOwnTable(argument)) return SQLITE_OK;
        break;
      case SQLITE_ALTER_TABLE:
      case SQLITE_CREATE_INDEX:
      case SQLITE_DROP_INDEX:
        if (!IsOwnTable(second)) return SQLITE_OK;
        break;
      default:
        break;
    }
    impl->refused_ = true;
    return SQLITE_DENY;
  }

  const std::string path_;
  const Options options_;
  // Let go of after everything else.
  const std::unique_ptr<FileLock> lock_;
  const std::unique_ptr<sqlite::Database> database_;
  const absl::optional<FileIdentity> identity_;
  std::unique_ptr<sqlite::Statement> begin_;
  std::unique_ptr<sqlite::Statement> commit_;
  std::unique_ptr<sqlite::Statement> rollback_;
  std::unique_ptr<sqlite::Statement> read_sequence_;
  std::unique_ptr<sqlite::Statement> write_sequence_;
  std::unique_ptr<sqlite::Statement> write_last_update_;
  StatementCache statements_;
  sql::ParameterizedStatement parameterized_;

  LedgerPosition position_;
  const std::string ldb_identity_ = std::string(16, 'x');
  int64_t applied_sequence_ = 0;
  int64_t received_sequence_ = 0;
  Applied applied_;
  // The entries of a ledger transaction whose end has not come.
  std::vector<LedgerEntry> pending_;
  size_t pending_bytes_ = 0;

  int64_t retry_checkpoint_at_bytes_ = 0;

  bool in_ledger_statement_ = false;
  bool refused_ = false;
};

absl::StatusOr<std::unique_ptr<LdbWriter>> LdbWriter::Open(const std::string& path,
                                                           const Options& options) {
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  std::error_code error;
  if (!folder.empty()) std::filesystem::create_directories(folder, error);
  if (error) {
    return absl::UnavailableError(
        absl::StrCat("cannot create the folder ", folder.string(), ": ", error.message()));
  }
  absl::StatusOr<std::unique_ptr<FileLock>> lock = FileLock::Open(absl::StrCat(path, ".lock"));
  if (!lock.ok()) return lock.status();
  absl::Status status = (*lock)->Lock(absl::ZeroDuration());
  if (!status.ok()) return status;
  absl::StatusOr<std::unique_ptr<sqlite::Database>> database =
      sqlite::Database::Open(path, sqlite::Database::Mode::kReadWrite, kBusyTimeout);
  if (!database.ok()) return database.status();
  auto impl = std::make_unique<Impl>(path, options, *std::move(lock), *std::move(database));
  status = impl->Start();
  if (!status.ok()) return WithMessage(status, absl::StrCat(path, ": ", status.message()));
  return std::unique_ptr<LdbWriter>(new LdbWriter(std::move(impl)));
}

LdbWriter::LdbWriter(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

LdbWriter::~LdbWriter() = default;

const LedgerPosition& LdbWriter::applied_position() const { return impl_->applied_position(); }

LedgerPosition LdbWriter::received_position() const { return {impl_->received_sequence(), ""}; }

int64_t LdbWriter::received_sequence() const { return impl_->received_sequence(); }

const std::string& LdbWriter::identity() const { return impl_->identity(); }

absl::optional<int64_t> LdbWriter::failed_sequence() const { return absl::nullopt; }

void LdbWriter::SkipEntry(int64_t /*sequence*/) {}

int64_t LdbWriter::skipped_entries() const { return 0; }

LdbWriter::Wal LdbWriter::wal() const { return Wal(); }

absl::Status LdbWriter::Idle() { return absl::OkStatus(); }

LdbWriter::Applied LdbWriter::applied() const { return impl_->applied(); }

absl::Status LdbWriter::Apply(absl::Span<const LedgerEntry> entries) {
  return impl_->Apply(entries);
}

absl::Status LdbWriter::Checkpoint() { return impl_->Checkpoint(); }

}  // namespace ctlstore::ldb
