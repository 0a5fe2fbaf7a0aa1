#include "common/ctldb/mariadb_connection.h"

#include <fcntl.h>
#include <mariadb/mysql.h>
#include <mariadb/mysqld_error.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/base/call_once.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/ctldb/connection_errors.h"
#include "common/ctldb/mariadb_errors.h"

namespace ctlstore::ctldb {
namespace {

// Each connection's share of what the server allows all of them together (16,382 by default).
constexpr size_t kMaxPreparedStatements = 128;

// The character set that marks binary strings in results.
constexpr unsigned int kBinaryCharacterSet = 63;

// What a text or bytes column first gets; most values fit.
constexpr size_t kFirstColumnBytes = 1024;

// The rows of one bulk execution: enough that round trips no longer count.
constexpr size_t kMaxBulkBytes = size_t{4} << 20;
// What a value takes beside its data at most: its indicator and its length.
constexpr size_t kBulkValueOverhead = 10;

constexpr char kSqlMode[] =
    "ANSI_QUOTES,STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,ERROR_FOR_DIVISION_BY_ZERO,"
    "NO_BACKSLASH_ESCAPES";

unsigned int WholeSeconds(absl::Duration duration) {
  const int64_t seconds = absl::ToInt64Seconds(absl::Ceil(duration, absl::Seconds(1)));
  return static_cast<unsigned int>(std::clamp<int64_t>(seconds, 1, 365 * 24 * 3600));
}

void SetUpLibrary() {
  static absl::once_flag once;
  absl::call_once(once, [] {
    mysql_library_init(0, nullptr, nullptr);
    struct sigaction action;
    if (sigaction(SIGPIPE, nullptr, &action) == 0 && (action.sa_flags & SA_SIGINFO) == 0 &&
        action.sa_handler == SIG_DFL) {
      signal(SIGPIPE, SIG_IGN);
    }
  });
}

bool ChangesTables(absl::string_view sql) {
  return absl::StartsWithIgnoreCase(sql, "CREATE ") || absl::StartsWithIgnoreCase(sql, "ALTER ") ||
         absl::StartsWithIgnoreCase(sql, "DROP ") || absl::StartsWithIgnoreCase(sql, "TRUNCATE ");
}

// How many of the first rows fit into `max_bytes` and have values of one kind in each column;
// `rows` is not empty, and the answer at least 1.
size_t RowsOfNextBulk(absl::Span<const absl::Span<const ValueView>> rows, size_t max_bytes) {
  std::vector<ValueKind> kinds(rows[0].size(), ValueKind::kNull);
  size_t bytes = 0;
  for (size_t fitting = 0; fitting < rows.size(); ++fitting) {
    for (size_t i = 0; i < kinds.size(); ++i) {
      const ValueView& value = rows[fitting][i];
      bytes += kBulkValueOverhead;
      if (value.is_null()) continue;
      if (kinds[i] == ValueKind::kNull) kinds[i] = value.kind();
      if (kinds[i] != value.kind()) return fitting;
      if (value.kind() == ValueKind::kText || value.kind() == ValueKind::kBytes) {
        bytes += value.data().size();
      }
    }
    if (bytes > max_bytes) return std::max<size_t>(fitting, 1);
  }
  return rows.size();
}

std::string Where(const Target& target) {
  const std::string server = target.socket.empty()
                                 ? absl::StrCat("at ", target.host, ":", target.port)
                                 : absl::StrCat("at ", target.socket);
  return absl::StrCat("the ctldb ", target.database, " ", server, " for user ", target.user);
}

}  // namespace

class MariadbConnection::PreparedStatement {
 public:
  explicit PreparedStatement(MYSQL_STMT* handle) : handle_(handle) {}
  ~PreparedStatement() { mysql_stmt_close(handle_); }
  PreparedStatement(const PreparedStatement&) = delete;
  PreparedStatement& operator=(const PreparedStatement&) = delete;

  MYSQL_STMT* handle() const { return handle_; }

