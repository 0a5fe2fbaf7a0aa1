#include "reflector/reflector_control.h"

namespace ctlstore::reflector {

absl::string_view ReplicationStateName(ReplicationState state) {
  switch (state) {
    case ReplicationState::kStarting:
      return "starting";
    case ReplicationState::kCatchingUp:
      return "catching_up";
    case ReplicationState::kCurrent:
      return "current";
    case ReplicationState::kUpstreamUnavailable:
      return "upstream_unavailable";
    case ReplicationState::kLedgerBehind:
      return "ledger_behind";
    case ReplicationState::kNeedsSnapshot:
      return "needs_snapshot";
    case ReplicationState::kEntryFailed:
      return "entry_failed";
    case ReplicationState::kDiskFull:
      return "disk_full";
    case ReplicationState::kLdbUnavailable:
      return "ldb_unavailable";
    case ReplicationState::kRebuilding:
      return "rebuilding";
    case ReplicationState::kFetchingSnapshot:
      return "fetching_snapshot";
  }
  return "unknown";
}

}  // namespace ctlstore::reflector
