#include "common/ldb/reader_connection.h"

#include <sqlite3.h>
#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "absl/container/inlined_vector.h"
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
constexpr char kListTables[] = "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name";
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

// A column's value as its declared type has it, where what is stored is of another one.
ValueView AsDeclared(FieldType type, const ValueView& stored) {
  switch (KindOf(type)) {
    case ValueKind::kDecimal:
      if (stored.kind() == ValueKind::kInteger) return static_cast<double>(stored.integer());
      break;
    case ValueKind::kText:
      // The Go reflector stores text with a NUL as bytes.
      if (stored.kind() == ValueKind::kBytes) return stored.data();
      break;
    case ValueKind::kBytes:
      if (stored.kind() == ValueKind::kText) return ValueView::Bytes(stored.data());
      break;
    default:
      break;
  }
  return stored;
}

// A copy of the row on which the statement stands.
RowData::Ptr CopyRow(const std::shared_ptr<const TableShape>& shape,
                     const sqlite::Statement& statement) {
  constexpr size_t kUsualColumns = 16;
  absl::InlinedVector<ValueView, kUsualColumns> values;
  const std::vector<TableShape::Column>& columns = shape->columns;
  for (size_t i = 0; i < columns.size(); ++i) {
    const ValueView stored = statement.Column(static_cast<int>(i));
    const absl::optional<FieldType>& type = columns[i].type;
    values.push_back(
        !type.has_value() || stored.kind() == KindOf(*type) ? stored : AsDeclared(*type, stored));
  }
  return RowData::Row(shape, values);
}

// Whether a value may be compared with a key field.
bool Fits(const TableShape::Column& column, const ValueView& value) {
  return column.type.has_value() ? value.kind() == KindOf(*column.type) : !value.is_null();
}

bool KeyFits(const TableShape& shape, absl::Span<const ValueView> key, bool whole_key) {
  if (whole_key ? key.size() != shape.key.size() : key.size() > shape.key.size()) return false;
  for (size_t i = 0; i < key.size(); ++i) {
    if (!Fits(shape.columns[shape.key[i]], key[i])) return false;
  }
  return true;
}

// Why KeyFits() says no. `field` is what the caller calls the key.
absl::Status KeyError(const TableShape& shape, absl::string_view field,
                      absl::Span<const ValueView> key, bool whole_key) {
  std::vector<std::string> fields;
  for (size_t position : shape.key) {
    const TableShape::Column& column = shape.columns[position];
    fields.push_back(absl::StrCat(column.name, column.type.has_value() ? " " : "",
                                  column.type.has_value() ? FieldTypeName(*column.type) : ""));
  }
  if (key.size() > shape.key.size() || (whole_key && key.size() < shape.key.size())) {
    return InvalidField(
        absl::StrCat(field, "[", std::min(key.size(), shape.key.size()), "]"), reason::kInvalidKey,
        absl::StrCat("the key of ", shape.name.family, ".", shape.name.table, " has ",
                     shape.key.size(), " fields (", absl::StrJoin(fields, ", "), "), given were ",
                     key.size(), " values"));
  }
  for (size_t i = 0; i < key.size(); ++i) {
    const TableShape::Column& column = shape.columns[shape.key[i]];
    if (Fits(column, key[i])) continue;
    return InvalidField(absl::StrCat(field, "[", i, "]"), reason::kInvalidKey,
                        column.type.has_value()
                            ? absl::StrCat("the key field ", column.name, " is of type ",
                                           FieldTypeName(*column.type), " and takes ",
                                           ValueKindName(KindOf(*column.type)), ", not ",
                                           ValueKindName(key[i].kind()))
                            : absl::StrCat("the key field ", column.name, " takes no null"));
  }
  return absl::OkStatus();
}

bool HasPrefix(absl::Span<const ValueView> after, absl::Span<const ValueView> key_prefix) {
  return after.size() >= key_prefix.size() &&
         std::equal(key_prefix.begin(), key_prefix.end(), after.begin());
}

