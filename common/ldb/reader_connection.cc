#include "common/ldb/reader_connection.h"

#include <sqlite3.h>

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "common/ldb/ldb_tables.h"
#include "common/ldb/leader_time.h"
#include "common/schema/errors.h"
#include "common/schema/limits.h"
#include "common/sql/ledger_statements.h"
#include "common/sql/quote.h"

namespace ctlstore::ldb {
namespace {

// Readers are not in the writer's way, nor it in theirs; only the repair of a WAL after a crash is
// waited for.
constexpr absl::Duration kBusyTimeout = absl::Milliseconds(500);

// Reads what is of the schema from the file, and so makes SQLite look whether it has changed.
constexpr char kCheckSchema[] = "SELECT 1 FROM sqlite_schema LIMIT 1";
constexpr char kDescribeTable[] = "SELECT name, type, pk FROM pragma_table_info(?1)";

absl::Status Unavailable(absl::string_view message) {
  return ErrorWithReason(absl::StatusCode::kUnavailable, reason::kLdbUnavailable, message);
}

// SQLite's errors as a reader's.
absl::Status ReaderError(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
    case absl::StatusCode::kDataLoss:
      return status;
    case absl::StatusCode::kUnavailable:
      return Unavailable(status.message());
    default:
      // Never one of the codes that are about what the caller asked for.
      return absl::InternalError(status.message());
  }
}

// Whether a value may be compared with a key field.
bool Fits(const ReaderConnection::Column& column, const ValueView& value) {
  return column.type.has_value() ? value.kind() == KindOf(*column.type) : !value.is_null();
}

bool KeyFits(const ReaderConnection::Table& table, absl::Span<const ValueView> key,
             bool whole_key) {
  if (whole_key ? key.size() != table.key.size() : key.size() > table.key.size()) return false;
  for (size_t i = 0; i < key.size(); ++i) {
    if (!Fits(table.columns[table.key[i]], key[i])) return false;
  }
  return true;
}

// Why KeyFits() says no.
absl::Status KeyError(const ReaderConnection::Table& table, absl::Span<const ValueView> key,
                      bool whole_key) {
  std::vector<std::string> fields;
  for (size_t position : table.key) {
    const ReaderConnection::Column& column = table.columns[position];
    fields.push_back(absl::StrCat(column.name, column.type.has_value() ? " " : "",
                                  column.type.has_value() ? FieldTypeName(*column.type) : ""));
  }
  if (key.size() > table.key.size() || (whole_key && key.size() < table.key.size())) {
    return InvalidField(
        key.size() > table.key.size() ? absl::StrCat("key[", table.key.size(), "]")
                                      : absl::StrCat("key[", key.size(), "]"),
        reason::kInvalidKey,
        absl::StrCat("the key of ", table.name.family, ".", table.name.table, " has ",
                     table.key.size(), " fields (", absl::StrJoin(fields, ", "), "), given were ",
                     key.size(), " values"));
  }
  for (size_t i = 0; i < key.size(); ++i) {
    const ReaderConnection::Column& column = table.columns[table.key[i]];
    if (Fits(column, key[i])) continue;
    return InvalidField(absl::StrCat("key[", i, "]"), reason::kInvalidKey,
                        column.type.has_value()
                            ? absl::StrCat("the key field ", column.name, " is of type ",
                                           FieldTypeName(*column.type), " and takes ",
                                           ValueKindName(KindOf(*column.type)), ", not ",
                                           ValueKindName(key[i].kind()))
                            : absl::StrCat("the key field ", column.name, " takes no null"));
  }
  return absl::OkStatus();
}

std::string SelectSql(const ReaderConnection::Table& table, size_t key_values) {
  std::string sql = "SELECT * FROM ";
  sql::AppendIdentifier(SqlTableName(table.name), &sql);
  for (size_t i = 0; i < table.key.size(); ++i) {
    sql += i == key_values ? " ORDER BY " : i > key_values ? ", " : i == 0 ? " WHERE " : " AND ";
    sql::AppendIdentifier(table.columns[table.key[i]].name, &sql);
    if (i < key_values) sql += " = ?";
  }
  return sql;
}

// Whether the statement was prepared for another schema than it has now run on.
bool WasPreparedAgain(const sqlite::Statement& statement) {
  return sqlite3_stmt_status(statement.handle(), SQLITE_STMTSTATUS_REPREPARE, 0) != 0;
}

}  // namespace

