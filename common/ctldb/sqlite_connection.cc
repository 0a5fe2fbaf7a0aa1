#include "common/ctldb/sqlite_connection.h"

#include <glog/logging.h>
#include <sqlite3.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/ctldb/connection_errors.h"

namespace ctlstore::ctldb {
namespace {

constexpr size_t kMaxPreparedStatements = 128;
constexpr int64_t kCheckpointWalBytes = int64_t{4} << 20;

bool ChangesTables(absl::string_view sql) {
  return absl::StartsWithIgnoreCase(sql, "CREATE ") || absl::StartsWithIgnoreCase(sql, "ALTER ") ||
         absl::StartsWithIgnoreCase(sql, "DROP ");
}

int Milliseconds(absl::Duration duration) {
  return static_cast<int>(
      std::clamp<int64_t>(absl::ToInt64Milliseconds(duration), 0, 24 * 3600 * 1000));
}

absl::Status IgnoreRow(absl::Span<const ValueView>) { return absl::OkStatus(); }

}  // namespace

SqliteConnection::SqliteConnection(std::string path, const ConnectionOptions& options)
    : path_(std::move(path)),
      lock_timeout_(options.lock_timeout),
      read_only_(options.read_only),
      statements_(kMaxPreparedStatements),
      checkpoint_at_bytes_(kCheckpointWalBytes) {}

SqliteConnection::~SqliteConnection() { Rollback(); }

absl::StatusOr<std::unique_ptr<SqliteConnection>> SqliteConnection::Open(
    const Target& target, const ConnectionOptions& options) {
  std::unique_ptr<SqliteConnection> connection(new SqliteConnection(target.path, options));
  absl::Status status = connection->OpenFile();
  if (!status.ok()) return status;
  return connection;
}

absl::Status SqliteConnection::OpenFile() {
  if (!read_only_) {
    std::error_code error;
    const std::filesystem::path folder = std::filesystem::path(path_).parent_path();
    if (!folder.empty()) std::filesystem::create_directories(folder, error);
    if (error) {
      return DatabaseUnavailable(
          absl::StrCat("cannot create the folder ", folder.string(), ": ", error.message()));
    }
    absl::StatusOr<std::shared_ptr<WriteTurn>> turn = WriteTurn::Of(path_);
    if (!turn.ok()) return turn.status();
    turn_ = *std::move(turn);
  }

  absl::StatusOr<std::unique_ptr<sqlite::Database>> database = sqlite::Database::Open(
      path_, read_only_ ? sqlite::Database::Mode::kReadOnly : sqlite::Database::Mode::kReadWrite,
      lock_timeout_);
  if (!database.ok()) return DatabaseUnavailable(database.status().message());
  database_ = *std::move(database);
  // A quoted name that is no column's must be an error, not a string.
  sqlite3_db_config(database_->handle(), SQLITE_DBCONFIG_DQS_DML, 0, nullptr);
  sqlite3_db_config(database_->handle(), SQLITE_DBCONFIG_DQS_DDL, 0, nullptr);

  struct stat file;
  if (stat(path_.c_str(), &file) != 0) return DatabaseUnavailable(absl::StrCat(path_, " is gone"));
  device_ = file.st_dev;
  inode_ = file.st_ino;

  if (read_only_) return absl::OkStatus();
  absl::StatusOr<std::string> mode = JournalMode("PRAGMA journal_mode");
  if (!mode.ok()) return mode.status();
  if (*mode != "wal") {
    absl::Status status = turn_->Take(lock_timeout_);
    if (!status.ok()) return status;
    mode = JournalMode("PRAGMA journal_mode=WAL");
    turn_->Give();
    if (!mode.ok()) return mode.status();
  }
  if (*mode != "wal") {
    return absl::FailedPreconditionError(
        absl::StrCat(path_,
                     " cannot be put into WAL mode; its file system must have shared memory "
                     "and locks, as local ones do"));
  }
  return RunControl("PRAGMA synchronous=FULL");
}

absl::StatusOr<std::string> SqliteConnection::JournalMode(const char* pragma) {
  absl::StatusOr<std::unique_ptr<sqlite::Statement>> statement = database_->Prepare(pragma);
  if (!statement.ok()) return Failed();
  absl::StatusOr<bool> row = (*statement)->Step();
  if (!row.ok()) return Failed();
  return std::string((*statement)->Column(0).data());
}

absl::Status SqliteConnection::Failed() {
  sqlite3* handle = database_->handle();
  const int code = sqlite3_extended_errcode(handle);
  const absl::string_view message = sqlite3_errmsg(handle);
  const auto text = [&](absl::string_view what) {
    return absl::StrCat("the ctldb ", path_, ": ", what, " (SQLite code ", code, ")");
  };
  absl::Status status;
  bool transaction_lost = false;
  switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:
      transaction_lost = true;
      status = DatabaseBusy(text("another program holds the lock"));
      break;
    case SQLITE_CANTOPEN:
    case SQLITE_IOERR:
    case SQLITE_PERM:
      broken_ = true;
      transaction_lost = true;
      status = DatabaseUnavailable(text("the file cannot be read or written"));
      break;
    case SQLITE_INTERRUPT:
      broken_ = true;
      status = DatabaseUnavailable(text("the connection was interrupted"));
      break;
    case SQLITE_READONLY:
      status = read_only_ ? absl::FailedPreconditionError(text("it was opened for reading only"))
                          : DatabaseUnavailable(text("the file cannot be written"));
      break;
    case SQLITE_CONSTRAINT:
      if (code == SQLITE_CONSTRAINT_PRIMARYKEY || code == SQLITE_CONSTRAINT_UNIQUE ||
          code == SQLITE_CONSTRAINT_ROWID) {
        status = absl::AlreadyExistsError(text("there is a row with this key already"));
      } else if (code == SQLITE_CONSTRAINT_NOTNULL) {
        status = absl::InvalidArgumentError(text("a column that needs a value has none"));
      } else {
        status = absl::InvalidArgumentError(
            text("a value is too long for its column or does not fit its type"));
      }
      break;
    case SQLITE_MISMATCH:
      status = absl::InvalidArgumentError(text("a value does not fit its column's type"));
      break;
    case SQLITE_TOOBIG:
      status = absl::InvalidArgumentError(text("a value is larger than SQLite can hold"));
      break;
    case SQLITE_FULL:
      status = absl::InternalError(text("the disk is full"));
      break;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      broken_ = true;
      status = absl::InternalError(text("the file is damaged or no SQLite database"));
      break;
    case SQLITE_ERROR:
      // SQLite has no codes of their own for these. Its messages about statements name tables and
      // columns, never a parameter's value.
      if (absl::StrContains(message, "no such table")) {
        status = TableMissing(text("there is no such table"));
      } else if (absl::StrContains(message, "already exists")) {
        status = absl::AlreadyExistsError(text("there is such a table already"));
      } else if (absl::StrContains(message, "duplicate column name")) {
        status = absl::AlreadyExistsError(text("there is such a column already"));
      } else if (absl::StrContains(message, "too many columns")) {
        status = absl::InvalidArgumentError(text("the columns are more than SQLite can hold"));
      } else {
        status = absl::InternalError(text(absl::StrCat("the statement failed: ", message)));
      }
      break;
    default:
      status = absl::InternalError(text("the statement failed"));
  }
  // SQLite itself may have rolled the transaction back.
  if (transaction_lost || database_->in_transaction() != in_transaction()) Rollback();
  return status;
}

