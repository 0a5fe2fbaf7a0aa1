// Which families and tables a ctldb has.

#ifndef CTLSTORE_COMMON_CTLDB_CATALOG_H_
#define CTLSTORE_COMMON_CTLDB_CATALOG_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/ctldb/connection.h"
#include "common/schema/names.h"
#include "common/schema/table_schema.h"

namespace ctlstore::ctldb {

// All read what the database itself says, so that they see what any executive has done. Names are
// normalized ones.

absl::StatusOr<bool> FamilyExists(Connection* connection, absl::string_view family);

// NOT_FOUND (FAMILY_NOT_FOUND) where there is no such family.
absl::Status CheckFamilyExists(Connection* connection, absl::string_view family);

// In order.
absl::StatusOr<std::vector<std::string>> ListFamilies(Connection* connection);

// Succeeds where the family exists already.
absl::Status CreateFamily(Connection* connection, absl::string_view family);

// NOT_FOUND (TABLE_NOT_FOUND).
absl::StatusOr<TableSchema> ReadTable(Connection* connection, const TableName& name);

// The tables of `family`, or of all families where it is empty, by name. Tables that are not of
// ctlstore's making (a column of another type, no key) are left out and logged once a call.
absl::StatusOr<std::vector<TableSchema>> ReadTables(Connection* connection,
                                                    absl::string_view family);

}  // namespace ctlstore::ctldb

#endif  // CTLSTORE_COMMON_CTLDB_CATALOG_H_
