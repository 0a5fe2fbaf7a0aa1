// Makes a copy of another host's local database this host's own.

#ifndef CTLSTORE_COMMON_LDB_ADOPT_SNAPSHOT_H_
#define CTLSTORE_COMMON_LDB_ADOPT_SNAPSHOT_H_

#include <string>
#include <vector>

#include "absl/status/status.h"

namespace ctlstore::ldb {

// Makes of the copy at `copy_path`, which nobody else has open, the local database at `path`, where
// nothing is, in the same file system. The copy is gone afterwards. The new one has an identity of
// its own; where the copy has more families than `families` (sorted; all where empty), nothing of
// the others is left in the file, and for that time it takes the room of what stays once more.
// It is on the disk when this returns OK.
//   FAILED_PRECONDITION   FAMILIES_DIFFER: the copy lacks a family, or may lack one.
//   DATA_LOSS             the copy is damaged.
//   RESOURCE_EXHAUSTED, UNAVAILABLE  a file cannot be written.
absl::Status AdoptSnapshot(const std::string& copy_path, const std::string& path,
                           const std::vector<std::string>& families);

}  // namespace ctlstore::ldb

#endif  // CTLSTORE_COMMON_LDB_ADOPT_SNAPSHOT_H_