bool IsCallersMistake(const absl::Status& status) {
  return status.code() == absl::StatusCode::kNotFound ||
         status.code() == absl::StatusCode::kInvalidArgument;
}

absl::StatusOr<std::unique_ptr<ReaderConnection>> ReaderConnection::Open(const std::string& path) {
  constexpr int kTries = 10;
  bool there = true;
  for (int i = 0; i < kTries; ++i) {
    const absl::optional<FileIdentity> identity = IdentityOf(path);
    // The file that a link led to may have been removed just after another took its place.
    there = identity.has_value();
    if (!there) continue;
    absl::StatusOr<std::unique_ptr<sqlite::Database>> database =
        sqlite::Database::Open(path, sqlite::Database::Mode::kReadOnly, kBusyTimeout);
    absl::Status status = database.status();
    // SQLite opens the WAL when it first reads, by its name. It must be the one of this file.
    if (status.ok()) status = (*database)->Execute(kCheckSchema);
    // The file may be replaced by another one between the two.
    if (IdentityOf(path) != identity) continue;
    if (!status.ok()) return ReaderError(status);
    sqlite3* const handle = (*database)->handle();
    // A name in double quotes is a column, never a text.
    sqlite3_db_config(handle, SQLITE_DBCONFIG_DQS_DML, 0, nullptr);
    // A statement's plan does not depend on what is bound to it, so that a statement which was
    // prepared again always means that the schema has changed.
    sqlite3_db_config(handle, SQLITE_DBCONFIG_ENABLE_QPSG, 1, nullptr);
    status = (*database)->Execute("PRAGMA query_only=1");
    if (!status.ok()) return ReaderError(status);
    return std::unique_ptr<ReaderConnection>(new ReaderConnection(*std::move(database), *identity));
  }
  return Unavailable(there ? absl::StrCat("the file at ", path, " is replaced all the time")
                           : absl::StrCat("there is no local database at ", path));
}

absl::Status ReaderConnection::Prepared(const char* sql,
                                        std::unique_ptr<sqlite::Statement>* statement) {
  if (*statement != nullptr) return absl::OkStatus();
  absl::StatusOr<std::unique_ptr<sqlite::Statement>> prepared = database_->Prepare(sql);
  if (!prepared.ok()) return prepared.status();
  *statement = *std::move(prepared);
  return absl::OkStatus();
}

absl::Status ReaderConnection::Begin() {
  absl::Status status = Prepared("BEGIN", &begin_);
  if (status.ok()) status = Prepared("COMMIT", &commit_);
  if (status.ok()) status = Prepared(kCheckSchema, &check_schema_);
  if (status.ok()) status = begin_->Run();
  if (!status.ok()) return ReaderError(status);
  status = check_schema_->Run();
  if (!status.ok()) {
    Commit();
    return ReaderError(status);
  }
  return absl::OkStatus();
}

void ReaderConnection::Commit() { commit_->Run().IgnoreError(); }

ReaderConnection::Table* ReaderConnection::Known(absl::string_view family,
                                                 absl::string_view table) {
  constexpr size_t kSeparatorSize = 3;
  char name[limits::kFamilyNameMax + kSeparatorSize + limits::kTableNameMax];
  const size_t size = family.size() + kSeparatorSize + table.size();
  if (size > sizeof(name)) return nullptr;
  char* end = std::transform(family.begin(), family.end(), name, absl::ascii_tolower);
  end = std::fill_n(end, kSeparatorSize, '_');
  std::transform(table.begin(), table.end(), end, absl::ascii_tolower);
  const auto found = tables_.find(absl::string_view(name, size));
  // Names that are none can give the same text with the separator elsewhere.
  if (found == tables_.end() || found->second->name.family.size() != family.size()) return nullptr;
  return found->second.get();
}

