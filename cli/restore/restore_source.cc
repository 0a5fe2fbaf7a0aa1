#include "cli/restore/restore_source.h"

#include <sqlite3.h>

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "cli/verify/value_excerpt.h"
#include "common/ldb/ldb_facts.h"
#include "common/sql/quote.h"

namespace ctlstore::cli {
namespace {

constexpr absl::Duration kBusyTimeout = absl::Seconds(5);

std::string Quoted(absl::string_view name) {
  std::string quoted;
  sql::AppendIdentifier(name, &quoted);
  return quoted;
}

absl::Status NotRestorable(absl::string_view what) {
  return absl::FailedPreconditionError(
      absl::StrCat("a ctldb cannot be restored from this: ", what));
}

absl::StatusOr<TableSchema> ToSchema(const std::string& sql_table,
                                     const ldb::TableDefinition& definition) {
  const auto refused = [&sql_table](absl::string_view why) {
    return NotRestorable(absl::StrCat("no executive has made its table ", sql_table, ": ", why));
  };
  absl::StatusOr<TableName> name = ParseSqlTableName(sql_table);
  if (!name.ok()) return refused("no family has a table of this name");
  std::vector<Field> fields;
  for (const ldb::TableDefinition::Column& column : definition.columns) {
    if (!column.type.has_value()) {
      return refused(absl::StrCat("its column ", column.name, " is ",
                                  column.declared.empty() ? "of no type" : column.declared));
    }
    fields.push_back(Field{column.name, *column.type});
  }
  absl::StatusOr<TableSchema> schema =
      TableSchema::Create(name->family, name->table, fields, definition.key_names());
  if (!schema.ok()) return refused(schema.status().message());
  if (schema->fields() != fields) return refused("a column's name is not in lower case");
  return schema;
}

}  // namespace

absl::StatusOr<std::unique_ptr<RestoreSource>> RestoreSource::Open(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) {
    return absl::NotFoundError(absl::StrCat("there is no local database at ", path));
  }
  absl::StatusOr<std::unique_ptr<sqlite::Database>> database =
      sqlite::Database::Open(path, sqlite::Database::Mode::kReadOnly, kBusyTimeout);
  if (!database.ok()) return database.status();
  auto source = absl::WrapUnique(new RestoreSource());
  source->database_ = *std::move(database);
  // A name in double quotes is a column, never a text.
  sqlite3_db_config(source->database_->handle(), SQLITE_DBCONFIG_DQS_DML, 0, nullptr);
  absl::Status status = source->database_->Execute("BEGIN");
  if (status.ok()) status = source->ReadState(path);
  if (status.ok()) status = source->ReadTables();
  if (!status.ok()) return status;
  return source;
}

absl::Status RestoreSource::ReadState(const std::string& path) {
  const absl::StatusOr<ldb::LdbFacts> facts = ldb::ReadLdbFacts(database_.get());
  if (absl::IsFailedPrecondition(facts.status())) {
    return NotRestorable(absl::StrCat(path, " is no local database: it has no table _ldb_seq"));
  }
  if (!facts.ok()) return facts.status();
  if (facts->position.sequence <= 0) {
    return NotRestorable("it has not applied a single ledger entry");
  }
  if (!facts->families.empty()) {
    return NotRestorable(absl::StrCat("it has only the families ",
                                      absl::StrJoin(facts->families, ","),
                                      ", and all others would be lost; take one that has all"));
  }
  if (facts->skipped_entries > 0) {
    return NotRestorable(absl::StrCat("it was told to skip ", facts->skipped_entries,
                                      " ledger entries, so it is not what the ctldb was"));
  }
  sequence_ = facts->position.sequence;
  return absl::OkStatus();
}

absl::Status RestoreSource::ReadTables() {
  absl::StatusOr<std::unique_ptr<sqlite::Statement>> statement =
      database_->Prepare("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name");
  if (!statement.ok()) return statement.status();
  std::vector<std::string> names;
  absl::StatusOr<bool> row;
  while ((row = (*statement)->Step()).ok() && *row) {
    names.emplace_back((*statement)->Column(0).data());
  }
  if (!row.ok()) return row.status();
  for (const std::string& name : names) {
    if (absl::StartsWith(name, "_ldb_") || absl::StartsWith(name, "sqlite_")) continue;
    absl::StatusOr<absl::optional<ldb::TableDefinition>> definition =
        ldb::ReadTableDefinition(database_.get(), name);
    if (!definition.ok()) return definition.status();
    if (!definition->has_value()) {
      return absl::DataLossError(absl::StrCat("the table ", name, " cannot be read"));
    }
    absl::StatusOr<TableSchema> schema = ToSchema(name, **definition);
    if (!schema.ok()) return schema.status();
    tables_.push_back(Table{name, **std::move(definition), *std::move(schema)});
  }
  std::sort(tables_.begin(), tables_.end(),
            [](const Table& a, const Table& b) { return a.schema.name() < b.schema.name(); });
  return absl::OkStatus();
}

std::vector<std::string> RestoreSource::families() const {
  std::vector<std::string> families;
  for (const Table& table : tables_) {
    const std::string& family = table.schema.name().family;
    if (families.empty() || families.back() != family) families.push_back(family);
  }
  return families;
}

absl::Status RestoreSource::ReadRows(
    const Table& table,
    absl::FunctionRef<absl::Status(absl::Span<const ValueView> row)> visit) const {
  const TableSchema& schema = table.schema;
  std::string columns, order;
  std::vector<std::string> paths;
  for (const Field& field : schema.fields()) {
    absl::StrAppend(&columns, columns.empty() ? "" : ", ", Quoted(field.name));
    paths.push_back(absl::StrCat(schema.name().family, ".", schema.name().table, ".", field.name));
  }
  for (size_t i = 0; i < schema.key_positions().size(); ++i) {
    absl::StrAppend(&order, order.empty() ? "" : ", ", Quoted(schema.key_field(i).name));
  }
  absl::StatusOr<std::unique_ptr<sqlite::Statement>> statement = database_->Prepare(
      absl::StrCat("SELECT ", columns, " FROM ", Quoted(table.sql_name), " ORDER BY ", order));
  if (!statement.ok()) return statement.status();
  std::vector<ValueView> row(schema.fields().size());
  absl::StatusOr<bool> has_row;
  while ((has_row = (*statement)->Step()).ok() && *has_row) {
    for (size_t i = 0; i < row.size(); ++i) row[i] = (*statement)->Column(static_cast<int>(i));
    for (size_t i = 0; i < row.size(); ++i) {
      const absl::Status fits =
          CheckValue(paths[i], schema.fields()[i].type, !schema.is_key(i), row[i]);
      if (fits.ok()) continue;
      std::string key;
      for (const size_t position : schema.key_positions()) {
        absl::StrAppend(&key, key.empty() ? "" : ", ", schema.fields()[position].name, " = ",
                        WholeText(Value(row[position])));
      }
      return NotRestorable(absl::StrCat("in the row with ", key, " the value of ", fits.message()));
    }
    absl::Status status = visit(row);
    if (!status.ok()) return status;
  }
  return has_row.status();
}

}  // namespace ctlstore::cli