// Parameters: the prefix's values, and then those of `after` that follow the prefix.
std::string SelectSql(const TableShape& shape, size_t prefix_size, bool after) {
  std::string sql = "SELECT * FROM ";
  sql::AppendIdentifier(SqlTableName(shape.name), &sql);
  const auto append_keys = [&](size_t begin) {
    for (size_t i = begin; i < shape.key.size(); ++i) {
      if (i > begin) sql += ", ";
      sql::AppendIdentifier(shape.columns[shape.key[i]].name, &sql);
    }
  };
  for (size_t i = 0; i < prefix_size; ++i) {
    sql += i == 0 ? " WHERE " : " AND ";
    sql::AppendIdentifier(shape.columns[shape.key[i]].name, &sql);
    sql += " = ?";
  }
  if (after && prefix_size < shape.key.size()) {
    sql += prefix_size == 0 ? " WHERE (" : " AND (";
    append_keys(prefix_size);
    sql += ") > (";
    for (size_t i = prefix_size; i < shape.key.size(); ++i) {
      sql += i > prefix_size ? ", ?" : "?";
    }
    sql += ")";
  }
  if (prefix_size < shape.key.size()) {
    sql += " ORDER BY ";
    append_keys(prefix_size);
  }
  return sql;
}

// Text is taken as the file has it.
absl::Status CheckEncoding(sqlite::Database* database) {
  absl::StatusOr<std::unique_ptr<sqlite::Statement>> encoding =
      database->Prepare("PRAGMA encoding");
  if (!encoding.ok()) return ReaderError(encoding.status());
  const absl::StatusOr<bool> row = (*encoding)->Step();
  if (!row.ok()) return ReaderError(row.status());
  if (*row && (*encoding)->Column(0) == ValueView("UTF-8")) return absl::OkStatus();
  return absl::DataLossError("the text in the file is not UTF-8, so it is no local database");
}

// Whether the statement was prepared for another schema than it has now run on.
bool WasPreparedAgain(const sqlite::Statement& statement) {
  return sqlite3_stmt_status(statement.handle(), SQLITE_STMTSTATUS_REPREPARE, 0) != 0;
}

template <typename Values>
absl::StatusOr<bool> BindAndStep(sqlite::Statement* statement, const Values& values) {
  absl::Status status;
  int parameter = 0;
  for (const auto& value : values) {
    const ValueView view = value;
    status =
        statement->Bind(++parameter, IsStoredAsBytes(view) ? ValueView::Bytes(view.data()) : view);
    if (!status.ok()) break;
  }
  if (status.ok()) {
    absl::StatusOr<bool> row = statement->Step();
    if (row.ok()) return row;
    status = row.status();
  }
  statement->Reset();
  return ReaderError(status);
}

}  // namespace

bool IsStoredAsBytes(const ValueView& key_value) {
  return key_value.kind() == ValueKind::kText &&
         key_value.data().find('\0') != absl::string_view::npos;
}

bool IsCallersMistake(const absl::Status& status) {
  return status.code() == absl::StatusCode::kNotFound ||
         status.code() == absl::StatusCode::kInvalidArgument ||
         status.code() == absl::StatusCode::kOutOfRange;
}

ReaderConnection::ReaderConnection(std::unique_ptr<sqlite::Database> database,
                                   FileIdentity identity, std::atomic<int64_t>* open_connections)
    : database_(std::move(database)),
      identity_(identity),
      open_connections_(open_connections),
      changes_(database_.get()) {
  open_connections_->fetch_add(1, std::memory_order_relaxed);
}

ReaderConnection::~ReaderConnection() {
  open_connections_->fetch_sub(1, std::memory_order_relaxed);
}

absl::StatusOr<std::unique_ptr<ReaderConnection>> ReaderConnection::Open(
    const std::string& path, size_t page_cache_bytes, std::atomic<int64_t>* open_connections) {
  // SQLite would wait for who writes to a pipe.
  struct stat file;
  if (stat(path.c_str(), &file) == 0 && !S_ISREG(file.st_mode)) {
    return Unavailable(absl::StrCat("what is at ", path, " is no file"));
  }
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
    status = CheckEncoding(database->get());
    if (!status.ok()) return status;
    sqlite3* const handle = (*database)->handle();
    // A name in double quotes is a column, never a text.
    sqlite3_db_config(handle, SQLITE_DBCONFIG_DQS_DML, 0, nullptr);
    // A statement's plan does not depend on what is bound to it, so that a statement which was
    // prepared again always means that the schema has changed.
    sqlite3_db_config(handle, SQLITE_DBCONFIG_ENABLE_QPSG, 1, nullptr);
    // In KiB where it is negative.
    status = (*database)->Execute(
        absl::StrCat("PRAGMA query_only=1; PRAGMA cache_size=-", page_cache_bytes / 1024 + 1));
    if (!status.ok()) return ReaderError(status);
    return std::unique_ptr<ReaderConnection>(
        new ReaderConnection(*std::move(database), *identity, open_connections));
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
  in_transaction_ = true;
  held_epoch_ = 0;
  status = check_schema_->Run();
  if (!status.ok()) {
    Commit();
    return ReaderError(status);
  }
  return absl::OkStatus();
}

