// Where a local database gets a snapshot from.

#ifndef CTLSTORE_REFLECTOR_SNAPSHOT_SOURCE_H_
#define CTLSTORE_REFLECTOR_SNAPSHOT_SOURCE_H_

#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/snapshot/fetch_progress.h"

namespace ctlstore::reflector {

// Used by one thread at a time.
class SnapshotSource {
 public:
  virtual ~SnapshotSource() = default;

  struct Request {
    // The families that are wanted, sorted; all where empty.
    std::vector<std::string> families;
    // Snapshots that were of no use, by their keys.
    std::set<std::string> excluded;
    // Where it is fetched to.
    std::string folder;
    // May be called from any thread.
    std::function<void(const snapshot::FetchProgress&)> on_progress;
    std::function<bool()> cancelled;
  };
  struct Snapshot {
    // The file, for the caller to move away.
    std::string path;
    // Names the snapshot for `excluded`, and for people.
    std::string key;
    std::string id;
    std::string url;
    int64_t sequence = 0;
  };

  // The newest snapshot that is good, and that the ledger goes on from where that can be asked.
  // Errors as snapshot::FetchNewest().
  virtual absl::StatusOr<Snapshot> Fetch(const Request& request) = 0;
};

}  // namespace ctlstore::reflector

#endif  // CTLSTORE_REFLECTOR_SNAPSHOT_SOURCE_H_
