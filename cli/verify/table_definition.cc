#include "cli/verify/table_definition.h"

#include <cstdint>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/ctldb/catalog_columns.h"
#include "common/schema/table_schema.h"

namespace ctlstore::cli {
namespace {

using Column = TableDefinition::Column;

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
  if (columns.empty()) return absl::optional<TableDefinition>();
  return absl::make_optional(TableDefinition::Of(std::move(columns)));
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