  // Binds and executes. The parameters are sent before this returns. False on an error.
  bool Execute(absl::Span<const ValueView> parameters) {
    binds_.assign(parameters.size(), MYSQL_BIND{});
    integers_.resize(parameters.size());
    decimals_.resize(parameters.size());
    for (size_t i = 0; i < parameters.size(); ++i) Bind(i, parameters[i]);
    if (!binds_.empty() && mysql_stmt_bind_param(handle_, binds_.data()) != 0) return false;
    return mysql_stmt_execute(handle_) == 0;
  }

  // The same for many rows at once. In each column, values that are not null are of one kind.
  bool ExecuteBulk(absl::Span<const absl::Span<const ValueView>> rows) {
    std::vector<BulkColumn> columns(rows[0].size());
    binds_.assign(columns.size(), MYSQL_BIND{});
    for (size_t i = 0; i < columns.size(); ++i) columns[i].Bind(rows, i, &binds_[i]);
    const bool executed = SetArraySize(static_cast<unsigned int>(rows.size())) &&
                          mysql_stmt_bind_param(handle_, binds_.data()) == 0 &&
                          mysql_stmt_execute(handle_) == 0;
    // An array size that stayed would make the next execution a bulk one.
    SetArraySize(0);
    return executed;
  }

 private:
  // The values of one column, as the bulk protocol's functions want them: an array of numbers, or
  // of pointers and lengths, and one that says which are null.
  class BulkColumn {
   public:
    void Bind(absl::Span<const absl::Span<const ValueView>> rows, size_t column, MYSQL_BIND* bind) {
      ValueKind kind = ValueKind::kNull;
      for (size_t i = 0; i < rows.size() && kind == ValueKind::kNull; ++i) {
        kind = rows[i][column].kind();
      }
      indicators_.reserve(rows.size());
      for (const absl::Span<const ValueView> row : rows) {
        indicators_.push_back(row[column].is_null() ? STMT_INDICATOR_NULL : STMT_INDICATOR_NONE);
      }
      bind->u.indicator = indicators_.data();
      switch (kind) {
        case ValueKind::kInteger:
          integers_.reserve(rows.size());
          for (const absl::Span<const ValueView> row : rows) {
            integers_.push_back(row[column].is_null() ? 0 : row[column].integer());
          }
          bind->buffer_type = MYSQL_TYPE_LONGLONG;
          bind->buffer = integers_.data();
          return;
        case ValueKind::kDecimal:
          decimals_.reserve(rows.size());
          for (const absl::Span<const ValueView> row : rows) {
            decimals_.push_back(row[column].is_null() ? 0 : row[column].decimal());
          }
          bind->buffer_type = MYSQL_TYPE_DOUBLE;
          bind->buffer = decimals_.data();
          return;
        case ValueKind::kNull:
        case ValueKind::kText:
        case ValueKind::kBytes:
          data_.reserve(rows.size());
          lengths_.reserve(rows.size());
          for (const absl::Span<const ValueView> row : rows) {
            const absl::string_view data = row[column].data();
            data_.push_back(data.empty() ? "" : data.data());
            lengths_.push_back(data.size());
          }
          bind->buffer_type = kind == ValueKind::kBytes ? MYSQL_TYPE_LONG_BLOB : MYSQL_TYPE_STRING;
          bind->buffer = data_.data();
          bind->length = lengths_.data();
          return;
      }
    }

   private:
    std::vector<int64_t> integers_;
    std::vector<double> decimals_;
    std::vector<const char*> data_;
    std::vector<unsigned long> lengths_;  // NOLINT: the library's type
    std::vector<char> indicators_;
  };

  bool SetArraySize(unsigned int size) {
    return mysql_stmt_attr_set(handle_, STMT_ATTR_ARRAY_SIZE, &size) == 0;
  }

