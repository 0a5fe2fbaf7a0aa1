// What can be seen of a supervisor, and what it can be told to do.

#ifndef CTLSTORE_SUPERVISOR_SUPERVISOR_CONTROL_H_
#define CTLSTORE_SUPERVISOR_SUPERVISOR_CONTROL_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/snapshot/manifest.h"

namespace ctlstore::supervisor {

// The error's reason where a snapshot came to no destination. Part of the API.
inline constexpr char kNotPublishedReason[] = "SNAPSHOT_NOT_PUBLISHED";

// A snapshot in a few words.
struct SnapshotSummary {
  // Of a single object: its key.
  std::string id;
  // -1 where it is not known (a single object that an earlier process has put there).
  int64_t sequence = -1;
  absl::Time taken_at;
  snapshot::Compression compression = snapshot::Compression::kNone;
  int64_t object_bytes = 0;
  // 0 where it is not known.
  int64_t file_bytes = 0;
  // 32 bytes; empty where it is not known.
  std::string object_sha256;
  int64_t tables = 0;
  int64_t rows = 0;
  // All where empty.
  std::vector<std::string> families;
};

SnapshotSummary SummaryOf(const snapshot::Manifest& manifest);

struct DestinationResult {
  std::string url;
  absl::Status status;
};

struct SnapshotResult {
  SnapshotSummary snapshot;
  std::vector<DestinationResult> destinations;
};

struct DestinationList {
  std::string url;
  // Of the asking.
  absl::Status status;
  // Newest first.
  std::vector<SnapshotSummary> snapshots;
};

enum class Stage { kIdle, kCopying, kCompressing, kUploading };

struct DestinationStatus {
  std::string url;
  // Since the start.
  absl::optional<SnapshotSummary> last_snapshot;
  absl::optional<absl::Time> last_success;
  // Of the last try.
  absl::Status last_error;
  int64_t failures = 0;
  // Since when something is being put there.
  absl::optional<absl::Time> busy_since;
};

struct SupervisorStatus {
  Stage stage = Stage::kIdle;
  absl::Time stage_since;
  // nullopt where snapshots are taken on demand only.
  absl::optional<absl::Time> next_snapshot;
  std::vector<DestinationStatus> destinations;
  int64_t applied_sequence = 0;
  int64_t ledger_sequence = 0;
  // OK, or why no snapshot can be taken.
  absl::Status readiness;
};

// Thread-safe.
class SupervisorControl {
 public:
  virtual ~SupervisorControl() = default;

  // Called once, from any thread, so it must not block.
  using OnTaken = std::function<void(const absl::StatusOr<SnapshotResult>&)>;
  // Takes a snapshot whose state is not older than the call; calls that come before it begins share
  // it. The result is there when every destination has it or has failed.
  //   UNAVAILABLE          SNAPSHOT_NOT_PUBLISHED: it is in no destination. LDB_UNAVAILABLE: the
  //                        copy is not there yet or not up to date. Or the supervisor ends.
  //   RESOURCE_EXHAUSTED   no room for the copy; QUEUE_FULL: too many wait.
  //   FAILED_PRECONDITION  the copy is not what the ctldb is.
  //   DATA_LOSS            the copy is damaged.
  virtual void TakeSnapshot(OnTaken on_taken) = 0;

  // Called once, from any thread, so it must not block.
  using OnListed = std::function<void(const std::vector<DestinationList>&)>;
  // Asks all destinations for what is there.
  virtual void ListSnapshots(OnListed on_listed) = 0;

  virtual SupervisorStatus Status() const = 0;
};

}  // namespace ctlstore::supervisor

#endif  // CTLSTORE_SUPERVISOR_SUPERVISOR_CONTROL_H_
