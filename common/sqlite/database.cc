#include "common/sqlite/database.h"

#include <algorithm>
#include <limits>
#include <mutex>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace ctlstore::sqlite {
namespace {

absl::StatusCode CodeFor(int code) {
  switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_CANTOPEN:
    case SQLITE_IOERR:
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_PROTOCOL:
      return absl::StatusCode::kUnavailable;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return absl::StatusCode::kDataLoss;
    case SQLITE_FULL:
    case SQLITE_NOMEM:
      return absl::StatusCode::kResourceExhausted;
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH:
      return absl::StatusCode::kFailedPrecondition;
    case SQLITE_TOOBIG:
      return absl::StatusCode::kInvalidArgument;
    default:
      return absl::StatusCode::kInternal;
  }
}

}  // namespace

absl::Status StatusFromCode(int code, sqlite3* db, absl::string_view what) {
  if (code == SQLITE_OK || code == SQLITE_ROW || code == SQLITE_DONE) return absl::OkStatus();
  const char* message = db != nullptr ? sqlite3_errmsg(db) : sqlite3_errstr(code);
  return absl::Status(CodeFor(code),
                      absl::StrCat(what, ": ", message, " (SQLite code ", code, ")"));
}

namespace {

void CountNoMemory() {
  static std::once_flag once;
  // Refused where SQLite is in use already.
  std::call_once(once, [] { sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0); });
}

}  // namespace

