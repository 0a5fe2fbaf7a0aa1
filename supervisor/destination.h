// One of the places that snapshots go to.

#ifndef CTLSTORE_SUPERVISOR_DESTINATION_H_
#define CTLSTORE_SUPERVISOR_DESTINATION_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/base/clock.h"
#include "common/object_store/object_store.h"
#include "common/schema/ledger_position.h"
#include "common/snapshot/folder.h"
#include "common/snapshot/location.h"
#include "common/snapshot/manifest.h"
#include "supervisor/supervisor_control.h"
#include "supervisor/supervisor_metrics.h"
#include "supervisor/taken_snapshot.h"

namespace ctlstore::supervisor {

// Puts snapshots into one place, in a thread of its own, so that one that fails or hangs is of no
// concern to the others. Works from its making until Stop() or its destruction. At the start it has
// the store remove what earlier processes have left half written. Thread-safe.
class Destination {
 public:
  struct Options {
    snapshot::Location location;
    // Of a folder's objects; a single object is compressed as its name says.
    snapshot::Compression compression = snapshot::Compression::kZstd;
    // Of a folder.
    snapshot::RetentionPolicy retention;
    Clock* clock = Clock::Real();
  };

  // The metrics must outlive it, and so must the clock.
  Destination(const Options& options, std::unique_ptr<object_store::ObjectStore> store,
              SupervisorMetrics* metrics);
  ~Destination();
  Destination(const Destination&) = delete;
  Destination& operator=(const Destination&) = delete;

  // What a snapshot has to have an object of, to go there.
  static snapshot::Compression CompressionOf(const Options& options);
  snapshot::Compression compression() const { return compression_; }

  const std::string& url() const { return url_; }

  // Called once, from any thread, so it must not block.
  using OnPut = std::function<void(const absl::Status&)>;
  // Puts a snapshot there as soon as the one before it is there. Of those that wait the newest one
  // is kept: a slow place gets fewer of them. ABORTED for one that another has taken the place of;
  // CANCELLED after Stop(); other errors are the store's.
  void Put(std::shared_ptr<const TakenSnapshot> snapshot, OnPut on_put);

  // The position of the snapshot that is on its way there, or otherwise of the last one that this
  // process has put there; nullopt where that was before `since`, or the last try failed.
  absl::optional<LedgerPosition> Holds(absl::Time since) const;

  // What is there, newest first. Errors are the store's.
  absl::StatusOr<std::vector<SnapshotSummary>> List();

  DestinationStatus Status() const;

  // Ends what is under way soon; Stop() waits for it. Both may be called again.
  void RequestStop();
  void Stop();

 private:
  struct Job {
    std::shared_ptr<const TakenSnapshot> snapshot;
    OnPut on_put;
  };

  void Run();
  void Work(Job job);
  absl::Status Publish(const TakenSnapshot& snapshot);
  void ApplyRetention();
  absl::StatusOr<SnapshotSummary> Summary(const std::string& id);

  const Options options_;
  const std::string url_;
  const snapshot::Compression compression_;
  const std::unique_ptr<object_store::ObjectStore> store_;
  snapshot::Folder folder_;
  SupervisorMetrics* const metrics_;

  mutable absl::Mutex mutex_;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  absl::optional<Job> waiting_ ABSL_GUARDED_BY(mutex_);
  DestinationStatus status_ ABSL_GUARDED_BY(mutex_);
  // Of the snapshot that is on its way, or came there with the last try.
  absl::optional<LedgerPosition> position_ ABSL_GUARDED_BY(mutex_);
  // What manifests said, by id: they never change.
  std::map<std::string, SnapshotSummary> summaries_ ABSL_GUARDED_BY(mutex_);
  absl::Mutex thread_mutex_ ABSL_ACQUIRED_BEFORE(mutex_);
  // Last: it uses all of the others.
  std::thread thread_ ABSL_GUARDED_BY(thread_mutex_);
};

}  // namespace ctlstore::supervisor

#endif  // CTLSTORE_SUPERVISOR_DESTINATION_H_