  void Bind(size_t i, const ValueView& value) {
    MYSQL_BIND& bind = binds_[i];
    switch (value.kind()) {
      case ValueKind::kNull:
        bind.buffer_type = MYSQL_TYPE_NULL;
        break;
      case ValueKind::kInteger:
        integers_[i] = value.integer();
        bind.buffer_type = MYSQL_TYPE_LONGLONG;
        bind.buffer = &integers_[i];
        break;
      case ValueKind::kDecimal:
        decimals_[i] = value.decimal();
        bind.buffer_type = MYSQL_TYPE_DOUBLE;
        bind.buffer = &decimals_[i];
        break;
      case ValueKind::kText:
      case ValueKind::kBytes:
        bind.buffer_type =
            value.kind() == ValueKind::kText ? MYSQL_TYPE_STRING : MYSQL_TYPE_LONG_BLOB;
        // The library takes the buffer as not const, but only reads it.
        bind.buffer = const_cast<char*>(value.data().empty() ? "" : value.data().data());
        bind.buffer_length = value.data().size();
        break;
    }
  }

  MYSQL_STMT* const handle_;
  std::vector<MYSQL_BIND> binds_;
  std::vector<int64_t> integers_;
  std::vector<double> decimals_;
};

// Reads the rows of one execution.
class MariadbConnection::ResultReader {
 public:
  // `statement` has been executed and has a result.
  explicit ResultReader(MYSQL_STMT* statement) : statement_(statement) {}
  ~ResultReader() {
    // Receives what was not read, so that the connection is free for the next statement.
    mysql_stmt_free_result(statement_);
  }
  ResultReader(const ResultReader&) = delete;
  ResultReader& operator=(const ResultReader&) = delete;

  // False on an error of the statement.
  bool SetUp() {
    MYSQL_RES* metadata = mysql_stmt_result_metadata(statement_);
    if (metadata == nullptr) return false;
    const unsigned int count = mysql_num_fields(metadata);
    const MYSQL_FIELD* fields = mysql_fetch_fields(metadata);
    // Bound buffers are addressed by the library, so the columns must stay where they are.
    columns_ = std::vector<Column>(count);
    binds_.assign(count, MYSQL_BIND{});
    row_.resize(count);
    for (unsigned int i = 0; i < count; ++i) SetUpColumn(fields[i], &columns_[i], &binds_[i]);
    mysql_free_result(metadata);
    return mysql_stmt_bind_result(statement_, binds_.data()) == 0;
  }

  enum class Next { kRow, kEnd, kError };

  Next Fetch() {
    // Not before the last row was read: some versions of the library clear its lengths here.
    if (grown_ && mysql_stmt_bind_result(statement_, binds_.data()) != 0) return Next::kError;
    grown_ = false;
    const int result = mysql_stmt_fetch(statement_);
    if (result == MYSQL_NO_DATA) return Next::kEnd;
    if (result != 0 && result != MYSQL_DATA_TRUNCATED) return Next::kError;
    for (size_t i = 0; i < columns_.size(); ++i) {
      Column& column = columns_[i];
      if (column.is_null || !column.is_string() || column.length <= column.buffer.size()) continue;
      column.buffer.resize(column.length + column.length / 2);
      binds_[i].buffer = column.buffer.data();
      binds_[i].buffer_length = column.buffer.size();
      if (mysql_stmt_fetch_column(statement_, &binds_[i], static_cast<unsigned int>(i), 0) != 0) {
        return Next::kError;
      }
      grown_ = true;
    }
    return Next::kRow;
  }

  // The fetched row as values; valid until the next Fetch().
  absl::StatusOr<absl::Span<const ValueView>> Row() {
    for (size_t i = 0; i < columns_.size(); ++i) {
      absl::Status status = ReadColumn(&columns_[i], &row_[i]);
      if (!status.ok()) return status;
    }
    return absl::MakeConstSpan(row_);
  }

 private:
  struct Column {
    enum class Form { kInteger, kDecimal, kWholeDecimal, kTime, kText, kBytes };
    Form form = Form::kText;
    bool has_fraction = false;
    std::vector<char> buffer;
    int64_t integer = 0;
    double decimal = 0;
    MYSQL_TIME time = {};
    std::string text;
    unsigned long length = 0;  // NOLINT: the library's type
    my_bool is_null = 0;
    my_bool error = 0;