absl::Status SqliteConnection::CheckUsable() {
  if (interrupted_) broken_ = true;
  if (broken_) return DatabaseUnavailable(absl::StrCat(path_, ": the connection is broken"));
  if (in_query_) return absl::InternalError("a connection was used while it reads a result");
  // What is written into a file that was deleted or replaced would be lost.
  if (in_transaction() || FileIsTheSame()) return absl::OkStatus();
  broken_ = true;
  return DatabaseUnavailable(absl::StrCat(path_, " was removed or replaced by another file"));
}

absl::Status SqliteConnection::RunControl(const char* sql) {
  if (!database_->Execute(sql).ok()) return Failed();
  return absl::OkStatus();
}

absl::Status SqliteConnection::Run(absl::string_view sql,
                                   absl::Span<const absl::Span<const ValueView>> parameters,
                                   RowVisitor visit, int64_t* changes) {
  *changes = 0;
  absl::Status usable = CheckUsable();
  if (!usable.ok()) return usable;

  // Statements that change tables are not run twice.
  const bool keep = !ChangesTables(sql);
  sqlite::Statement* statement = keep ? statements_.Find(sql) : nullptr;
  std::unique_ptr<sqlite::Statement> unkept;
  if (statement == nullptr) {
    absl::StatusOr<std::unique_ptr<sqlite::Statement>> prepared = database_->Prepare(sql);
    if (!prepared.ok()) return Failed();
    if (keep) {
      statement = statements_.Add(sql, *std::move(prepared));
    } else {
      unkept = *std::move(prepared);
      statement = unkept.get();
    }
  }
  const size_t wanted = sqlite3_bind_parameter_count(statement->handle());
  for (const absl::Span<const ValueView> given : parameters) {
    if (wanted == given.size()) continue;
    return absl::InternalError(
        absl::StrCat("a statement with ", wanted, " parameters was given ", given.size()));
  }

  const bool writes = sqlite3_stmt_readonly(statement->handle()) == 0;
  if (writes && (read_only_ || mode_ == Mode::kRead)) {
    return absl::FailedPreconditionError(
        absl::StrCat(path_, ": a statement that writes was given to a ",
                     read_only_ ? "connection" : "transaction", " for reading only"));
  }
  const bool own_turn = writes && mode_ == Mode::kNone;
  if (own_turn) {
    absl::Status turn = turn_->Take(lock_timeout_);
    if (!turn.ok()) return turn;
  }
  absl::Status status;
  for (size_t i = 0; i < parameters.size() && status.ok(); ++i) {
    status = Step(statement, parameters[i], visit);
  }
  if (status.ok() && writes && keep) *changes = database_->changes();
  if (own_turn) {
    if (status.ok()) CheckpointIfLarge();
    turn_->Give();
  }
  return status;
}

