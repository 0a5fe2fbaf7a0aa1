// Keeps an eye on a fetch while others work on it.

#ifndef CTLSTORE_COMMON_SNAPSHOT_FETCH_WATCH_H_
#define CTLSTORE_COMMON_SNAPSHOT_FETCH_WATCH_H_

#include <atomic>
#include <functional>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/base/event.h"
#include "common/object_store/object_store.h"
#include "common/snapshot/fetch_progress.h"
#include "common/snapshot/progress_meter.h"

namespace ctlstore::snapshot {

// Has a thread that asks whether the fetch is cancelled, and then cancels the stores; and that
// tells each second how it goes. Thread-safe.
class FetchWatch {
 public:
  // Both functions may be empty; `meter` must outlive it.
  FetchWatch(ProgressMeter* meter, std::function<void(const FetchProgress&)> on_progress,
             std::function<bool()> cancelled);
  ~FetchWatch();
  FetchWatch(const FetchWatch&) = delete;
  FetchWatch& operator=(const FetchWatch&) = delete;

  // The store is cancelled when the fetch is, until Remove().
  void Add(object_store::ObjectStore* store);
  void Remove(object_store::ObjectStore* store);

  bool cancelled() const { return cancelled_; }

  // Tells how it goes now.
  void Report();

 private:
  void Run();

  ProgressMeter* const meter_;
  const std::function<void(const FetchProgress&)> on_progress_;
  const std::function<bool()> ask_cancelled_;
  std::atomic<bool> cancelled_{false};
  std::atomic<bool> stopping_{false};
  Event stop_;
  // Held while the caller is told.
  absl::Mutex report_mutex_;
  absl::Mutex mutex_;
  std::vector<object_store::ObjectStore*> stores_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace ctlstore::snapshot

#endif  // CTLSTORE_COMMON_SNAPSHOT_FETCH_WATCH_H_