absl::StatusOr<std::unique_ptr<Database>> Database::Open(const std::string& path, Mode mode,
                                                         absl::Duration busy_timeout) {
  const int flags =
      mode == Mode::kReadOnly ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
  CountNoMemory();
  if (path.empty()) return absl::InvalidArgumentError("a database needs a file name");
  // SQLite may be built to take a name that begins so for a URI.
  const std::string file = absl::StartsWith(path, "file:") ? absl::StrCat("./", path) : path;
  sqlite3* handle = nullptr;
  // NOMUTEX: a connection is used by one thread at a time, so SQLite need not lock it.
  const int code = sqlite3_open_v2(file.c_str(), &handle, flags | SQLITE_OPEN_NOMUTEX, nullptr);
  if (code != SQLITE_OK) {
    absl::Status status = StatusFromCode(code, handle, absl::StrCat("cannot open ", path));
    sqlite3_close(handle);
    return status;
  }
  std::unique_ptr<Database> database(new Database(handle));
  sqlite3_extended_result_codes(handle, 1);
  sqlite3_busy_timeout(handle,
                       static_cast<int>(std::min<int64_t>(absl::ToInt64Milliseconds(busy_timeout),
                                                          std::numeric_limits<int>::max())));
  sqlite3_wal_autocheckpoint(handle, 0);
  sqlite3_db_config(handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  return database;
}

Database::~Database() { sqlite3_close(db_); }

absl::StatusOr<std::unique_ptr<Statement>> Database::Prepare(absl::string_view sql,
                                                             absl::string_view* tail) {
  if (sql.size() > static_cast<size_t>(sqlite3_limit(db_, SQLITE_LIMIT_SQL_LENGTH, -1))) {
    return absl::InvalidArgumentError(
        absl::StrCat("a statement of ", sql.size(), " bytes is too long for SQLite"));
  }
  // An empty view may have no data, which SQLite would take for a mistake.
  if (sql.data() == nullptr) sql = "";
  sqlite3_stmt* statement = nullptr;
  const char* rest = nullptr;
  const int code = sqlite3_prepare_v3(db_, sql.data(), static_cast<int>(sql.size()),
                                      SQLITE_PREPARE_PERSISTENT, &statement, &rest);
  if (code != SQLITE_OK) return StatusFromCode(code, db_, "cannot prepare a statement");
  if (statement == nullptr) return absl::InvalidArgumentError("there is no statement in the text");
  if (tail != nullptr) *tail = sql.substr(rest - sql.data());
  return std::unique_ptr<Statement>(new Statement(statement));
}

absl::Status Database::Execute(absl::string_view sql) {
  const std::string text(sql);
  return StatusFromCode(sqlite3_exec(db_, text.c_str(), nullptr, nullptr, nullptr), db_,
                        "cannot execute a statement");
}

int64_t Database::changes() const { return sqlite3_changes64(db_); }

bool Database::in_transaction() const { return sqlite3_get_autocommit(db_) == 0; }

absl::Status Database::PassiveCheckpoint() {
  const int code =
      sqlite3_wal_checkpoint_v2(db_, nullptr, SQLITE_CHECKPOINT_PASSIVE, nullptr, nullptr);
  if ((code & 0xff) == SQLITE_BUSY) return absl::OkStatus();
  return StatusFromCode(code, db_, "cannot checkpoint");
}

absl::Status Database::Checkpoint(bool* wal_reset) {
  int frames_in_wal = 0, frames_moved = 0;
  const int code = sqlite3_wal_checkpoint_v2(db_, nullptr, SQLITE_CHECKPOINT_TRUNCATE,
                                             &frames_in_wal, &frames_moved);
  *wal_reset = code == SQLITE_OK && frames_in_wal == 0;
  // A reader that still looks at an old state is no error: the next checkpoint goes further.
  if ((code & 0xff) == SQLITE_BUSY) return absl::OkStatus();
  return StatusFromCode(code, db_, "cannot checkpoint");
}

Statement::~Statement() { sqlite3_finalize(statement_); }

absl::Status Statement::Bind(int parameter, const ValueView& value) {
  int code = SQLITE_OK;
  switch (value.kind()) {
    case ValueKind::kNull:
      code = sqlite3_bind_null(statement_, parameter);
      break;
    case ValueKind::kInteger:
      code = sqlite3_bind_int64(statement_, parameter, value.integer());
      break;
    case ValueKind::kDecimal:
      code = sqlite3_bind_double(statement_, parameter, value.decimal());
      break;
    case ValueKind::kText:
      // A null pointer would bind NULL, and an empty view may have one.
      code = sqlite3_bind_text64(statement_, parameter,
                                 value.data().empty() ? "" : value.data().data(),
                                 value.data().size(), SQLITE_STATIC, SQLITE_UTF8);
      break;
    case ValueKind::kBytes:
      code = value.data().empty() ? sqlite3_bind_zeroblob(statement_, parameter, 0)
                                  : sqlite3_bind_blob64(statement_, parameter, value.data().data(),
                                                        value.data().size(), SQLITE_STATIC);
      break;
  }
  return StatusFromCode(code, sqlite3_db_handle(statement_), "cannot bind a parameter");
}

absl::StatusOr<bool> Statement::Step() {
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return StatusFromCode(code, sqlite3_db_handle(statement_), "cannot run a statement");
}

ValueView Statement::Column(int column) const {
  switch (sqlite3_column_type(statement_, column)) {
    case SQLITE_INTEGER:
      return ValueView(static_cast<int64_t>(sqlite3_column_int64(statement_, column)));
    case SQLITE_FLOAT:
      return ValueView(sqlite3_column_double(statement_, column));
    case SQLITE_TEXT: {
      // Asked for as bytes, so that SQLite does not copy it for the sake of a NUL behind it.
      const auto* text = static_cast<const char*>(sqlite3_column_blob(statement_, column));
      return ValueView(
          absl::string_view(text, text == nullptr ? 0 : sqlite3_column_bytes(statement_, column)));
    }
    case SQLITE_BLOB: {
      const auto* bytes = static_cast<const char*>(sqlite3_column_blob(statement_, column));
      return ValueView::Bytes(absl::string_view(
          bytes, bytes == nullptr ? 0 : sqlite3_column_bytes(statement_, column)));
    }
    default:
      return ValueView();
  }
}

int Statement::column_count() const { return sqlite3_column_count(statement_); }

absl::string_view Statement::column_name(int column) const {
  return sqlite3_column_name(statement_, column);
}

void Statement::Reset() {
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

absl::Status Statement::Run() {
  absl::StatusOr<bool> row = Step();
  Reset();
  return row.status();
}

}  // namespace ctlstore::sqlite