absl::Status SqliteConnection::Step(sqlite::Statement* statement,
                                    absl::Span<const ValueView> parameters, RowVisitor visit) {
  absl::Status status;
  bool failed = false;
  for (size_t i = 0; i < parameters.size() && !failed; ++i) {
    failed = !statement->Bind(static_cast<int>(i + 1), parameters[i]).ok();
  }
  std::vector<ValueView> row(statement->column_count());
  in_query_ = true;
  while (!failed && status.ok()) {
    absl::StatusOr<bool> has_row = statement->Step();
    if (!has_row.ok()) {
      failed = true;
    } else if (!*has_row) {
      break;
    } else {
      for (size_t i = 0; i < row.size(); ++i) row[i] = statement->Column(static_cast<int>(i));
      status = visit(row);
    }
  }
  in_query_ = false;
  // A reset keeps the connection's error, and a rollback wants no statement under way.
  statement->Reset();
  return failed ? Failed() : status;
}

absl::StatusOr<int64_t> SqliteConnection::Execute(absl::string_view sql,
                                                  absl::Span<const ValueView> parameters) {
  int64_t changes = 0;
  absl::Status status = Run(sql, {parameters}, IgnoreRow, &changes);
  if (!status.ok()) return status;
  return changes;
}

absl::Status SqliteConnection::ExecuteMany(absl::string_view sql,
                                           absl::Span<const absl::Span<const ValueView>> rows) {
  int64_t changes = 0;
  return rows.empty() ? CheckUsable() : Run(sql, rows, IgnoreRow, &changes);
}

absl::Status SqliteConnection::Query(absl::string_view sql, absl::Span<const ValueView> parameters,
                                     RowVisitor visit) {
  int64_t changes = 0;
  return Run(sql, {parameters}, visit, &changes);
}

absl::Status SqliteConnection::BeginWrite() {
  if (read_only_) {
    return absl::FailedPreconditionError(absl::StrCat(path_, " was opened for reading only"));
  }
  absl::Status status = CheckUsable();
  if (!status.ok()) return status;
  if (in_transaction()) return absl::InternalError("a transaction is open already");
  status = turn_->Take(lock_timeout_);
  if (!status.ok()) return status;
  status = RunControl("BEGIN IMMEDIATE");
  if (!status.ok()) {
    turn_->Give();
    return status;
  }
  mode_ = Mode::kWrite;
  return absl::OkStatus();
}

