// What a local database of any origin says of itself, for those that only read it.

#ifndef CTLSTORE_COMMON_LDB_LDB_FACTS_H_
#define CTLSTORE_COMMON_LDB_LDB_FACTS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/schema/ledger_position.h"
#include "common/sqlite/database.h"

namespace ctlstore::ldb {

// Also of a file that the Go ctlstore has written, which says less.
struct LdbFacts {
  // Sequence 0 where nothing was applied; the digest is empty where another program has written the
  // position last.
  LedgerPosition position;
  // As _ldb_last_update has it; empty where there is none.
  std::string last_update;
  // Sorted; all where empty.
  std::vector<std::string> families;
  int64_t skipped_entries = 0;

  friend bool operator==(const LdbFacts& a, const LdbFacts& b) {
    return a.position == b.position && a.last_update == b.last_update && a.families == b.families &&
           a.skipped_entries == b.skipped_entries;
  }
  friend bool operator!=(const LdbFacts& a, const LdbFacts& b) { return !(a == b); }
};

// In the connection's transaction where there is one, otherwise in one of its own.
// FAILED_PRECONDITION where the file is no local database.
absl::StatusOr<LdbFacts> ReadLdbFacts(sqlite::Database* database);

}  // namespace ctlstore::ldb

#endif  // CTLSTORE_COMMON_LDB_LDB_FACTS_H_
