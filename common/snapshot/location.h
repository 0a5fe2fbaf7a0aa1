// Where snapshots are, as a user writes it.

#ifndef CTLSTORE_COMMON_SNAPSHOT_LOCATION_H_
#define CTLSTORE_COMMON_SNAPSHOT_LOCATION_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/object_store/store_url.h"
#include "common/snapshot/manifest.h"

namespace ctlstore::snapshot {

// A place with snapshots, in one of two forms.
struct Location {
  enum class Form {
    // Any number of snapshots, each with its manifest (docs/formats.md).
    kFolder,
    // One object that is the newest snapshot, put over the one before, without a manifest: what the
    // Go ctlstore's supervisor writes and its reflector reads.
    kSingleObject,
  };
  Form form = Form::kFolder;
  // kFolder: the folder. kSingleObject: what the object is in.
  object_store::StoreUrl store;
  // kSingleObject: the object's key in the store, and what it is compressed with by its name.
  std::string key;
  Compression compression = Compression::kNone;

  // As it was written.
  std::string ToString() const;
};

// A URL whose last part ends in ".db", ".sqlite" or ".gz" is a single object, any other one a
// folder; "?form=object" or "?form=folder" behind it says it where the name does not.
// INVALID_ARGUMENT says what is wrong.
absl::StatusOr<Location> ParseLocation(absl::string_view url);

// Several, with commas between them; none for an empty text.
absl::StatusOr<std::vector<Location>> ParseLocations(absl::string_view urls);

}  // namespace ctlstore::snapshot

#endif  // CTLSTORE_COMMON_SNAPSHOT_LOCATION_H_
