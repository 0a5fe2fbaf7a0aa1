#include "reflector/snapshot_places.h"

#include <thread>
#include <utility>

#include "absl/synchronization/notification.h"
#include "common/schema/errors.h"
#include "common/snapshot/fetcher.h"

namespace ctlstore::reflector {

SnapshotPlaces::SnapshotPlaces(Options options) : options_(std::move(options)) {}

absl::StatusOr<SnapshotSource::Snapshot> SnapshotPlaces::Fetch(const Request& request) {
  snapshot::FetchOptions options;
  options.store = options_.store;
  options.families = request.families;
  options.excluded = request.excluded;
  options.on_progress = request.on_progress;
  options.cancelled = request.cancelled;
  if (options_.make_ledger) {
    options.accept = [this](const LedgerPosition& position) { return AskLedger(position); };
  }
  absl::StatusOr<snapshot::FetchedSnapshot> fetched =
      snapshot::FetchNewest(options_.locations, request.folder, options);
  if (!fetched.ok()) return fetched.status();
  Snapshot snapshot;
  snapshot.path = request.folder + "/ldb.db";
  snapshot.key = std::move(fetched->key);
  snapshot.id = std::move(fetched->id);
  snapshot.url = std::move(fetched->url);
  snapshot.sequence = fetched->position.sequence;
  return snapshot;
}

absl::Status SnapshotPlaces::AskLedger(const LedgerPosition& position) const {
  const std::unique_ptr<LedgerSource> ledger = options_.make_ledger();
  absl::Status answer = absl::OkStatus();
  absl::Notification answered;
  std::thread asking([&] {
    LedgerSource::Limits limits;
    limits.max_entries = 1;
    limits.max_bytes = 1;
    answer = ledger->Read(position, limits).status();
    answered.Notify();
  });
  // A ledger that ends at the position waits for more before it answers.
  answered.WaitForNotificationWithTimeout(options_.ledger_timeout);
  ledger->Cancel();
  asking.join();
  if (HasReason(answer, reason::kLedgerPruned) || HasReason(answer, reason::kLedgerDiverged)) {
    return answer;
  }
  return absl::OkStatus();
}

}  // namespace ctlstore::reflector
