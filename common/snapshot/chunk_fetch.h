// Brings the chunks of one object into a file.

#ifndef CTLSTORE_COMMON_SNAPSHOT_CHUNK_FETCH_H_
#define CTLSTORE_COMMON_SNAPSHOT_CHUNK_FETCH_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "common/object_store/object_store.h"
#include "common/snapshot/manifest.h"
#include "common/snapshot/partial_file.h"
#include "common/snapshot/progress_meter.h"

namespace ctlstore::snapshot {

// Fetches what a PartialFile has not yet of a manifest's object. Some threads each read a range of
// neighbouring chunks at a time; of each chunk the digest is compared, it is decompressed, and
// written to its place. Each thread has one chunk in memory, as it is in the object and as it is in
// the file. A chunk that is not the right one is fetched once more.
class ChunkFetch {
 public:
  // All must outlive it. `meter` is told of what comes.
  ChunkFetch(object_store::ObjectStore* store, const Manifest* manifest, PartialFile* file,
             ProgressMeter* meter);

  // To be called once. `cancelled` may be called from any thread and often. What has come stays in
  // the file after an error:
  //   DATA_LOSS   SNAPSHOT_DAMAGED: the object is not what the manifest says.
  //   NOT_FOUND   there is no such object.
  //   CANCELLED   soon after `cancelled` says so.
  // and those of the store and of PartialFile.
  absl::Status Run(int parallel_ranges, const std::function<bool()>& cancelled);

 private:
  // Neighbouring chunks.
  struct Range {
    size_t first = 0;
    size_t count = 0;
  };

  void Work(const std::function<bool()>& cancelled);
  // False where nothing is left to be taken, or all has failed.
  bool TakeRange(Range* range);
  // Why no more is to be read, OK where more is.
  absl::Status Stopped(const std::function<bool()>& cancelled);
  void Fail(absl::Status status);
  // Reads the chunks of a range from one piece of the object; those that are not right are added to
  // `*wrong`, with the reason.
  using Wrong = std::vector<std::pair<size_t, absl::Status>>;
  struct Buffers {
    std::string object;
    std::string file;
  };
  absl::Status ReadRange(const Range& range, const std::function<bool()>& cancelled,
                         Buffers* buffers, Wrong* wrong);
  // DATA_LOSS where the chunk is not right.
  absl::Status TakeChunk(size_t chunk, Buffers* buffers);

  object_store::ObjectStore* const store_;
  const Manifest* const manifest_;
  PartialFile* const file_;
  ProgressMeter* const meter_;
  // Where each chunk begins in the object.
  std::vector<int64_t> offsets_;
  size_t max_range_ = 1;

  absl::Mutex mutex_;
  // The chunks from here on may be missing.
  size_t next_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
  std::atomic<bool> failed_{false};
};

}  // namespace ctlstore::snapshot

#endif  // CTLSTORE_COMMON_SNAPSHOT_CHUNK_FETCH_H_
