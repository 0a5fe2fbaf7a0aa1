// Removes all rows of tables, in the ctldb and on every host.

#ifndef CTLSTORE_COMMON_CTLDB_CLEAR_TABLES_H_
#define CTLSTORE_COMMON_CTLDB_CLEAR_TABLES_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/ctldb/connection_pool.h"
#include "common/ctldb/schema_changer.h"
#include "common/schema/names.h"

namespace ctlstore::ctldb {

// Both complete schema changes that are under way, and then remove the rows and append to the
// ledger in one transaction, whose last sequence they return. Names are normalized ones. They use
// one of the pool's connections at a time, so they must not be called by who holds one. To be
// repeated without harm: the tables are empty afterwards, however often. All rows of one table must
// be deleted within the connections' io_timeout; a table too large for that can be dropped and
// created again.
//
//   NOT_FOUND (FAMILY_NOT_FOUND, TABLE_NOT_FOUND).
//   FAILED_PRECONDITION  the table is not of ctlstore's making.
//   UNAVAILABLE          nothing was changed, unless the reason is OUTCOME_UNKNOWN.
//   DEADLINE_EXCEEDED    nothing was changed.
absl::StatusOr<int64_t> ClearTable(ConnectionPool* pool, SchemaChanger* changer,
                                   const TableName& table, absl::Time deadline);

// All tables of the family, at once; 0 where it has none. Tables that are not of ctlstore's making
// are left as they are.
absl::StatusOr<int64_t> ClearFamily(ConnectionPool* pool, SchemaChanger* changer,
                                    absl::string_view family, absl::Time deadline);

}  // namespace ctlstore::ctldb

#endif  // CTLSTORE_COMMON_CTLDB_CLEAR_TABLES_H_
