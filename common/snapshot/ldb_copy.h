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

// Copies the LDB at `ldb_path` as it is at one moment to a file at `copy_path`, in the place of one
// that is there, without free pages and with nothing beside it. Only reads the LDB: who writes it
// goes on, and cannot empty the WAL meanwhile. Works for files of the Go ctlstore too. Takes some
// 40 MB of memory.
//
// Meanwhile another thread reads each table of the original in the same state, which gives the
// checksums. The copy is checked as a file (SQLite's quick_check, table by table) and against the
// original (its position, families, and how many rows each table and its index have); its rows are
// not read once more, which would take as long as all else. `ctlstore snapshot verify` does that.
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