void ReaderConnection::Commit() {
  commit_->Run().IgnoreError();
  in_transaction_ = false;
  held_epoch_ = 0;
}

template <typename Read>
auto ReaderConnection::InTransaction(Read read) -> decltype(read()) {
  if (in_transaction_) return read();
  absl::Status status = Begin();
  if (!status.ok()) return status;
  auto result = read();
  Commit();
  return result;
}

absl::StatusOr<uint64_t> ReaderConnection::BeginRead(const FreshnessPageView* page,
                                                     bool one_state) {
  uint64_t epoch = page == nullptr ? 0 : page->epoch();
  if (epoch % 2 != 0) epoch = 0;
  if (in_transaction_) {
    if (epoch != 0 && epoch == held_epoch_) return epoch;
    Commit();
  }
  if (epoch == 0 && !one_state) return 0;
  absl::Status status = Begin();
  if (!status.ok()) return status;
  // The transaction began between two looks at the same even epoch, so its state is that epoch's.
  if (epoch != 0 && page->epoch() == epoch) held_epoch_ = epoch;
  return held_epoch_;
}

void ReaderConnection::EndRead() {
  if (in_transaction_ && held_epoch_ == 0) Commit();
}

void ReaderConnection::LetGo() {
  if (in_transaction_) Commit();
}

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
  if (found == tables_.end() || found->second->shape->name.family.size() != family.size())
    return nullptr;
  return found->second.get();
}

