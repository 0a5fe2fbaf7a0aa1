// A file that comes in chunks, and remembers over a crash which ones it has.

#ifndef CTLSTORE_COMMON_SNAPSHOT_PARTIAL_FILE_H_
#define CTLSTORE_COMMON_SNAPSHOT_PARTIAL_FILE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "common/snapshot/disk.h"
#include "common/snapshot/manifest.h"

namespace ctlstore::snapshot {

// `<folder>/ldb.db.partial`, with room for all of it on the disk from the start, and beside it
// `<folder>/progress`, a text file: what the chunks are in the first line, then the chunks that
// are there, a line each. A chunk is noted there only when it is on the disk, which a thread sees
// to all the time: so what a note says is true after a crash, also one of the machine, and at most
// the last chunks are fetched again. Thread-safe.
class PartialFile {
 public:
  static std::string PathIn(const std::string& folder);

  // Goes on with the file in `folder` where it is of the same chunks, in whatever place they were
  // fetched; otherwise begins a new one in its place. RESOURCE_EXHAUSTED where there is no room for
  // it and `min_free_bytes`; UNAVAILABLE. Chunks are noted every `save_every`, or all 64 MiB.
  static absl::StatusOr<std::unique_ptr<PartialFile>> Open(const std::string& folder,
                                                           absl::Span<const Chunk> chunks,
                                                           int64_t min_free_bytes,
                                                           absl::Duration save_every);
  // Notes what is there.
  ~PartialFile();
  PartialFile(const PartialFile&) = delete;
  PartialFile& operator=(const PartialFile&) = delete;

  const std::string& path() const { return path_; }

  // The chunks that were there when it was opened, one a place.
  const std::vector<bool>& resumed() const { return resumed_; }

  // `contents` are those of the chunk, decompressed and checked; each chunk once. Errors also where
  // an earlier one could not be brought to the disk.
  absl::Status Write(size_t chunk, absl::string_view contents);

  // Brings all of it to the disk, and notes it. Nothing is written after this.
  absl::Status Finish();

  // Removes the file and its notes.
  static absl::Status Remove(const std::string& folder);
  // The notes alone, when the file has got another name.
  static absl::Status RemoveNotes(const std::string& folder);

 private:
  PartialFile(const std::string& folder, absl::Span<const Chunk> chunks, absl::Duration save_every);
  absl::Status Begin(const std::string& header, int64_t min_free_bytes);
  bool Resume(const std::string& header);
  void SaveAllTheTime();
  absl::Status Save(const std::vector<size_t>& chunks);

  const std::string folder_;
  const std::string path_;
  const absl::Duration save_every_;
  // Where each chunk begins, and the end.
  std::vector<int64_t> offsets_;
  std::vector<bool> resumed_;
  OwnedFd file_;
  OwnedFd notes_;

  absl::Mutex mutex_;
  // Written, but not noted.
  std::vector<size_t> written_ ABSL_GUARDED_BY(mutex_);
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status save_status_ ABSL_GUARDED_BY(mutex_);
  std::thread saver_;
};

}  // namespace ctlstore::snapshot

#endif  // CTLSTORE_COMMON_SNAPSHOT_PARTIAL_FILE_H_