absl::Status SqliteConnection::BeginRead() {
  absl::Status status = CheckUsable();
  if (!status.ok()) return status;
  if (in_transaction()) return absl::InternalError("a transaction is open already");
  status = RunControl("BEGIN");
  if (!status.ok()) return status;
  mode_ = Mode::kRead;
  // The state is chosen by the first read, not by BEGIN.
  status = Query("SELECT 1 FROM sqlite_master LIMIT 1", {}, IgnoreRow);
  if (!status.ok()) Rollback();
  return status;
}

absl::Status SqliteConnection::SetSavepoint() {
  absl::Status status = CheckUsable();
  if (!status.ok()) return status;
  if (!in_transaction()) return absl::InternalError("there is no transaction for a savepoint");
  // Savepoints of one name would pile up, each with what is needed to go back to it.
  if (has_savepoint_) {
    status = RunControl("RELEASE ctlstore");
    if (!status.ok()) return status;
    has_savepoint_ = false;
  }
  status = RunControl("SAVEPOINT ctlstore");
  if (status.ok()) has_savepoint_ = true;
  return status;
}

absl::Status SqliteConnection::RollbackToSavepoint() {
  absl::Status status = CheckUsable();
  if (!status.ok()) return status;
  if (!in_transaction()) {
    return DatabaseBusy(absl::StrCat(path_, ": the transaction with the savepoint is lost"));
  }
  if (!has_savepoint_) return absl::InternalError("there is no savepoint to go back to");
  return RunControl("ROLLBACK TO ctlstore");
}

absl::Status SqliteConnection::Commit() {
  if (!in_transaction()) return absl::InternalError("there is no transaction to commit");
  if (database_->Execute("COMMIT").ok()) {
    if (mode_ == Mode::kWrite) CheckpointIfLarge();
    EndTransaction();
    return absl::OkStatus();
  }
  const bool outcome_unknown = (sqlite3_errcode(database_->handle()) & 0xff) == SQLITE_IOERR;
  absl::Status status = Failed();
  Rollback();
  if (outcome_unknown) {
    return OutcomeUnknown(
        absl::StrCat("it is not known whether the transaction was committed: ", status.message()));
  }
  return status;
}

void SqliteConnection::Rollback() {
  if (!in_transaction()) return;
  // An error here means that SQLite has rolled back by itself already.
  if (database_->in_transaction() && !database_->Execute("ROLLBACK").ok()) broken_ = true;
  EndTransaction();
}

void SqliteConnection::EndTransaction() {
  if (mode_ == Mode::kWrite) turn_->Give();
  mode_ = Mode::kNone;
  has_savepoint_ = false;
}

void SqliteConnection::CheckpointIfLarge() {
  struct stat wal;
  if (stat(absl::StrCat(path_, "-wal").c_str(), &wal) != 0) return;
  if (wal.st_size <= checkpoint_at_bytes_) return;
  // Readers of an older state are not waited for: that would keep all writers waiting with them.
  sqlite3_busy_timeout(database_->handle(), 0);
  bool wal_reset = false;
  absl::Status status = database_->Checkpoint(&wal_reset);
  sqlite3_busy_timeout(database_->handle(), Milliseconds(lock_timeout_));
  if (!status.ok()) {
    LOG(WARNING) << "event=ctldb_checkpoint_failed path=" << path_ << " error=\"" << status << "\"";
  }
  // What a reader is in the way of is tried again when as much has been written once more.
  checkpoint_at_bytes_ = wal_reset ? kCheckpointWalBytes : wal.st_size + kCheckpointWalBytes;
}

bool SqliteConnection::FileIsTheSame() const {
  struct stat file;
  return stat(path_.c_str(), &file) == 0 && file.st_dev == device_ && file.st_ino == inode_;
}

bool SqliteConnection::Alive() {
  if (broken_ || in_query_) return false;
  if (!Query("SELECT 1 FROM sqlite_master LIMIT 1", {}, IgnoreRow).ok()) broken_ = true;
  return !broken_;
}

void SqliteConnection::Interrupt() {
  // SQLite forgets an interrupt that comes between two statements.
  interrupted_ = true;
  sqlite3_interrupt(database_->handle());
}

}  // namespace ctlstore::ctldb