absl::StatusOr<ReaderConnection::Table*> ReaderConnection::Describe(const TableName& name) {
  const std::string sql_name = SqlTableName(name);
  absl::Status status = Prepared(kDescribeTable, &describe_);
  if (status.ok()) status = describe_->Bind(1, sql_name);
  if (!status.ok()) return ReaderError(status);
  std::vector<TableShape::Column> columns;
  // Places in the key (from 1), positions of the columns.
  std::vector<std::pair<int64_t, size_t>> key;
  absl::StatusOr<bool> row;
  while ((row = describe_->Step()).ok() && *row) {
    const ValueView type = describe_->Column(1);
    absl::StatusOr<FieldType> field_type = sql::FieldTypeOfSqliteColumn(type.data());
    const int64_t place = describe_->Column(2).integer();
    if (place > 0) key.emplace_back(place, columns.size());
    columns.push_back(
        TableShape::Column{std::string(describe_->Column(0).data()),
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
  if (table == nullptr || table->shape->columns != columns || table->shape->key != positions) {
    auto shape = std::make_shared<TableShape>();
    shape->name = name;
    shape->columns = std::move(columns);
    shape->key = std::move(positions);
    table = std::make_unique<Table>();
    table->selects.resize(PlaceOf(shape->key.size(), true) + 1);
    table->shape = std::move(shape);
  }
  return table.get();
}

absl::StatusOr<RowData::Ptr> ReaderConnection::ReadRow(absl::string_view family,
                                                       absl::string_view table,
                                                       absl::Span<const ValueView> key) {
  Table* const known = Known(family, table);
  if (known != nullptr && known->row != nullptr && KeyFits(*known->shape, key, true)) {
    sqlite::Statement* const statement = known->row.get();
    const absl::StatusOr<bool> row = BindAndStep(statement, key);
    if (row.ok() && !WasPreparedAgain(*statement)) {
      RowData::Ptr data =
          *row ? CopyRow(known->shape, *statement) : RowData::Missing(known->shape, key);
      statement->Reset();
      return data;
    }
    // Either the table is not what it was, or something is wrong, which shows when it is tried
    // again.
    known->row = nullptr;
  }
  absl::StatusOr<TableName> name = NormalizeName(family, table);
  if (!name.ok()) return name.status();
  return InTransaction([&] { return DescribeAndReadRow(*name, key); });
}

absl::StatusOr<RowData::Ptr> ReaderConnection::DescribeAndReadRow(const TableName& name,
                                                                  absl::Span<const ValueView> key) {
  absl::StatusOr<Table*> table = Describe(name);
  if (!table.ok()) return table.status();
  const std::shared_ptr<const TableShape> shape = (*table)->shape;
  if (!KeyFits(*shape, key, true)) return KeyError(*shape, "key", key, true);
  absl::StatusOr<std::unique_ptr<sqlite::Statement>> prepared =
      database_->Prepare(SelectSql(*shape, key.size(), false));
  if (!prepared.ok()) return ReaderError(prepared.status());
  (*table)->row = *std::move(prepared);
  sqlite::Statement* const statement = (*table)->row.get();
  const absl::StatusOr<bool> row = BindAndStep(statement, key);
  if (!row.ok()) return row.status();
  RowData::Ptr data = *row ? CopyRow(shape, *statement) : RowData::Missing(shape, key);
  statement->Reset();
  return data;
}

absl::StatusOr<std::unique_ptr<ReaderConnection::Select>> ReaderConnection::Start(
    Table* table, absl::Span<const ValueView> key_prefix, absl::Span<const ValueView> after) {
  auto select = std::make_unique<Select>();
  select->shape_ = table->shape;
  select->place_ = PlaceOf(key_prefix.size(), !after.empty());
  select->statement_ = std::move(table->selects[select->place_]);
  if (select->statement_ == nullptr) {
    absl::StatusOr<std::unique_ptr<sqlite::Statement>> prepared =
        database_->Prepare(SelectSql(*select->shape_, key_prefix.size(), !after.empty()));
    if (!prepared.ok()) return ReaderError(prepared.status());
    select->statement_ = *std::move(prepared);
  }
  for (const ValueView& value : key_prefix) select->parameters_.emplace_back(value);
  for (size_t i = key_prefix.size(); i < after.size(); ++i) {
    select->parameters_.emplace_back(after[i]);
  }
  // Where the prefix is a whole key, nothing is behind it.
  if (!after.empty() && key_prefix.size() == select->shape_->key.size()) return select;
  absl::StatusOr<bool> row = BindAndStep(select->statement_.get(), select->parameters_);
  if (!row.ok()) return row.status();
  select->has_row_ = *row;
  return select;
}

absl::StatusOr<std::unique_ptr<ReaderConnection::Select>> ReaderConnection::BeginSelect(
    absl::string_view family, absl::string_view table, absl::Span<const ValueView> key_prefix,
    absl::Span<const ValueView> after) {
  Table* const known = Known(family, table);
  if (known != nullptr && KeyFits(*known->shape, key_prefix, false) &&
      (after.empty() || (KeyFits(*known->shape, after, true) && HasPrefix(after, key_prefix))) &&
      known->selects[PlaceOf(key_prefix.size(), !after.empty())] != nullptr) {
    absl::StatusOr<std::unique_ptr<Select>> select = Start(known, key_prefix, after);
    if (select.ok() && !WasPreparedAgain(*(*select)->statement_)) return select;
  }
  absl::StatusOr<TableName> name = NormalizeName(family, table);
  if (!name.ok()) return name.status();
  return DescribeAndSelect(*name, key_prefix, after);
}

absl::StatusOr<std::unique_ptr<ReaderConnection::Select>> ReaderConnection::DescribeAndSelect(
    const TableName& name, absl::Span<const ValueView> key_prefix,
    absl::Span<const ValueView> after) {
  absl::StatusOr<Table*> table = Describe(name);
  if (!table.ok()) return table.status();
  const TableShape& shape = *(*table)->shape;
  if (!KeyFits(shape, key_prefix, false)) return KeyError(shape, "key_prefix", key_prefix, false);
  if (!after.empty() && !KeyFits(shape, after, true)) return KeyError(shape, "after", after, true);
  if (!after.empty() && !HasPrefix(after, key_prefix)) {
    return InvalidField("after", reason::kInvalidKey, "does not begin with the key prefix");
  }
  // What was prepared before is for a schema that may not be this one.
  (*table)->selects[PlaceOf(key_prefix.size(), !after.empty())] = nullptr;
  return Start(*table, key_prefix, after);
}

absl::StatusOr<RowData::Ptr> ReaderConnection::Next(Select* select) {
  if (select->begun_ && select->has_row_) {
    absl::StatusOr<bool> row = select->statement_->Step();
    if (!row.ok()) return ReaderError(row.status());
    select->has_row_ = *row;
  }
  select->begun_ = true;
  if (!select->has_row_) return nullptr;
  return CopyRow(select->shape_, *select->statement_);
}

void ReaderConnection::EndSelect(std::unique_ptr<Select> select) {
  select->statement_->Reset();
  Table* const table = Known(select->shape_->name.family, select->shape_->name.table);
  if (table == nullptr || table->shape != select->shape_) return;
  std::unique_ptr<sqlite::Statement>& place = table->selects[select->place_];
  if (place == nullptr) place = std::move(select->statement_);
}

absl::StatusOr<TableSchema> ReaderConnection::SchemaOf(const TableName& name) {
  absl::StatusOr<Table*> described = Describe(name);
  if (!described.ok()) return described.status();
  const TableShape& shape = *(*described)->shape;
  std::vector<Field> fields;
  for (const TableShape::Column& column : shape.columns) {
    if (!column.type.has_value()) {
      return absl::InternalError(absl::StrCat("the column ", column.name, " of ",
                                              SqlTableName(name), " has a type that no field has"));
    }
    fields.push_back(Field{column.name, *column.type});
  }
  std::vector<std::string> key_fields;
  for (size_t position : shape.key) key_fields.push_back(fields[position].name);
  absl::StatusOr<TableSchema> schema =
      TableSchema::Create(name.family, name.table, std::move(fields), key_fields);
  if (!schema.ok()) {
    return absl::InternalError(
        absl::StrCat(SqlTableName(name), " is not one of our tables: ", schema.status().message()));
  }
  return schema;
}

absl::StatusOr<TableSchema> ReaderConnection::GetTable(absl::string_view family,
                                                       absl::string_view table) {
  absl::StatusOr<TableName> name = NormalizeName(family, table);
  if (!name.ok()) return name.status();
  return InTransaction([&] { return SchemaOf(*name); });
}

absl::StatusOr<std::vector<TableSchema>> ReaderConnection::ListTables() {
  return InTransaction([&]() -> absl::StatusOr<std::vector<TableSchema>> {
    // A file that is not (yet) a local database has no sequence.
    absl::StatusOr<int64_t> sequence = ReadSequence();
    if (!sequence.ok()) return sequence.status();
    absl::Status status = Prepared(kListTables, &list_tables_);
    if (!status.ok()) return ReaderError(status);
    std::vector<TableName> names;
    absl::StatusOr<bool> row;
    while ((row = list_tables_->Step()).ok() && *row) {
      absl::StatusOr<TableName> name = ParseSqlTableName(list_tables_->Column(0).data());
      if (name.ok()) names.push_back(*std::move(name));
    }
    list_tables_->Reset();
    if (!row.ok()) return ReaderError(row.status());
    std::sort(names.begin(), names.end());
    std::vector<TableSchema> tables;
    for (const TableName& name : names) {
      absl::StatusOr<TableSchema> schema = SchemaOf(name);
      if (schema.ok()) {
        tables.push_back(*std::move(schema));
      } else if (!absl::IsInternal(schema.status())) {
        return schema.status();
      }
    }
    return tables;
  });
}

absl::StatusOr<int64_t> ReaderConnection::ReadSequence() {
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

absl::StatusOr<int64_t> ReaderConnection::GetSequence() { return ReadSequence(); }

absl::StatusOr<std::string> ReaderConnection::GetIdentity() {
  absl::Status status = Prepared(kReadState, &state_);
  // A local database of another program has no such table.
  if (status.code() == absl::StatusCode::kInternal) return std::string();
  if (status.ok()) status = state_->Bind(1, kStateIdentity);
  if (!status.ok()) return ReaderError(status);
  absl::StatusOr<bool> row = state_->Step();
  std::string identity;
  if (row.ok() && *row) {
    const ValueView value = state_->Column(0);
    if (value.kind() == ValueKind::kBytes) identity = std::string(value.data());
  }
  state_->Reset();
  if (!row.ok()) return ReaderError(row.status());
  return identity;
}

absl::StatusOr<absl::optional<int64_t>> ReaderConnection::ChangesBegin() {
  return InTransaction([&] { return changes_.Begin(); });
}

absl::StatusOr<std::vector<ChangeEvent>> ReaderConnection::ReadChanges(int64_t sequence,
                                                                       size_t max_changes,
                                                                       int64_t* reached) {
  return InTransaction([&] { return changes_.Read(sequence, max_changes, reached); });
}

absl::StatusOr<Position> ReaderConnection::GetPosition() {
  return InTransaction([&] { return ReadPosition(); });
}

absl::StatusOr<Position> ReaderConnection::ReadPosition() {
  Position position;
  absl::StatusOr<int64_t> sequence = ReadSequence();
  if (!sequence.ok()) return sequence.status();
  position.applied_sequence = *sequence;

  // Neither of these need be there, nor be what we write.
  absl::Status status = Prepared(kReadLastUpdate, &last_update_);
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
  if (!status.ok() && status.code() != absl::StatusCode::kInternal) return ReaderError(status);
  return position;
}

}  // namespace ctlstore::ldb
