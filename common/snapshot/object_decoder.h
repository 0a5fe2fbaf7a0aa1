// Decompresses what object_encoder.h has compressed, and what other programs have.

#ifndef CTLSTORE_COMMON_SNAPSHOT_OBJECT_DECODER_H_
#define CTLSTORE_COMMON_SNAPSHOT_OBJECT_DECODER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "common/snapshot/manifest.h"

namespace ctlstore::snapshot {

// Decompresses one chunk, which has to become just `file_bytes` bytes (at most
// Chunk::kMaxFileBytes, or INVALID_ARGUMENT); they replace `*out`, whose memory is used again.
// DATA_LOSS where it becomes fewer or more, is cut off, has something behind its end, or is
// damaged. Never takes more memory than about the two sizes.
absl::Status DecodeChunk(Compression compression, absl::string_view chunk, int64_t file_bytes,
                         std::string* out);

// Decompresses an object that comes in pieces: any number of zstd frames or gzip members, one after
// the other. Not thread-safe. Takes a few hundred KiB, for zstd what the frame's window asks for
// besides, which is at most 128 MiB.
class StreamDecoder {
 public:
  // Takes the next piece of the file. An error ends the decoding and is returned as it is.
  using Sink = std::function<absl::Status(absl::string_view)>;

  // `max_file_bytes`: what the object becomes at most.
  StreamDecoder(Compression compression, int64_t max_file_bytes);
  ~StreamDecoder();
  StreamDecoder(const StreamDecoder&) = delete;
  StreamDecoder& operator=(const StreamDecoder&) = delete;

  // The next piece of the object, of any size. DATA_LOSS where it is damaged, RESOURCE_EXHAUSTED
  // where it becomes more than `max_file_bytes`; the sink has been given at most so many. After an
  // error every call returns it again.
  absl::Status Add(absl::string_view piece, const Sink& sink);

  // To be called after the last piece. DATA_LOSS where the object is cut off or empty (also a file
  // without any bytes is a frame or a member; with Compression::kNone it is nothing).
  absl::Status Finish();

  // What has come out.
  int64_t file_bytes() const { return file_bytes_; }

 private:
  class Zstd;
  class Gzip;

  absl::Status Emit(absl::string_view piece, const Sink& sink);

  const Compression compression_;
  const int64_t max_file_bytes_;
  int64_t file_bytes_ = 0;
  absl::Status status_;
  std::unique_ptr<Zstd> zstd_;
  std::unique_ptr<Gzip> gzip_;
};

}  // namespace ctlstore::snapshot

#endif  // CTLSTORE_COMMON_SNAPSHOT_OBJECT_DECODER_H_
