// Whether a fetched snapshot holds what its manifest says.

#ifndef CTLSTORE_CLI_RESTORE_SNAPSHOT_TABLES_H_
#define CTLSTORE_CLI_RESTORE_SNAPSHOT_TABLES_H_

#include <string>

#include "absl/status/status.h"
#include "common/snapshot/manifest.h"

namespace ctlstore::cli {

// Reads all rows of the LDB. DATA_LOSS (SNAPSHOT_DAMAGED) where its tables are not those of the
// manifest: says which table, and how. UNAVAILABLE where the file cannot be read.
absl::Status CheckTables(const std::string& ldb_path, const snapshot::Manifest& manifest);

}  // namespace ctlstore::cli

#endif  // CTLSTORE_CLI_RESTORE_SNAPSHOT_TABLES_H_
