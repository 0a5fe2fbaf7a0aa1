#include "cli/verify/table_definition.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/ctldb/catalog_columns.h"
#include "common/sql/ledger_statements.h"

namespace ctlstore::cli {
namespace {

using Column = TableDefinition::Column;

// Columns with their places in the key, from 1, or 0.
absl::optional<TableDefinition> ToDefinition(std::vector<std::pair<Column, int64_t>> columns) {
  if (columns.empty()) return absl::nullopt;
  TableDefinition definition;
  std::vector<std::pair<int64_t, size_t>> key;
  for (auto& [column, place] : columns) {
    if (place > 0) key.emplace_back(place, definition.columns.size());
    definition.columns.push_back(std::move(column));
  }
  std::sort(key.begin(), key.end());
  for (const auto& [place, position] : key) definition.key.push_back(position);
  return definition;
}

const Column* Find(const TableDefinition& definition, const std::string& name) {
  for (const Column& column : definition.columns) {
    if (column.name == name) return &column;
  }
  return nullptr;
}

std::string TypeName(const Column& column) {
  if (column.type.has_value()) return std::string(FieldTypeName(*column.type));
  return column.declared.empty() ? "of no type" : column.declared;
}

bool SameType(const Column& a, const Column& b) {
  if (a.type.has_value() || b.type.has_value()) return a.type == b.type;
  return absl::EqualsIgnoreCase(a.declared, b.declared);
}

}  // namespace

bool TableDefinition::Has(const std::string& column) const {
  return Find(*this, column) != nullptr;
}

std::vector<std::string> TableDefinition::key_names() const {
  std::vector<std::string> names;
  for (const size_t position : key) names.push_back(columns[position].name);
  return names;
}

absl::StatusOr<absl::optional<TableDefinition>> ReadCtldbDefinition(ctldb::Connection* connection,
                                                                    const std::string& sql_table) {
  absl::StatusOr<std::vector<ctldb::CatalogColumn>> found =
      ctldb::ReadCatalogColumns(connection, ctldb::Dialect::Match::kName, sql_table);
  if (!found.ok()) return found.status();
  std::vector<std::pair<Column, int64_t>> columns;
  for (const ctldb::CatalogColumn& column : *found) {
    if (column.table != sql_table) continue;
    absl::StatusOr<FieldType> type = connection->dialect().TypeOfColumn(column.type);
    columns.emplace_back(
        Column{column.name, type.ok() ? absl::make_optional(*type) : absl::nullopt, column.type},
        column.key_position);
  }
  return ToDefinition(std::move(columns));
}

absl::StatusOr<absl::optional<TableDefinition>> ReadLdbDefinition(sqlite::Database* database,
                                                                  const std::string& sql_table) {
  absl::StatusOr<std::unique_ptr<sqlite::Statement>> statement =
      database->Prepare("SELECT name, type, pk FROM pragma_table_info(?) ORDER BY cid");
  if (!statement.ok()) return statement.status();
  absl::Status bound = (*statement)->Bind(1, sql_table);
  if (!bound.ok()) return bound;
  std::vector<std::pair<Column, int64_t>> columns;
  absl::StatusOr<bool> row;
  while ((row = (*statement)->Step()).ok() && *row) {
    const std::string declared((*statement)->Column(1).data());
    absl::StatusOr<FieldType> type = sql::FieldTypeOfSqliteColumn(declared);
    columns.emplace_back(Column{std::string((*statement)->Column(0).data()),
                                type.ok() ? absl::make_optional(*type) : absl::nullopt, declared},
                         (*statement)->Column(2).integer());
  }
  if (!row.ok()) return row.status();
  return ToDefinition(std::move(columns));
}

std::vector<std::string> DescribeDifferences(const TableDefinition& ctldb,
                                             const TableDefinition& ldb,
                                             const std::set<std::string>& not_yet) {
  std::vector<std::string> differences;
  // Those that both have, in the order of each.
  std::vector<std::string> ctldb_order, ldb_order;
  for (const Column& column : ctldb.columns) {
    const Column* other = Find(ldb, column.name);
    if (other == nullptr) {
      if (not_yet.count(column.name) > 0) continue;
      differences.push_back(
          absl::StrCat("the LDB lacks the column ", column.name, " (", TypeName(column), ")"));
      continue;
    }
    ctldb_order.push_back(column.name);
    if (SameType(column, *other)) continue;
    differences.push_back(absl::StrCat("the column ", column.name, " is ", TypeName(column),
                                       " in the ctldb and ", TypeName(*other), " in the LDB"));
  }
  for (const Column& column : ldb.columns) {
    if (Find(ctldb, column.name) == nullptr) {
      differences.push_back(
          absl::StrCat("only the LDB has the column ", column.name, " (", TypeName(column), ")"));
    } else {
      ldb_order.push_back(column.name);
    }
  }
  if (ctldb_order != ldb_order) {
    differences.push_back(absl::StrCat("the columns are in the order ",
                                       absl::StrJoin(ctldb_order, ", "), " in the ctldb and ",
                                       absl::StrJoin(ldb_order, ", "), " in the LDB"));
  }
  const std::vector<std::string> ctldb_key = ctldb.key_names(), ldb_key = ldb.key_names();
  if (ctldb_key.empty() && ldb_key.empty()) differences.push_back("there is no key");
  if (ctldb_key != ldb_key) {
    const auto text = [](const std::vector<std::string>& key) {
      return key.empty() ? "nothing" : absl::StrJoin(key, ", ");
    };
    differences.push_back(absl::StrCat("the key is ", text(ctldb_key), " in the ctldb and ",
                                       text(ldb_key), " in the LDB"));
  }
  return differences;
}

}  // namespace ctlstore::cli
