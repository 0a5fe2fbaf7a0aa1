// Looks whether a file is a whole local database, and which one.

#ifndef CTLSTORE_COMMON_SNAPSHOT_FILE_CHECK_H_
#define CTLSTORE_COMMON_SNAPSHOT_FILE_CHECK_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/schema/ledger_position.h"
#include "common/snapshot/manifest.h"

namespace ctlstore::snapshot {

// What a local database says of itself.
struct FileState {
  int64_t file_bytes = 0;
  // The digest is empty where the file does not have it.
  LedgerPosition position;
  // Sorted; all where empty.
  std::vector<std::string> families;
};

// Checks the file at `path`, to which nobody else has a connection; SQLite's files beside it are
// removed before and after. With `digest_is_right` all of its bytes are known to be those that were
// meant, and only its structure is looked at. DATA_LOSS (SNAPSHOT_DAMAGED) where it is damaged, or
// no local database; UNAVAILABLE where it cannot be read; CANCELLED soon after `cancelled`, which
// may be called from any thread and often, says so.
absl::StatusOr<FileState> CheckFile(const std::string& path, bool digest_is_right,
                                    const std::function<bool()>& cancelled);

// DATA_LOSS (SNAPSHOT_DAMAGED) names the first thing in which the file is not what its manifest
// says.
absl::Status CompareWithManifest(const FileState& state, const Manifest& manifest);

}  // namespace ctlstore::snapshot

#endif  // CTLSTORE_COMMON_SNAPSHOT_FILE_CHECK_H_
