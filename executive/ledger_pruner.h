// Removes ledger entries that are old, and in snapshots.

#ifndef CTLSTORE_EXECUTIVE_LEDGER_PRUNER_H_
#define CTLSTORE_EXECUTIVE_LEDGER_PRUNER_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/base/event.h"
#include "common/ctldb/connection.h"
#include "common/ctldb/ledger_pruning.h"
#include "common/ctldb/target.h"
#include "common/snapshot/manifest.h"
#include "executive/prune_metrics.h"
#include "executive/snapshot_place.h"

namespace ctlstore::executive {

// What goes: the entries that are older than the retention time, as far as there is in each place a
// snapshot of this ledger that holds all families and was read and found whole. What never goes:
// the ledger's last entry, the one that a snapshot that covers stands at (by it one can tell later,
// too, that the snapshot is of this ledger), a part of a ledger transaction, and all that follows
// an entry that is younger.
//
// Thread-safe.
class LedgerPruner {
 public:
  struct Options {
    // Whether anything may be removed; dry runs need no permission.
    bool enabled = false;
    absl::Duration older_than = absl::Hours(168);
    // How often it is looked, once Start() was called.
    absl::Duration interval = absl::Hours(1);
    // What is removed in one transaction, about, and the pause behind it.
    size_t batch_entries = 1000;
    size_t batch_bytes = size_t{1} << 20;
    absl::Duration pause = absl::Milliseconds(20);
    // How long a snapshot that was read is believed without reading it again.
    absl::Duration reverify_after = absl::Hours(24);

    ctldb::Target ctldb;
    // Opens a connection to it, with the right to remove entries.
    std::function<absl::StatusOr<std::unique_ptr<ctldb::Connection>>()> connect;
    Clock* clock = Clock::Real();
  };

  struct Place {
    std::string url;
    // The snapshot that covers; empty where there is none.
    std::string snapshot_id;
    int64_t sequence = 0;
    // Why nothing is covered; OK where something is.
    absl::Status error;
  };

  // What was found and done. Sequences are 0 where there is nothing.
  struct Report {
    int64_t first_sequence = 0;
    int64_t last_sequence = 0;
    // The entries up to this one are older than the retention time.
    int64_t old_through = 0;
    // The entries up to this one are in a verified snapshot in every place.
    int64_t covered_through = 0;
    // What went, or would go, is everything up to this.
    int64_t pruned_through = 0;
    int64_t pruned_entries = 0;
    std::vector<Place> places;
  };

  LedgerPruner(Options options, std::vector<std::unique_ptr<SnapshotPlace>> places,
               PruneMetrics* metrics);
  ~LedgerPruner();
  LedgerPruner(const LedgerPruner&) = delete;
  LedgerPruner& operator=(const LedgerPruner&) = delete;

  // Begins rounds in a thread of their own. Once.
  void Start();

  // One round, now; a dry run removes nothing. `cancelled` may be called often.
  //   FAILED_PRECONDITION  PRUNING_DISABLED: there is no place, or not enabled and no dry run.
  //   UNAVAILABLE          CTLDB_BUSY: the ledger is pruned just now, here or by another executive;
  //                        CTLDB_UNAVAILABLE.
  //   CANCELLED            after `cancelled`, or Stop().
  // After an error in the middle of removing, its message tells what is gone. Where a place covers
  // nothing, nothing goes, and that is no error.
  absl::StatusOr<Report> Prune(bool dry_run, const ctldb::Cancelled& cancelled);

  // Ends what is under way soon, and all that comes later.
  void Stop();

 private:
  // What came of reading a snapshot's object.
  struct Verdict {
    // What the manifest said of it.
    std::string object_sha256;
    absl::Time at;
    absl::Status status;
  };

  // A connection to the ctldb, and what Stop() needs to break it off.
  class Session;

  // A round whose turn it is.
  absl::Status Run(bool dry_run, const ctldb::Cancelled& cancelled, Report* report);
  absl::Status Remove(Session* session, const ctldb::Cancelled& cancelled, int64_t through,
                      Report* report);

  // The snapshot that covers what is up to `wanted`, or else the one that covers most.
  absl::StatusOr<Place> Cover(size_t number, const Report& report, int64_t wanted,
                              ctldb::Connection* connection);
  // What speaks against a snapshot, or against the place where that fails; OK where it covers what
  // is before its position. The outer status is not OK where the ctldb fails.
  absl::StatusOr<absl::Status> Judge(size_t number, const std::string& id, const Report& report,
                                     ctldb::Connection* connection);
  absl::Status JudgeObject(size_t number, const snapshot::Manifest& manifest);
  bool IsFresh(const Verdict& verdict) const;

  void Rounds();

  const Options options_;
  const std::vector<std::unique_ptr<SnapshotPlace>> places_;
  PruneMetrics* const metrics_;

  // Taken by whose round it is.
  std::atomic<bool> running_{false};
  std::atomic<bool> stopping_{false};
  // Waited for by the thread, and by whose round it is.
  Event next_round_;
  Event next_batch_;

  absl::Mutex mutex_;
  // Of the round under way; null where it has none.
  ctldb::Connection* connection_ ABSL_GUARDED_BY(mutex_) = nullptr;

  // By the place's number and the snapshot's id. Used by whose round it is.
  std::map<std::pair<size_t, std::string>, Verdict> verdicts_;

  std::thread thread_;
};

}  // namespace ctlstore::executive

#endif  // CTLSTORE_EXECUTIVE_LEDGER_PRUNER_H_
