#include "common/ldb/table_definition.h"

#include <algorithm>
#include <memory>

#include "absl/strings/string_view.h"
#include "common/ldb/row_encoding.h"
#include "common/sql/ledger_statements.h"

namespace ctlstore::ldb {

TableDefinition TableDefinition::Of(std::vector<std::pair<Column, int64_t>> columns) {
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

bool TableDefinition::Has(const std::string& column) const {
  return std::any_of(columns.begin(), columns.end(),
                     [&column](const Column& other) { return other.name == column; });
}

std::vector<std::string> TableDefinition::key_names() const {
  std::vector<std::string> names;
  for (const size_t position : key) names.push_back(columns[position].name);
  return names;
}

absl::StatusOr<absl::optional<TableDefinition>> ReadTableDefinition(sqlite::Database* database,
                                                                    const std::string& sql_table) {
  absl::StatusOr<std::unique_ptr<sqlite::Statement>> statement =
      database->Prepare("SELECT name, type, pk FROM pragma_table_info(?) ORDER BY cid");
  if (!statement.ok()) return statement.status();
  absl::Status bound = (*statement)->Bind(1, sql_table);
  if (!bound.ok()) return bound;
  std::vector<std::pair<TableDefinition::Column, int64_t>> columns;
  absl::StatusOr<bool> row;
  while ((row = (*statement)->Step()).ok() && *row) {
    const std::string declared((*statement)->Column(1).data());
    absl::StatusOr<FieldType> type = sql::FieldTypeOfSqliteColumn(declared);
    columns.emplace_back(
        TableDefinition::Column{std::string((*statement)->Column(0).data()),
                                type.ok() ? absl::make_optional(*type) : absl::nullopt, declared},
        (*statement)->Column(2).integer());
  }
  if (!row.ok()) return row.status();
  if (columns.empty()) return absl::optional<TableDefinition>();
  return absl::make_optional(TableDefinition::Of(std::move(columns)));
}

void AppendDefinition(const TableDefinition& definition, std::string* bytes) {
  for (const TableDefinition::Column& column : definition.columns) {
    AppendExact(column.name, bytes);
    AppendExact(column.type.has_value() ? FieldTypeName(*column.type) : column.declared, bytes);
  }
  for (const std::string& name : definition.key_names()) AppendExact(name, bytes);
}

}  // namespace ctlstore::ldb
