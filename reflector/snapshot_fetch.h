// The fetching of one snapshot, in the background.

#ifndef CTLSTORE_REFLECTOR_SNAPSHOT_FETCH_H_
#define CTLSTORE_REFLECTOR_SNAPSHOT_FETCH_H_

#include <atomic>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/snapshot/fetch_progress.h"
#include "reflector/snapshot_source.h"

namespace ctlstore::reflector {

// Asks the source in a thread of its own, from its making on; its destruction ends that soon. Logs
// how it goes every ten seconds. Thread-safe.
class SnapshotFetch {
 public:
  // `ldb_path` is for logs. The source and the clock must outlive it. on_progress and cancelled of
  // the request are its own.
  SnapshotFetch(SnapshotSource* source, SnapshotSource::Request request,
                const std::string& ldb_path, Clock* clock);
  ~SnapshotFetch();
  SnapshotFetch(const SnapshotFetch&) = delete;
  SnapshotFetch& operator=(const SnapshotFetch&) = delete;

  snapshot::FetchProgress progress() const;
  bool done() const { return done_; }

  // Waits for the end.
  absl::StatusOr<SnapshotSource::Snapshot> Result();

 private:
  void NoteProgress(const snapshot::FetchProgress& progress);

  SnapshotSource* const source_;
  const std::string ldb_path_;
  Clock* const clock_;
  std::atomic<bool> cancelled_{false};
  std::atomic<bool> done_{false};
  mutable absl::Mutex mutex_;
  snapshot::FetchProgress progress_ ABSL_GUARDED_BY(mutex_);
  // On the steady clock.
  absl::Duration log_at_ ABSL_GUARDED_BY(mutex_) = absl::ZeroDuration();
  absl::StatusOr<SnapshotSource::Snapshot> result_;
  // Last: it uses all of the others.
  std::thread thread_;
};

}  // namespace ctlstore::reflector

#endif  // CTLSTORE_REFLECTOR_SNAPSHOT_FETCH_H_
