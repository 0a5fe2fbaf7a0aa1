// What can be seen of a reflector, and what it can be told to do.

#ifndef CTLSTORE_REFLECTOR_REFLECTOR_CONTROL_H_
#define CTLSTORE_REFLECTOR_REFLECTOR_CONTROL_H_

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/snapshot/fetch_progress.h"

namespace ctlstore::reflector {

// docs/reflector.md says what each means and what an operator does about it.
enum class ReplicationState {
  // Begins.
  kStarting,
  // Applies entries, and knows that there are more.
  kCatchingUp,
  // Has all that the ledger has.
  kCurrent,
  // No upstream answers.
  kUpstreamUnavailable,
  // Upstreams answer, but their ledgers do not reach to this copy's position.
  kLedgerBehind,
  // The ledger does not have the entries that come next.
  kNeedsSnapshot,
  // An entry cannot be applied.
  kEntryFailed,
  // There is no room: on the disk, or in the WAL because of a reader.
  kDiskFull,
  // The local database cannot be written.
  kLdbUnavailable,
  // A new local database is being built.
  kRebuilding,
  // A snapshot is being fetched, from which the local database begins.
  kFetchingSnapshot,
};

// In lower case with underscores, as metrics, logs and the CLI show it: "catching_up".
absl::string_view ReplicationStateName(ReplicationState state);

// One local database and its replication at one moment.
struct LdbStatus {
  std::string path;
  ReplicationState state = ReplicationState::kStarting;
  // OK, or what is being tried again.
  absl::Status error;
  // OK, or why it is not ready.
  absl::Status readiness;
  // Tries that failed since the last success.
  int64_t failures = 0;
  int64_t applied_sequence = 0;
  // The ledger's last one, as far as it is known.
  int64_t ledger_sequence = 0;
  // When the copy last had all of the ledger.
  absl::optional<absl::Time> last_caught_up;
  // Where the ledger is read; empty for nowhere.
  std::string upstream;
  // All where empty.
  std::vector<std::string> families;
  int64_t wal_bytes = 0;
  absl::optional<absl::Time> checkpoint_blocked_since;
  absl::optional<pid_t> checkpoint_blocked_by;
  // kEntryFailed.
  absl::optional<int64_t> failed_sequence;
  int64_t skipped_entries = 0;
  // kRebuilding.
  int64_t rebuild_sequence = 0;
  std::string rebuild_reason;
  // Empty for none.
  std::string changelog_path;
  // kFetchingSnapshot.
  absl::optional<snapshot::FetchProgress> fetch;
  // The snapshot that it began from since the start; empty for none.
  std::string snapshot_id;
};

// Thread-safe. `ldb_path` may be empty where there is one local database only; NOT_FOUND where
// there is no such one.
class ReflectorControl {
 public:
  virtual ~ReflectorControl() = default;

  virtual std::vector<LdbStatus> Status() const = 0;

  // Goes over one entry that cannot be applied. FAILED_PRECONDITION where it is not this one that
  // stands in the way.
  virtual absl::Status SkipEntry(absl::string_view ldb_path, int64_t sequence) = 0;

  // Begins to build the local database anew; readers keep the old one until the new one is as far.
  virtual absl::Status Rebuild(absl::string_view ldb_path) = 0;
};

}  // namespace ctlstore::reflector

#endif  // CTLSTORE_REFLECTOR_REFLECTOR_CONTROL_H_
