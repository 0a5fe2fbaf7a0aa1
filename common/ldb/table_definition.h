// A table's columns and key, as a database itself tells them.

#ifndef CTLSTORE_COMMON_LDB_TABLE_DEFINITION_H_
#define CTLSTORE_COMMON_LDB_TABLE_DEFINITION_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/optional.h"
#include "common/schema/table_schema.h"
#include "common/sqlite/database.h"

namespace ctlstore::ldb {

// Whatever the table is like: who looks for differences cannot expect a valid TableSchema.
struct TableDefinition {
  struct Column {
    std::string name;
    // Not set for a type that no field has.
    absl::optional<FieldType> type;
    // In the database's words.
    std::string declared;
  };
  // In the table's order.
  std::vector<Column> columns;
  // Positions in `columns`, in key order. Empty where there is no key.
  std::vector<size_t> key;

  // From columns with their places in the key, from 1, or 0.
  static TableDefinition Of(std::vector<std::pair<Column, int64_t>> columns);

  bool Has(const std::string& column) const;
  std::vector<std::string> key_names() const;
};

// `sql_table` is the name in the database. nullopt where there is no such table.
absl::StatusOr<absl::optional<TableDefinition>> ReadTableDefinition(sqlite::Database* database,
                                                                    const std::string& sql_table);

// The columns and the key as bytes: the beginning of a table's digest, so it never changes.
void AppendDefinition(const TableDefinition& definition, std::string* bytes);

}  // namespace ctlstore::ldb

#endif  // CTLSTORE_COMMON_LDB_TABLE_DEFINITION_H_
