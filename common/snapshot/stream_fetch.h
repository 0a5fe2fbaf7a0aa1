// Brings a single object into a file.

#ifndef CTLSTORE_COMMON_SNAPSHOT_STREAM_FETCH_H_
#define CTLSTORE_COMMON_SNAPSHOT_STREAM_FETCH_H_

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/object_store/object_store.h"
#include "common/snapshot/manifest.h"
#include "common/snapshot/progress_meter.h"

namespace ctlstore::snapshot {

struct FetchedStream {
  // Whether the object's metadata had the file's SHA-1, and it was right.
  bool digest_is_right = false;
};

// Reads the object `info`, as Stat() has just told of it, in one stream, decompresses it on the
// way, and writes it to a new file at `path`. The file is on the disk when this returns; after an
// error there is none.
//   FAILED_PRECONDITION  OBJECT_CHANGED: it is another object by now.
//   DATA_LOSS            SNAPSHOT_DAMAGED: it cannot be decompressed, or its metadata `checksum`
//                        says something else.
//   RESOURCE_EXHAUSTED   the file system would have less than `min_free_bytes` left.
//   CANCELLED            soon after `cancelled`, which may be called often, says so.
// and those of the store.
absl::StatusOr<FetchedStream> FetchStream(object_store::ObjectStore* store,
                                          const object_store::ObjectInfo& info,
                                          Compression compression, const std::string& path,
                                          int64_t min_free_bytes, ProgressMeter* meter,
                                          const std::function<bool()>& cancelled);

}  // namespace ctlstore::snapshot

#endif  // CTLSTORE_COMMON_SNAPSHOT_STREAM_FETCH_H_
