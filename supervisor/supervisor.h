// Takes snapshots.

#ifndef CTLSTORE_SUPERVISOR_SUPERVISOR_H_
#define CTLSTORE_SUPERVISOR_SUPERVISOR_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/base/clock.h"
#include "common/base/event.h"
#include "common/base/worker_pool.h"
#include "common/object_store/object_store.h"
#include "common/snapshot/folder.h"
#include "common/snapshot/location.h"
#include "common/snapshot/object_encoder.h"
#include "supervisor/destination.h"
#include "supervisor/snapshot_taker.h"
#include "supervisor/supervisor_control.h"
#include "supervisor/supervisor_metrics.h"

namespace ctlstore::supervisor {

// Takes a snapshot of a local database at an interval and when it is asked for one, and gives it to
// all destinations; from Start() until Stop() or its destruction. The next one is taken while the
// one before is still on its way to a destination that is slow. Thread-safe.
class Supervisor : public SupervisorControl {
 public:
  // The local database that is snapshotted. ReflectorCopy is the real one. Thread-safe.
  class Copy {
   public:
    virtual ~Copy() = default;
    // OK where what it holds is worth a snapshot; otherwise UNAVAILABLE (LDB_UNAVAILABLE) with what
    // is in the way.
    virtual absl::Status Readiness() const = 0;
    virtual int64_t applied_sequence() const = 0;
    virtual int64_t ledger_sequence() const = 0;
  };

  struct Options {
    // From the beginning of one snapshot to that of the next one. Zero: on demand only. The first
    // one is taken as soon as the copy is ready.
    absl::Duration interval = absl::Minutes(5);
    // A snapshot is not taken by the schedule when every destination has one of the same position
    // that is not older than this.
    absl::Duration max_skip_age = absl::Hours(24);
    // How often is looked whether the copy is ready when a snapshot is due.
    absl::Duration ready_interval = absl::Seconds(1);
    // Calls that wait for one snapshot, at most.
    size_t max_callers = 100;
    // The local database, the work folder and the instance.
    SnapshotTaker::Options taker;
    // At least one.
    std::vector<snapshot::Location> destinations;
    // Of objects in folders. Where a single object's name wants another compression, that has the
    // library's default level.
    snapshot::EncodeOptions encode;
    // Of folders.
    snapshot::RetentionPolicy retention;
    // Must outlive it.
    Clock* clock = Clock::Real();
  };

  // How a destination's store is opened.
  using OpenStore = std::function<absl::StatusOr<std::unique_ptr<object_store::ObjectStore>>(
      const snapshot::Location& location)>;

  // The copy and the metrics must outlive it. Errors as SnapshotTaker::Create(), and those of
  // `open_store`.
  static absl::StatusOr<std::unique_ptr<Supervisor>> Start(const Options& options,
                                                           const OpenStore& open_store,
                                                           const Copy* copy,
                                                           SupervisorMetrics* metrics);
  ~Supervisor() override;
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;

  void TakeSnapshot(OnTaken on_taken) override;
  void ListSnapshots(OnListed on_listed) override;
  SupervisorStatus Status() const override;

  // Ends what is under way soon, with UNAVAILABLE for those who wait; Stop() waits for that. Both
  // may be called again.
  void RequestStop();
  void Stop();

 private:
  class Delivery;

  Supervisor(const Options& options, const Copy* copy, SupervisorMetrics* metrics);
  absl::Status Prepare(const OpenStore& open_store);
  // What objects a snapshot is to have for all destinations.
  std::vector<snapshot::EncodeOptions> Wanted(
      const std::vector<Destination::Options>& destinations) const;
  void Run();
  // Takes one for those who wait, or by the schedule.
  void Take(std::vector<OnTaken> callers);
  // By the schedule, where it is due and the copy is ready. Returns after how long there is
  // something to do again.
  absl::Duration FollowSchedule();
  bool EveryDestinationHas(int64_t sequence) const;
  void SetStage(Stage stage);

  const Options options_;
  const Copy* const copy_;
  SupervisorMetrics* const metrics_;
  std::unique_ptr<SnapshotTaker> taker_;
  std::vector<std::unique_ptr<Destination>> destinations_;

  std::atomic<bool> stop_{false};
  // There is somebody who waits, or it is to end.
  Event wake_;
  mutable absl::Mutex mutex_;
  std::vector<OnTaken> callers_ ABSL_GUARDED_BY(mutex_);
  Stage stage_ ABSL_GUARDED_BY(mutex_) = Stage::kIdle;
  absl::Time stage_since_ ABSL_GUARDED_BY(mutex_);
  // On the steady clock.
  absl::Duration next_at_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<WorkerPool> listers_ ABSL_GUARDED_BY(mutex_);
  // Used by the thread of Run() alone.
  bool waiting_for_copy_ = false;

  absl::Mutex stop_mutex_ ABSL_ACQUIRED_BEFORE(mutex_);
  // Last: it uses all of the others.
  std::thread thread_ ABSL_GUARDED_BY(stop_mutex_);
};

}  // namespace ctlstore::supervisor

#endif  // CTLSTORE_SUPERVISOR_SUPERVISOR_H_
