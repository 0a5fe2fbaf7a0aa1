// A table's columns and key in both databases.

#ifndef CTLSTORE_CLI_VERIFY_TABLE_DEFINITION_H_
#define CTLSTORE_CLI_VERIFY_TABLE_DEFINITION_H_

#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/optional.h"
#include "common/ctldb/connection.h"
#include "common/ldb/table_definition.h"

namespace ctlstore::cli {

using ldb::TableDefinition;

// `sql_table` is the name in the database. nullopt where there is no such table.
absl::StatusOr<absl::optional<TableDefinition>> ReadCtldbDefinition(ctldb::Connection* connection,
                                                                    const std::string& sql_table);

// What differs, in words; empty where nothing does. The LDB may lack the columns in `not_yet`.
std::vector<std::string> DescribeDifferences(const TableDefinition& ctldb,
                                             const TableDefinition& ldb,
                                             const std::set<std::string>& not_yet);

}  // namespace ctlstore::cli

#endif  // CTLSTORE_CLI_VERIFY_TABLE_DEFINITION_H_
