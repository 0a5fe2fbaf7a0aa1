// Looks whether a local database is whole.

#ifndef CTLSTORE_COMMON_LDB_LDB_CHECK_H_
#define CTLSTORE_COMMON_LDB_LDB_CHECK_H_

#include <functional>
#include <string>

#include "absl/status/status.h"

namespace ctlstore::ldb {

// Reads all of the local database at `path`, table by table, each in a read transaction of its own,
// so that the WAL can be emptied in between. May run beside the writer. OK where it is whole;
// DATA_LOSS with SQLite's first finding; UNAVAILABLE where it cannot be read; CANCELLED soon after
// `cancelled` (which may be called from any thread and often) says so.
absl::Status CheckLdb(const std::string& path, const std::function<bool()>& cancelled);

}  // namespace ctlstore::ldb

#endif  // CTLSTORE_COMMON_LDB_LDB_CHECK_H_
