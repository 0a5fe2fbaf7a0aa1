// Measures how a fetch goes.

#ifndef CTLSTORE_COMMON_SNAPSHOT_PROGRESS_METER_H_
#define CTLSTORE_COMMON_SNAPSHOT_PROGRESS_METER_H_

#include <cstdint>
#include <deque>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/snapshot/fetch_progress.h"

namespace ctlstore::snapshot {

// Counts bytes, and tells the rate over the last seconds. Thread-safe.
class ProgressMeter {
 public:
  // The clock must outlive it.
  explicit ProgressMeter(Clock* clock) : clock_(clock) {}

  // Begins anew with another object: kFetching. `bytes_there` were there from before.
  void Fetching(const std::string& url, const std::string& id, int64_t sequence,
                int64_t bytes_total, int64_t bytes_there);
  // Of the same object.
  void Checking();
  // No object any more.
  void Looking();

  // So many bytes more have come; or less are there, where some turned out to be wrong. What is
  // told does not go back for that.
  void Add(int64_t bytes);

  // To be called about once a second.
  FetchProgress Measure();

 private:
  struct Sample {
    absl::Duration time;
    int64_t bytes = 0;
  };

  Clock* const clock_;
  absl::Mutex mutex_;
  FetchProgress progress_ ABSL_GUARDED_BY(mutex_);
  int64_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  // Oldest first; the first one is that of the beginning, or as old as the rate goes back.
  std::deque<Sample> samples_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace ctlstore::snapshot

#endif  // CTLSTORE_COMMON_SNAPSHOT_PROGRESS_METER_H_
