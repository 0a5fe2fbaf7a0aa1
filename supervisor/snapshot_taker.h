// Makes a snapshot of a local database.

#ifndef CTLSTORE_SUPERVISOR_SNAPSHOT_TAKER_H_
#define CTLSTORE_SUPERVISOR_SNAPSHOT_TAKER_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/base/file_lock.h"
#include "common/snapshot/ldb_copy.h"
#include "common/snapshot/manifest.h"
#include "common/snapshot/object_encoder.h"
#include "supervisor/supervisor_control.h"
#include "supervisor/taken_snapshot.h"

namespace ctlstore::supervisor {

// Copies the local database as it is at one moment, checks the copy, and compresses it, all in a
// work folder that it has for itself. What a process that died has left there is removed by the
// next one. One thread at a time.
class SnapshotTaker {
 public:
  struct Options {
    std::string ldb_path;
    // Made where it is not there, for its owner only. Empty: `<ldb_path>.snapshots`.
    std::string work_path;
    // At least one; an object is made for each.
    std::vector<snapshot::EncodeOptions> objects;
    // Room on the work folder's file system that is left to others.
    int64_t min_free_bytes = int64_t{64} << 20;
    // "host/pid", for the manifest.
    std::string instance;
    // Ends what is under way soon. May be called from any thread and often.
    std::function<bool()> cancelled;
    // Told what begins. May be empty.
    std::function<void(Stage)> on_stage;
    // Told how long a step ("copy", "compress") took, and how it ended. May be empty.
    std::function<void(absl::string_view step, absl::Duration, const absl::Status&)> on_step;
    Clock* clock = Clock::Real();
  };

  // FAILED_PRECONDITION where another process, which it names, uses the work folder; UNAVAILABLE
  // where it cannot be used.
  static absl::StatusOr<std::unique_ptr<SnapshotTaker>> Create(Options options);

  // Takes room for the copy and for the objects; the copy is removed as soon as it is compressed.
  //   RESOURCE_EXHAUSTED   no room, which is looked at before anything is written.
  //   CANCELLED            `cancelled` has said so.
  // Other errors are those of snapshot::CopyLdb().
  absl::StatusOr<std::shared_ptr<const TakenSnapshot>> Take();

 private:
  SnapshotTaker(Options options, std::unique_ptr<FileLock> lock);

  // Removes what is left of earlier snapshots.
  void RemoveLeftovers();
  absl::Status CheckRoom() const;
  absl::StatusOr<snapshot::LdbCopy> Copy(const std::string& copy_path) const;
  absl::StatusOr<std::shared_ptr<const TakenSnapshot>> Encode(const std::string& copy_path,
                                                              snapshot::Manifest manifest);
  std::string Path(absl::string_view name) const;
  void EndStep(absl::string_view step, absl::Duration begin, const absl::Status& status) const;

  const Options options_;
  const std::unique_ptr<FileLock> lock_;
  // What was made of the last copies, by compression.
  std::map<snapshot::Compression, int64_t> last_object_bytes_;
};

}  // namespace ctlstore::supervisor

#endif  // CTLSTORE_SUPERVISOR_SNAPSHOT_TAKER_H_
