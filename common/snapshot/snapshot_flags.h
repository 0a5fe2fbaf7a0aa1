// The flag that names the places of snapshots.

#ifndef CTLSTORE_COMMON_SNAPSHOT_SNAPSHOT_FLAGS_H_
#define CTLSTORE_COMMON_SNAPSHOT_SNAPSHOT_FLAGS_H_

#include <vector>

#include "absl/status/statusor.h"
#include "common/snapshot/location.h"

namespace ctlstore::snapshot {

// From --snapshot_urls, which this library defines: where supervisors put snapshots, reflectors
// get them from, and executives look for them before they remove ledger entries. None where it is
// empty. INVALID_ARGUMENT names the flag.
absl::StatusOr<std::vector<Location>> LocationsFromFlags();

}  // namespace ctlstore::snapshot

#endif  // CTLSTORE_COMMON_SNAPSHOT_SNAPSHOT_FLAGS_H_
