// A table's columns and key, as a database itself tells them.

#ifndef CTLSTORE_CLI_VERIFY_TABLE_DEFINITION_H_
#define CTLSTORE_CLI_VERIFY_TABLE_DEFINITION_H_

#include <cstddef>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/optional.h"
#include "common/ctldb/connection.h"
#include "common/schema/table_schema.h"
#include "common/sqlite/database.h"

namespace ctlstore::cli {

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

  bool Has(const std::string& column) const;
  std::vector<std::string> key_names() const;
};

// `sql_table` is the name in the database. nullopt where there is no such table.
absl::StatusOr<absl::optional<TableDefinition>> ReadCtldbDefinition(ctldb::Connection* connection,
                                                                    const std::string& sql_table);
absl::StatusOr<absl::optional<TableDefinition>> ReadLdbDefinition(sqlite::Database* database,
                                                                  const std::string& sql_table);

// What differs, in words; empty where nothing does. The LDB may lack the columns in `not_yet`.
std::vector<std::string> DescribeDifferences(const TableDefinition& ctldb,
                                             const TableDefinition& ldb,
                                             const std::set<std::string>& not_yet);

}  // namespace ctlstore::cli

#endif  // CTLSTORE_CLI_VERIFY_TABLE_DEFINITION_H_
