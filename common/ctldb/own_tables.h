// The ctldb's own tables: families, writers, ledger, locks, limits, intents.

#ifndef CTLSTORE_COMMON_CTLDB_OWN_TABLES_H_
#define CTLSTORE_COMMON_CTLDB_OWN_TABLES_H_

#include "absl/status/status.h"
#include "common/ctldb/connection.h"

namespace ctlstore::ctldb {

// Creates what is missing and checks that what is there can be used (a ctldb that a Go executive
// made can). Safe to call again and from several executives at once. FAILED_PRECONDITION says which
// table or column is not as it must be.
absl::Status EnsureOwnTables(Connection* connection);

}  // namespace ctlstore::ctldb

#endif  // CTLSTORE_COMMON_CTLDB_OWN_TABLES_H_