    bool is_string() const {
      return form == Form::kText || form == Form::kBytes || form == Form::kWholeDecimal;
    }
  };

  static void SetUpColumn(const MYSQL_FIELD& field, Column* column, MYSQL_BIND* bind) {
    bind->is_null = &column->is_null;
    bind->length = &column->length;
    bind->error = &column->error;
    switch (field.type) {
      case MYSQL_TYPE_TINY:
      case MYSQL_TYPE_SHORT:
      case MYSQL_TYPE_INT24:
      case MYSQL_TYPE_LONG:
      case MYSQL_TYPE_LONGLONG:
      case MYSQL_TYPE_YEAR:
        column->form = Column::Form::kInteger;
        bind->buffer_type = MYSQL_TYPE_LONGLONG;
        bind->buffer = &column->integer;
        return;
      case MYSQL_TYPE_FLOAT:
      case MYSQL_TYPE_DOUBLE:
        column->form = Column::Form::kDecimal;
        bind->buffer_type = MYSQL_TYPE_DOUBLE;
        bind->buffer = &column->decimal;
        return;
      case MYSQL_TYPE_DATE:
      case MYSQL_TYPE_NEWDATE:
      case MYSQL_TYPE_DATETIME:
      case MYSQL_TYPE_DATETIME2:
      case MYSQL_TYPE_TIMESTAMP:
      case MYSQL_TYPE_TIMESTAMP2:
        column->form = Column::Form::kTime;
        column->has_fraction = field.decimals > 0 && field.decimals <= 6;
        bind->buffer_type = MYSQL_TYPE_DATETIME;
        bind->buffer = &column->time;
        return;
      case MYSQL_TYPE_DECIMAL:
      case MYSQL_TYPE_NEWDECIMAL:
        column->form = field.decimals == 0 ? Column::Form::kWholeDecimal : Column::Form::kText;
        break;
      default:
        column->form =
            field.charsetnr == kBinaryCharacterSet ? Column::Form::kBytes : Column::Form::kText;
    }
    column->buffer.resize(kFirstColumnBytes);
    bind->buffer_type =
        column->form == Column::Form::kBytes ? MYSQL_TYPE_LONG_BLOB : MYSQL_TYPE_STRING;
    bind->buffer = column->buffer.data();
    bind->buffer_length = column->buffer.size();
  }

  static absl::Status ReadColumn(Column* column, ValueView* value) {
    if (column->is_null) {
      *value = ValueView();
      return absl::OkStatus();
    }
    const absl::string_view data(column->buffer.data(), column->length);
    switch (column->form) {
      case Column::Form::kInteger:
        if (column->error) return absl::InternalError("a result holds an integer over 2^63-1");
        *value = ValueView(column->integer);
        return absl::OkStatus();
      case Column::Form::kDecimal:
        *value = ValueView(column->decimal);
        return absl::OkStatus();
      case Column::Form::kWholeDecimal:
        if (!absl::SimpleAtoi(data, &column->integer)) {
          return absl::InternalError("a result holds an integer that 64 bits cannot hold");
        }
        *value = ValueView(column->integer);
        return absl::OkStatus();
      case Column::Form::kTime: {
        const MYSQL_TIME& time = column->time;
        column->text = absl::StrFormat("%04d-%02d-%02d %02d:%02d:%02d", time.year, time.month,
                                       time.day, time.hour, time.minute, time.second);
        if (column->has_fraction) absl::StrAppendFormat(&column->text, ".%06d", time.second_part);
        *value = ValueView(column->text);
        return absl::OkStatus();
      }
      case Column::Form::kText:
        *value = ValueView(data);
        return absl::OkStatus();
      case Column::Form::kBytes:
        *value = ValueView::Bytes(data);
        return absl::OkStatus();
    }
    return absl::InternalError("unknown column form");
  }