absl::StatusOr<ReaderConnection::Table*> ReaderConnection::Describe(const TableName& name) {
  const std::string sql_name = SqlTableName(name);
  absl::Status status = Prepared(kDescribeTable, &describe_);
  if (status.ok()) status = describe_->Bind(1, sql_name);
  if (!status.ok()) return ReaderError(status);
  std::vector<Column> columns;
  // Places in the key (from 1), positions of the columns.
  std::vector<std::pair<int64_t, size_t>> key;
  absl::StatusOr<bool> row;
  while ((row = describe_->Step()).ok() && *row) {
    const ValueView type = describe_->Column(1);
    absl::StatusOr<FieldType> field_type = sql::FieldTypeOfSqliteColumn(type.data());
    const int64_t place = describe_->Column(2).integer();
    if (place > 0) key.emplace_back(place, columns.size());
    columns.push_back(Column{std::string(describe_->Column(0).data()),
                             field_type.ok() ? absl::make_optional(*field_type) : absl::nullopt});
  }
  describe_->Reset();
  if (!row.ok()) return ReaderError(row.status());
  if (columns.empty()) {
    tables_.erase(sql_name);
    // A file that is not (yet) a local database has not even our own tables.
    status = Prepared(kReadSequence, &sequence_);
    if (status.code() == absl::StatusCode::kInternal) {
      return Unavailable("the file is no local database (yet)");
    }
    if (!status.ok()) return ReaderError(status);
    return ErrorWithReason(absl::StatusCode::kNotFound, reason::kTableNotFound,
                           absl::StrCat("there is no table ", name.family, ".", name.table));
  }
  std::sort(key.begin(), key.end());
  std::vector<size_t> positions;
  for (const auto& [place, position] : key) positions.push_back(position);

  std::unique_ptr<Table>& table = tables_[sql_name];
  // Statements for the same columns stay.
  if (table == nullptr || table->columns != columns || table->key != positions) {
    table = std::make_unique<Table>();
    table->name = name;
    table->columns = std::move(columns);
    table->key = std::move(positions);
    table->selects.resize(table->key.size() + 1);
  }
  return table.get();
}

absl::Status ReaderConnection::BindAndStep(Cursor* cursor, absl::Span<const ValueView> key) {
  absl::Status status;
  for (size_t i = 0; i < key.size() && status.ok(); ++i) {
    status = cursor->statement->Bind(static_cast<int>(i + 1), key[i]);
  }
  if (status.ok()) {
    absl::StatusOr<bool> row = cursor->statement->Step();
    if (row.ok()) {
      cursor->has_row = *row;
      return absl::OkStatus();
    }
    status = row.status();
  }
  cursor->statement->Reset();
  return ReaderError(status);
}

absl::StatusOr<ReaderConnection::Cursor> ReaderConnection::Select(absl::string_view family,
                                                                  absl::string_view table,
                                                                  absl::Span<const ValueView> key,
                                                                  bool whole_key) {
  Table* known = Known(family, table);
  if (known != nullptr && KeyFits(*known, key, whole_key) &&
      known->selects[key.size()] != nullptr) {
    Cursor cursor;
    cursor.table = known;
    cursor.statement = known->selects[key.size()].get();
    const absl::Status status = BindAndStep(&cursor, key);
    if (status.ok() && !WasPreparedAgain(*cursor.statement)) return cursor;
    // Either the table is not what it was, or something is wrong, which shows when it is tried
    // again.
    known->selects[key.size()] = nullptr;
  }
  absl::StatusOr<TableName> name = NormalizeName(family, table);
  if (!name.ok()) return name.status();
  absl::Status status = Begin();
  if (!status.ok()) return status;
  absl::StatusOr<Cursor> cursor = SelectInTransaction(*name, key, whole_key);
  if (!cursor.ok()) Commit();
  return cursor;
}

absl::StatusOr<ReaderConnection::Cursor> ReaderConnection::SelectInTransaction(
    const TableName& name, absl::Span<const ValueView> key, bool whole_key) {
  absl::StatusOr<Table*> table = Describe(name);
  if (!table.ok()) return table.status();
  if (!KeyFits(**table, key, whole_key)) return KeyError(**table, key, whole_key);
  std::unique_ptr<sqlite::Statement>& select = (*table)->selects[key.size()];
  absl::StatusOr<std::unique_ptr<sqlite::Statement>> prepared =
      database_->Prepare(SelectSql(**table, key.size()));
  if (!prepared.ok()) return ReaderError(prepared.status());
  select = *std::move(prepared);
  Cursor cursor;
  cursor.table = *table;
  cursor.statement = select.get();
  cursor.in_transaction = true;
  absl::Status status = BindAndStep(&cursor, key);
  if (!status.ok()) return status;
  return cursor;
}

