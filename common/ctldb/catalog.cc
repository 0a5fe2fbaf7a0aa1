#include "common/ctldb/catalog.h"

#include <glog/logging.h>

#include <algorithm>
#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "common/ctldb/catalog_columns.h"
#include "common/ctldb/connection_errors.h"
#include "common/schema/errors.h"

namespace ctlstore::ctldb {
namespace {

struct FoundTable {
  std::string name;
  std::vector<CatalogColumn> columns;
};

absl::StatusOr<std::vector<FoundTable>> FindTables(Connection* connection, Dialect::Match match,
                                                   const std::string& name) {
  absl::StatusOr<std::vector<CatalogColumn>> columns = ReadCatalogColumns(connection, match, name);
  if (!columns.ok()) return columns.status();
  std::vector<FoundTable> tables;
  for (CatalogColumn& column : *columns) {
    if (tables.empty() || tables.back().name != column.table) {
      tables.push_back(FoundTable{column.table, {}});
    }
    tables.back().columns.push_back(std::move(column));
  }
  return tables;
}

// FAILED_PRECONDITION where the table is not of ctlstore's making.
absl::StatusOr<TableSchema> ToSchema(const Dialect& dialect, const TableName& name,
                                     const FoundTable& table) {
  const auto not_ours = [&table](absl::string_view what) {
    return absl::FailedPreconditionError(
        absl::StrCat("the ctldb's table ", table.name, " is not of ctlstore's making: ", what));
  };
  std::vector<Field> fields;
  std::vector<std::string> key(table.columns.size());
  size_t key_size = 0;
  for (const CatalogColumn& column : table.columns) {
    absl::StatusOr<FieldType> type = dialect.TypeOfColumn(column.type);
    if (!type.ok()) {
      return not_ours(absl::StrCat("its column ", column.name, " is a ", column.type));
    }
    fields.push_back(Field{column.name, *type});
    if (column.key_position <= 0) continue;
    if (static_cast<size_t>(column.key_position) > key.size()) return not_ours("its key is odd");
    key[column.key_position - 1] = column.name;
    ++key_size;
  }
  key.resize(key_size);
  absl::StatusOr<TableSchema> schema =
      TableSchema::Create(name.family, name.table, std::move(fields), key);
  if (!schema.ok()) return not_ours(schema.status().message());
  for (size_t i = 0; i < schema->fields().size(); ++i) {
    if (schema->fields()[i].name != table.columns[i].name) {
      return not_ours(absl::StrCat("its column ", table.columns[i].name, " is not in lower case"));
    }
  }
  return schema;
}

}  // namespace

absl::StatusOr<bool> FamilyExists(Connection* connection, absl::string_view family) {
  bool exists = false;
  absl::Status status = connection->Query("SELECT id FROM families WHERE name = ?", {family},
                                          [&](absl::Span<const ValueView>) {
                                            exists = true;
                                            return absl::OkStatus();
                                          });
  if (!status.ok()) return status;
  return exists;
}

absl::Status CheckFamilyExists(Connection* connection, absl::string_view family) {
  absl::StatusOr<bool> exists = FamilyExists(connection, family);
  if (!exists.ok()) return exists.status();
  if (*exists) return absl::OkStatus();
  return ErrorWithReason(absl::StatusCode::kNotFound, reason::kFamilyNotFound,
                         absl::StrCat("there is no family ", family));
}

absl::StatusOr<std::vector<std::string>> ListFamilies(Connection* connection) {
  std::vector<std::string> families;
  absl::Status status = connection->Query("SELECT name FROM families ORDER BY name", {},
                                          [&](absl::Span<const ValueView> row) {
                                            families.emplace_back(row[0].data());
                                            return absl::OkStatus();
                                          });
  if (!status.ok()) return status;
  return families;
}

absl::Status CreateFamily(Connection* connection, absl::string_view family) {
  absl::StatusOr<bool> exists = FamilyExists(connection, family);
  if (!exists.ok()) return exists.status();
  if (*exists) return absl::OkStatus();
  // Another executive may have been quicker.
  return connection
      ->Execute(
          absl::StrCat(connection->dialect().InsertIgnore(), " INTO families (name) VALUES (?)"),
          {family})
      .status();
}

absl::StatusOr<TableSchema> ReadTable(Connection* connection, const TableName& name) {
  const std::string sql_name = SqlTableName(name);
  absl::StatusOr<std::vector<FoundTable>> tables =
      FindTables(connection, Dialect::Match::kName, sql_name);
  if (!tables.ok()) return tables.status();
  for (const FoundTable& table : *tables) {
    if (table.name == sql_name) return ToSchema(connection->dialect(), name, table);
  }
  return TableMissing(
      absl::StrCat("there is no table ", name.table, " in the family ", name.family));
}

absl::StatusOr<std::vector<TableSchema>> ReadTables(Connection* connection,
                                                    absl::string_view family) {
  // In a LIKE pattern an underscore stands for any character.
  const std::string pattern = absl::StrCat(absl::StrReplaceAll(family, {{"_", "!_"}}),
                                           family.empty() ? "%" : "", "!_!_!_%");
  absl::StatusOr<std::vector<FoundTable>> tables =
      FindTables(connection, Dialect::Match::kPattern, pattern);
  if (!tables.ok()) return tables.status();
  std::vector<TableSchema> schemas;
  std::vector<std::string> left_out;
  for (const FoundTable& table : *tables) {
    absl::StatusOr<TableName> name = ParseSqlTableName(table.name);
    if (!name.ok() || (!family.empty() && name->family != family)) continue;
    absl::StatusOr<TableSchema> schema = ToSchema(connection->dialect(), *name, table);
    if (schema.ok()) {
      schemas.push_back(*std::move(schema));
    } else {
      left_out.push_back(std::string(schema.status().message()));
    }
  }
  if (!left_out.empty()) {
    LOG(WARNING) << "event=ctldb_tables_left_out reasons=\"" << absl::StrJoin(left_out, "; ")
                 << "\"";
  }
  // The database orders whole names, in which a family and a longer one can change places.
  std::sort(schemas.begin(), schemas.end(),
            [](const TableSchema& a, const TableSchema& b) { return a.name() < b.name(); });
  return schemas;
}

}  // namespace ctlstore::ctldb
