// Looks whether a snapshot can be relied upon.

#ifndef CTLSTORE_CLI_SNAPSHOT_CHECKER_H_
#define CTLSTORE_CLI_SNAPSHOT_CHECKER_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/object_store/object_store.h"
#include "common/snapshot/fetcher.h"
#include "common/snapshot/location.h"
#include "common/snapshot/manifest.h"

namespace ctlstore::cli {

struct CheckedSnapshot {
  std::string place;
  // Empty for a single object.
  std::string id;
  int64_t sequence = -1;
  int64_t object_bytes = 0;
  size_t tables = 0;
  // OK, DATA_LOSS where it is damaged, or why it could not be looked at.
  absl::Status status;

  bool damaged() const { return absl::IsDataLoss(status); }
};

// Checks the snapshots of one place. Not thread-safe.
class SnapshotChecker {
 public:
  struct Options {
    snapshot::Location place;
    // Which ones of a folder: this one, or all, or the newest.
    std::string id;
    bool all = false;
    // Fetches each into `folder` and looks at what is in it. Otherwise a single object is not
    // looked at.
    bool deep = true;
    std::string folder;
    snapshot::FetchOptions fetch;
  };

  explicit SnapshotChecker(const Options& options) : options_(options) {}

  // In a folder, newest first. An error where the place cannot be asked which ones it has.
  absl::StatusOr<std::vector<CheckedSnapshot>> Run();

 private:
  absl::StatusOr<std::vector<CheckedSnapshot>> CheckFolder(object_store::ObjectStore* store);
  absl::StatusOr<std::vector<CheckedSnapshot>> CheckObject(object_store::ObjectStore* store);
  absl::Status Check(object_store::ObjectStore* store, const std::string& id,
                     CheckedSnapshot* checked);
  // The fetcher goes over what it finds damaged, and fetches into an empty folder.
  void EmptyFolder() const;

  const Options options_;
};

}  // namespace ctlstore::cli

#endif  // CTLSTORE_CLI_SNAPSHOT_CHECKER_H_
