// A compact, checked copy of a local database that is in use.

#ifndef CTLSTORE_COMMON_SNAPSHOT_LDB_COPY_H_
#define CTLSTORE_COMMON_SNAPSHOT_LDB_COPY_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/schema/ledger_position.h"
#include "common/snapshot/manifest.h"

namespace ctlstore::snapshot {

struct LdbCopy {
  LedgerPosition position;
  absl::Time taken_at;
  std::string last_update;
  std::vector<std::string> families;
  std::vector<TableSummary> tables;
  // Of the copy's file.
  int64_t file_bytes = 0;
};

// Copies the LDB at `ldb_path` as it is at one moment to a new file at `copy_path`, without free
// pages and without a WAL, and checks the copy (SQLite's quick_check, and each table's rows against
// the original's). Only reads the LDB: who writes it goes on, and cannot empty the WAL meanwhile.
// The file may not be on the disk yet when this returns; after an error there is none.
//   NOT_FOUND            there is no LDB.
//   FAILED_PRECONDITION  the LDB has skipped ledger entries, so it is not what the ctldb is; or it
//                        has no position yet.
//   DATA_LOSS            the LDB or the copy is damaged.
//   RESOURCE_EXHAUSTED   no room for the copy.
//   UNAVAILABLE          a file cannot be read or written.
//   CANCELLED            soon after `cancelled`, which may be called from any thread and often,
//                        says so.
absl::StatusOr<LdbCopy> CopyLdb(const std::string& ldb_path, const std::string& copy_path,
                                const std::function<bool()>& cancelled);

}  // namespace ctlstore::snapshot

#endif  // CTLSTORE_COMMON_SNAPSHOT_LDB_COPY_H_
