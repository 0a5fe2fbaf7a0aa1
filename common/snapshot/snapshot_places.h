// The places in which a fetch looks for snapshots.

#ifndef CTLSTORE_COMMON_SNAPSHOT_SNAPSHOT_PLACES_H_
#define CTLSTORE_COMMON_SNAPSHOT_SNAPSHOT_PLACES_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "common/object_store/object_store.h"
#include "common/object_store/store_url.h"
#include "common/snapshot/fetch_watch.h"
#include "common/snapshot/folder.h"
#include "common/snapshot/location.h"

namespace ctlstore::snapshot {

// One location, with its store open. Not copied: the folder points to the store.
struct Place {
  Location location;
  std::string url;
  // Null where it could not be opened, which `status` says.
  std::unique_ptr<object_store::ObjectStore> store;
  // Of a folder.
  std::unique_ptr<Folder> folder;
  std::vector<std::string> ids;
  // Whether it could be opened, and a folder listed.
  absl::Status status;
};

// Opens the stores, and has `watch` know them: remove them there before they are destroyed.
using StoreOpener = std::function<absl::StatusOr<std::unique_ptr<object_store::ObjectStore>>(
    const object_store::StoreUrl&)>;
std::vector<std::unique_ptr<Place>> OpenPlaces(absl::Span<const Location> locations,
                                               const StoreOpener& open, FetchWatch* watch);

// Lists all folders at the same time. One that has not answered `patience` after another has listed
// some snapshots is given up, with its store.
void ListPlaces(absl::Span<const std::unique_ptr<Place>> places, absl::Duration patience);

}  // namespace ctlstore::snapshot

#endif  // CTLSTORE_COMMON_SNAPSHOT_SNAPSHOT_PLACES_H_
