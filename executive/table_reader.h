// A table's definition as the ctldb has it.

#ifndef CTLSTORE_EXECUTIVE_TABLE_READER_H_
#define CTLSTORE_EXECUTIVE_TABLE_READER_H_

#include "absl/status/statusor.h"
#include "common/ctldb/connection.h"
#include "common/schema/names.h"
#include "common/schema/table_schema.h"

namespace ctlstore::executive {

// One of ctlstore's tables. NOT_FOUND says which of its two names is not there: FAMILY_NOT_FOUND or
// TABLE_NOT_FOUND.
absl::StatusOr<TableSchema> ReadTable(const TableName& name, ctldb::Connection* connection);

}  // namespace ctlstore::executive

#endif  // CTLSTORE_EXECUTIVE_TABLE_READER_H_
