// The form of snapshots that the Go ctlstore reads and writes.

#ifndef CTLSTORE_COMMON_SNAPSHOT_SINGLE_OBJECT_H_
#define CTLSTORE_COMMON_SNAPSHOT_SINGLE_OBJECT_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "common/object_store/object_store.h"
#include "common/snapshot/location.h"

namespace ctlstore::snapshot {

// The object's metadata: base64 of the SHA-1 of the file before it was compressed. Not every store
// keeps it.
inline constexpr char kChecksumMetadata[] = "checksum";

// Puts the file at `object_path`, compressed as `location` says, over the snapshot that is there.
// `store` is that of `location`, whose form is kSingleObject; `file_sha1` has 20 bytes
// (INVALID_ARGUMENT). Errors are the store's; after one, the old snapshot is there or the new one.
absl::Status PutSingleObject(object_store::ObjectStore* store, const Location& location,
                             const std::string& object_path, absl::string_view file_sha1);

}  // namespace ctlstore::snapshot

#endif  // CTLSTORE_COMMON_SNAPSHOT_SINGLE_OBJECT_H_
