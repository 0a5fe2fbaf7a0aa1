// A place where snapshots are, as the pruning of the ledger looks at it.

#ifndef CTLSTORE_EXECUTIVE_SNAPSHOT_PLACE_H_
#define CTLSTORE_EXECUTIVE_SNAPSHOT_PLACE_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/object_store/open_store.h"
#include "common/snapshot/location.h"
#include "common/snapshot/manifest.h"

namespace ctlstore::executive {

// Thread-safe. Errors are those of snapshot::Folder.
class SnapshotPlace {
 public:
  virtual ~SnapshotPlace() = default;

  virtual std::string url() const = 0;

  // The ids of the snapshots that are there, newest first.
  virtual absl::StatusOr<std::vector<std::string>> List() = 0;
  virtual absl::StatusOr<snapshot::Manifest> ReadManifest(absl::string_view id) = 0;

  // Reads all of the object. DATA_LOSS, NOT_FOUND.
  virtual absl::Status Verify(const snapshot::Manifest& manifest) = 0;
  // Whether the object is there with its size, without reading it. DATA_LOSS, NOT_FOUND.
  virtual absl::Status CheckIsThere(const snapshot::Manifest& manifest) = 0;

  // Ends what is under way, and all that comes later, with CANCELLED.
  virtual void Cancel() = 0;
};

// A single object is a place whose calls fail with INVALID_ARGUMENT: it has no manifest that tells
// its position, so it covers nothing.
absl::StatusOr<std::unique_ptr<SnapshotPlace>> OpenSnapshotPlace(
    const snapshot::Location& location, const object_store::StoreOptions& options);

}  // namespace ctlstore::executive

#endif  // CTLSTORE_EXECUTIVE_SNAPSHOT_PLACE_H_