  MYSQL_STMT* const statement_;
  std::vector<Column> columns_;
  std::vector<MYSQL_BIND> binds_;
  // Whether the library does not know the newest buffers yet.
  bool grown_ = false;
  std::vector<ValueView> row_;
};

MariadbConnection::MariadbConnection(const Target& target, bool read_only)
    : where_(Where(target)), read_only_(read_only), statements_(kMaxPreparedStatements) {}

MariadbConnection::~MariadbConnection() {
  statements_.Clear();
  if (mysql_ != nullptr) mysql_close(mysql_);
  if (interrupt_socket_ >= 0) close(interrupt_socket_);
}

absl::StatusOr<std::unique_ptr<MariadbConnection>> MariadbConnection::Open(
    const Target& target, const ConnectionOptions& options) {
  SetUpLibrary();
  std::unique_ptr<MariadbConnection> connection(new MariadbConnection(target, options.read_only));
  absl::Status status = connection->Connect(target, options);
  if (!status.ok()) return status;
  status = connection->SetUpSession(options);
  if (!status.ok()) return status;
  return connection;
}

absl::Status MariadbConnection::Connect(const Target& target, const ConnectionOptions& options) {
  mysql_ = mysql_init(nullptr);
  if (mysql_ == nullptr) return absl::ResourceExhaustedError("no memory for a connection");

  const unsigned int connect_timeout = WholeSeconds(options.connect_timeout);
  // While a statement waits for a lock the server says nothing.
  const unsigned int io_timeout =
      WholeSeconds(std::max(options.io_timeout, options.lock_timeout + absl::Seconds(1)));
  mysql_optionsv(mysql_, MYSQL_OPT_CONNECT_TIMEOUT, &connect_timeout);
  mysql_optionsv(mysql_, MYSQL_OPT_READ_TIMEOUT, &io_timeout);
  mysql_optionsv(mysql_, MYSQL_OPT_WRITE_TIMEOUT, &io_timeout);
  mysql_optionsv(mysql_, MYSQL_SET_CHARSET_NAME, "utf8mb4");
  const unsigned int no_local_infile = 0;
  mysql_optionsv(mysql_, MYSQL_OPT_LOCAL_INFILE, &no_local_infile);

  const bool tls = options.tls != ConnectionOptions::Tls::kOff;
  const my_bool enforce = tls ? 1 : 0;
  const my_bool verify = options.tls == ConnectionOptions::Tls::kVerify ? 1 : 0;
  if (tls) {
    const auto file = [](const std::string& path) { return path.empty() ? nullptr : path.c_str(); };
    mysql_ssl_set(mysql_, file(options.tls_key_file), file(options.tls_cert_file),
                  verify ? file(options.tls_ca_file) : nullptr, nullptr, nullptr);
  }
  mysql_optionsv(mysql_, MYSQL_OPT_SSL_ENFORCE, &enforce);
  mysql_optionsv(mysql_, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &verify);

  const bool tcp = target.socket.empty();
  // Without this, the name localhost would mean a Unix socket.
  const unsigned int protocol = tcp ? MYSQL_PROTOCOL_TCP : MYSQL_PROTOCOL_SOCKET;
  mysql_optionsv(mysql_, MYSQL_OPT_PROTOCOL, &protocol);

  // CLIENT_FOUND_ROWS: an UPDATE counts the rows it found, as on SQLite.
  if (mysql_real_connect(mysql_, tcp ? target.host.c_str() : "localhost", target.user.c_str(),
                         options.password.c_str(), target.database.c_str(), target.port,
                         tcp ? nullptr : target.socket.c_str(), CLIENT_FOUND_ROWS) == nullptr) {
    return Failed();
  }
  interrupt_socket_ = fcntl(mysql_get_socket(mysql_), F_DUPFD_CLOEXEC, 0);
  // The library falls back to plain text with a server that has no TLS.
  if (tls && mysql_get_ssl_cipher(mysql_) == nullptr) {
    broken_ = true;
    return DatabaseUnavailable(absl::StrCat(where_, ": TLS is asked for, but the server has none"));
  }
  // The upper half of the capabilities, which only MariaDB has.
  unsigned long capabilities = 0;  // NOLINT: the library's type
  bulk_supported_ = mariadb_get_infov(mysql_, MARIADB_CONNECTION_EXTENDED_SERVER_CAPABILITIES,
                                      &capabilities) == 0 &&
                    (capabilities & (MARIADB_CLIENT_STMT_BULK_OPERATIONS >> 32)) != 0;
  return absl::OkStatus();
}

absl::Status MariadbConnection::SetUpSession(const ConnectionOptions& options) {
  const unsigned int lock_timeout = WholeSeconds(options.lock_timeout);
  std::vector<std::string> statements = {
      "SET NAMES utf8mb4",
      absl::StrCat("SET SESSION sql_mode = '", kSqlMode,
                   "', time_zone = '+00:00', autocommit = 1, innodb_lock_wait_timeout = ",
                   lock_timeout, ", lock_wait_timeout = ", lock_timeout),
      "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
  };
  if (read_only_) statements.push_back("SET SESSION TRANSACTION READ ONLY");
  for (const std::string& statement : statements) {
    absl::StatusOr<int64_t> result = ExecuteText(statement);
    if (!result.ok()) return result.status();
  }

  std::string collation;
  absl::Status status = Query(
      "SELECT collation_name, @@max_allowed_packet FROM information_schema.collations "
      "WHERE collation_name IN ('utf8mb4_nopad_bin', 'utf8mb4_0900_bin') "
      "ORDER BY collation_name DESC LIMIT 1",
      {}, [&](absl::Span<const ValueView> row) {
        collation = std::string(row[0].data());
        max_bulk_bytes_ = std::min(kMaxBulkBytes, static_cast<size_t>(row[1].integer()) / 2);
        return absl::OkStatus();
      });
  if (!status.ok()) return status;
  if (collation.empty()) {
    return absl::FailedPreconditionError(absl::StrCat(
        where_,
        ": the server has no collation that compares bytes without padding (MariaDB has one since "
        "10.2, MySQL since 8.0.17)"));
  }
  dialect_ = std::make_unique<MariadbDialect>(collation);
  return absl::OkStatus();
}

absl::Status MariadbConnection::CheckUsable() const {
  if (broken_) return DatabaseUnavailable(absl::StrCat(where_, ": the connection is broken"));
  if (in_query_) return absl::InternalError("a connection was used while it reads a result");
  return absl::OkStatus();
}

absl::Status MariadbConnection::Failed() {
  return Failed(mysql_errno(mysql_), mysql_error(mysql_));
}

absl::Status MariadbConnection::Failed(const PreparedStatement& statement) {
  return Failed(mysql_stmt_errno(statement.handle()), mysql_stmt_error(statement.handle()));
}

absl::Status MariadbConnection::Failed(unsigned int code, const char* message) {
  MariadbError error = ClassifyMariadbError(code, message, where_);
  if (error.connection_broken) {
    broken_ = true;
    in_transaction_ = false;
  } else if (error.transaction_lost) {
    Rollback();
  }
  return std::move(error.status);
}

absl::StatusOr<int64_t> MariadbConnection::ExecuteText(absl::string_view sql) {
  if (mysql_real_query(mysql_, sql.data(), sql.size()) != 0) return Failed();
  if (mysql_field_count(mysql_) > 0) {
    MYSQL_RES* result = mysql_use_result(mysql_);
    if (result == nullptr) return Failed();
    mysql_free_result(result);
    return 0;
  }
  return static_cast<int64_t>(mysql_affected_rows(mysql_));
}

absl::StatusOr<MariadbConnection::PreparedStatement*> MariadbConnection::Prepare(
    absl::string_view sql) {
  PreparedStatement* known = statements_.Find(sql);
  if (known != nullptr) return known;
  MYSQL_STMT* handle = mysql_stmt_init(mysql_);
  if (handle == nullptr) return Failed();
  auto statement = std::make_unique<PreparedStatement>(handle);
  if (mysql_stmt_prepare(handle, sql.data(), sql.size()) != 0) return Failed(*statement);
  return statements_.Add(sql, std::move(statement));
}

absl::Status MariadbConnection::CheckParameters(const PreparedStatement& statement,
                                                size_t given) const {
  const size_t wanted = mysql_stmt_param_count(statement.handle());
  if (wanted == given) return absl::OkStatus();
  return absl::InternalError(
      absl::StrCat("a statement with ", wanted, " parameters was given ", given));
}

absl::StatusOr<MariadbConnection::PreparedStatement*> MariadbConnection::Run(
    absl::string_view sql, absl::Span<const ValueView> parameters) {
  absl::StatusOr<PreparedStatement*> statement = Prepare(sql);
  if (!statement.ok()) return statement.status();
  absl::Status fits = CheckParameters(**statement, parameters.size());
  if (!fits.ok()) return fits;
  if (!(*statement)->Execute(parameters)) return Failed(**statement);
  return *statement;
}

absl::StatusOr<int64_t> MariadbConnection::Execute(absl::string_view sql,
                                                   absl::Span<const ValueView> parameters) {
  absl::Status usable = CheckUsable();
  if (!usable.ok()) return usable;
  if (ChangesTables(sql)) {
    if (in_transaction_) {
      return absl::InternalError("a change of a table would commit the open transaction");
    }
    if (!parameters.empty()) return absl::InternalError("changes of tables take no parameters");
    return ExecuteText(sql);
  }
  absl::StatusOr<PreparedStatement*> statement = Run(sql, parameters);
  if (!statement.ok()) return statement.status();
  MYSQL_STMT* handle = (*statement)->handle();
  if (mysql_stmt_field_count(handle) > 0) {
    mysql_stmt_free_result(handle);
    return 0;
  }
  return static_cast<int64_t>(mysql_stmt_affected_rows(handle));
}

absl::Status MariadbConnection::ExecuteMany(absl::string_view sql,
                                            absl::Span<const absl::Span<const ValueView>> rows) {
  absl::Status usable = CheckUsable();
  if (!usable.ok()) return usable;
  if (!bulk_supported_ || rows.size() < 2 || rows[0].empty() || ChangesTables(sql)) {
    return Connection::ExecuteMany(sql, rows);
  }
  absl::StatusOr<PreparedStatement*> statement = Prepare(sql);
  if (!statement.ok()) return statement.status();
  if (mysql_stmt_field_count((*statement)->handle()) > 0) return Connection::ExecuteMany(sql, rows);
  for (const absl::Span<const ValueView> row : rows) {
    absl::Status fits = CheckParameters(**statement, row.size());
    if (!fits.ok()) return fits;
  }
  while (!rows.empty()) {
    const size_t count = RowsOfNextBulk(rows, max_bulk_bytes_);
    const bool executed =
        count == 1 ? (*statement)->Execute(rows[0]) : (*statement)->ExecuteBulk(rows.first(count));
    if (!executed) {
      if (mysql_stmt_errno((*statement)->handle()) != ER_BINLOG_NON_SUPPORTED_BULK) {
        return Failed(**statement);
      }
      // The server has refused it before it did anything.
      bulk_supported_ = false;
      return Connection::ExecuteMany(sql, rows);
    }
    rows.remove_prefix(count);
  }
  return absl::OkStatus();
}

absl::Status MariadbConnection::Query(absl::string_view sql, absl::Span<const ValueView> parameters,
                                      RowVisitor visit) {
  absl::Status usable = CheckUsable();
  if (!usable.ok()) return usable;
  absl::StatusOr<PreparedStatement*> statement = Run(sql, parameters);
  if (!statement.ok()) return statement.status();
  if (mysql_stmt_field_count((*statement)->handle()) == 0) return absl::OkStatus();

  // The reader receives the rest of the result before the error of a statement is dealt with.
  bool failed = false;
  unsigned int code = 0;
  std::string message;
  absl::Status status;
  {
    ResultReader reader((*statement)->handle());
    failed = !reader.SetUp();
    in_query_ = true;
    while (!failed) {
      const ResultReader::Next next = reader.Fetch();
      if (next == ResultReader::Next::kEnd) break;
      if (next == ResultReader::Next::kError) {
        failed = true;
        break;
      }
      absl::StatusOr<absl::Span<const ValueView>> row = reader.Row();
      status = row.ok() ? visit(*row) : row.status();
      if (!status.ok()) break;
    }
    in_query_ = false;
    if (failed) {
      code = mysql_stmt_errno((*statement)->handle());
      message = mysql_stmt_error((*statement)->handle());
      // What the server says in the middle of a result, only the connection knows.
      if (code == 0) {
        code = mysql_errno(mysql_);
        message = mysql_error(mysql_);
      }
    }
  }
  if (failed) return Failed(code, message.c_str());
  return status;
}

absl::Status MariadbConnection::BeginWrite() {
  if (read_only_) {
    return absl::FailedPreconditionError(absl::StrCat(where_, " was opened for reading only"));
  }
  absl::Status usable = CheckUsable();
  if (!usable.ok()) return usable;
  if (in_transaction_) return absl::InternalError("a transaction is open already");
  absl::Status status = ExecuteText("START TRANSACTION").status();
  in_transaction_ = status.ok();
  return status;
}

absl::Status MariadbConnection::BeginRead() {
  absl::Status usable = CheckUsable();
  if (!usable.ok()) return usable;
  if (in_transaction_) return absl::InternalError("a transaction is open already");
  absl::Status status = ExecuteText("START TRANSACTION WITH CONSISTENT SNAPSHOT").status();
  in_transaction_ = status.ok();
  return status;
}

absl::Status MariadbConnection::SetSavepoint() {
  absl::Status usable = CheckUsable();
  if (!usable.ok()) return usable;
  if (!in_transaction_) return absl::InternalError("there is no transaction for a savepoint");
  return ExecuteText("SAVEPOINT ctlstore").status();
}

absl::Status MariadbConnection::RollbackToSavepoint() {
  absl::Status usable = CheckUsable();
  if (!usable.ok()) return usable;
  if (!in_transaction_) {
    return DatabaseBusy(absl::StrCat(where_, ": the transaction with the savepoint is lost"));
  }
  return ExecuteText("ROLLBACK TO SAVEPOINT ctlstore").status();
}

absl::Status MariadbConnection::Commit() {
  absl::Status usable = CheckUsable();
  if (!usable.ok()) return usable;
  if (!in_transaction_) return absl::InternalError("there is no transaction to commit");
  if (mysql_real_query(mysql_, "COMMIT", strlen("COMMIT")) == 0) {
    in_transaction_ = false;
    return absl::OkStatus();
  }
  const unsigned int code = mysql_errno(mysql_);
  const std::string message = mysql_error(mysql_);
  MariadbError error = ClassifyMariadbError(code, message, where_);
  absl::Status status = Failed(code, message.c_str());
  Rollback();
  if (error.outcome_unknown) {
    return OutcomeUnknown(
        absl::StrCat("it is not known whether the transaction was committed: ", status.message()));
  }
  return status;
}

void MariadbConnection::Rollback() {
  if (!in_transaction_) return;
  in_transaction_ = false;
  if (broken_) return;
  // What is still open on a connection that cannot even roll back ends with the connection.
  if (mysql_real_query(mysql_, "ROLLBACK", strlen("ROLLBACK")) != 0) broken_ = true;
}

bool MariadbConnection::Alive() {
  if (broken_ || in_query_) return false;
  if (mysql_ping(mysql_) != 0) broken_ = true;
  return !broken_;
}

void MariadbConnection::Interrupt() {
  if (interrupt_socket_ >= 0) shutdown(interrupt_socket_, SHUT_RDWR);
}

}  // namespace ctlstore::ctldb
