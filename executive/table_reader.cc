#include "executive/table_reader.h"

#include "absl/strings/str_cat.h"
#include "common/ctldb/catalog.h"
#include "common/schema/errors.h"

namespace ctlstore::executive {

absl::StatusOr<TableSchema> ReadTable(const TableName& name, ctldb::Connection* connection) {
  absl::StatusOr<TableSchema> schema = ctldb::ReadTable(connection, name);
  if (!absl::IsNotFound(schema.status())) return schema;
  absl::Status family = ctldb::CheckFamilyExists(connection, name.family);
  if (!family.ok()) return family;
  return ErrorWithReason(absl::StatusCode::kNotFound, reason::kTableNotFound,
                         absl::StrCat("the family ", name.family, " has no table ", name.table));
}

}  // namespace ctlstore::executive
