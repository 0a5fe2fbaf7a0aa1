// Compresses a file in chunks.

#ifndef CTLSTORE_COMMON_SNAPSHOT_OBJECT_ENCODER_H_
#define CTLSTORE_COMMON_SNAPSHOT_OBJECT_ENCODER_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/snapshot/manifest.h"

namespace ctlstore::snapshot {

struct EncodeOptions {
  Compression compression = Compression::kZstd;
  // zstd: 1 to 19. gzip: 1 to 9. 0: the library's default.
  int level = 0;
  // What a chunk has before it is compressed; up to Chunk::kMaxFileBytes.
  int64_t chunk_bytes = int64_t{8} << 20;
  // Whether the file's SHA-1 is wanted, which the Go ctlstore checks of single objects.
  bool file_sha1 = false;
  // 0: as many as the machine has cores, at most 8.
  int threads = 0;
};

struct EncodedObject {
  int64_t object_bytes = 0;
  std::string object_sha256;
  int64_t file_bytes = 0;
  std::vector<Chunk> chunks;
  // 20 bytes, of the file before it is compressed; empty unless it was asked for.
  std::string file_sha1;
};

// Compresses the file at `from` into a file at `to`, in the place of one that is there. Takes a few
// chunks for each thread into memory: one as it is, and up to three that are compressed. The object
// may not be on the disk yet when this returns; after an error there is none.
//   INVALID_ARGUMENT     an option is out of bounds.
//   NOT_FOUND            there is no file at `from`.
//   RESOURCE_EXHAUSTED   no room for the object, or no memory.
//   UNAVAILABLE          a file cannot be read or written.
//   CANCELLED            soon after `cancelled`, which may be called from any thread and often,
//                        says so.
absl::StatusOr<EncodedObject> EncodeObject(const std::string& from, const std::string& to,
                                           const EncodeOptions& options,
                                           const std::function<bool()>& cancelled);

}  // namespace ctlstore::snapshot

#endif  // CTLSTORE_COMMON_SNAPSHOT_OBJECT_ENCODER_H_