absl::Status ReaderConnection::Next(Cursor* cursor) {
  absl::StatusOr<bool> row = cursor->statement->Step();
  if (!row.ok()) return ReaderError(row.status());
  cursor->has_row = *row;
  return absl::OkStatus();
}

void ReaderConnection::End(const Cursor& cursor) {
  cursor.statement->Reset();
  if (cursor.in_transaction) Commit();
}

absl::StatusOr<TableSchema> ReaderConnection::GetTable(absl::string_view family,
                                                       absl::string_view table) {
  absl::StatusOr<TableName> name = NormalizeName(family, table);
  if (!name.ok()) return name.status();
  absl::Status status = Begin();
  if (!status.ok()) return status;
  absl::StatusOr<Table*> described = Describe(*name);
  Commit();
  if (!described.ok()) return described.status();
  std::vector<Field> fields;
  for (const Column& column : (*described)->columns) {
    if (!column.type.has_value()) {
      return absl::InternalError(absl::StrCat("the column ", column.name, " of ",
                                              SqlTableName(*name),
                                              " has a type that no field has"));
    }
    fields.push_back(Field{column.name, *column.type});
  }
  std::vector<std::string> key_fields;
  for (size_t position : (*described)->key) key_fields.push_back(fields[position].name);
  absl::StatusOr<TableSchema> schema =
      TableSchema::Create(name->family, name->table, std::move(fields), key_fields);
  if (!schema.ok()) {
    return absl::InternalError(absl::StrCat(
        SqlTableName(*name), " is not one of our tables: ", schema.status().message()));
  }
  return schema;
}

absl::StatusOr<int64_t> ReaderConnection::GetSequence() {
  absl::Status status = Prepared(kReadSequence, &sequence_);
  if (status.code() == absl::StatusCode::kInternal) {
    return Unavailable("the file is no local database (yet)");
  }
  if (!status.ok()) return ReaderError(status);
  absl::StatusOr<bool> row = sequence_->Step();
  int64_t sequence = 0;
  if (row.ok() && *row) {
    const ValueView value = sequence_->Column(0);
    if (value.kind() == ValueKind::kInteger) sequence = value.integer();
  }
  sequence_->Reset();
  if (!row.ok()) return ReaderError(row.status());
  return sequence;
}

absl::StatusOr<Position> ReaderConnection::GetPosition() {
  absl::Status status = Begin();
  if (!status.ok()) return status;
  Position position;
  absl::StatusOr<int64_t> sequence = GetSequence();
  if (!sequence.ok()) {
    Commit();
    return sequence.status();
  }
  position.applied_sequence = *sequence;

  // Neither of these need be there, nor be what we write.
  status = Prepared(kReadLastUpdate, &last_update_);
  if (status.ok()) {
    absl::StatusOr<bool> row = last_update_->Step();
    if (row.ok() && *row) {
      const ValueView value = last_update_->Column(0);
      if (value.kind() == ValueKind::kText) {
        position.applied_entry_time = ParseLeaderTime(value.data());
      }
    }
    last_update_->Reset();
    status = row.status();
  }
  if (status.ok() || status.code() == absl::StatusCode::kInternal) {
    status = Prepared(kReadHeartbeat, &heartbeat_);
    if (status.ok()) {
      absl::StatusOr<bool> row = heartbeat_->Step();
      if (row.ok() && *row) {
        const ValueView value = heartbeat_->Column(0);
        if (value.kind() == ValueKind::kInteger) {
          position.heartbeat_time = absl::FromUnixNanos(value.integer());
        }
      }
      heartbeat_->Reset();
      status = row.status();
    }
  }
  Commit();
  if (!status.ok() && status.code() != absl::StatusCode::kInternal) return ReaderError(status);
  return position;
}

}  // namespace ctlstore::ldb
