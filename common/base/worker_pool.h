// A fixed number of threads for work that blocks.

#ifndef CTLSTORE_COMMON_BASE_WORKER_POOL_H_
#define CTLSTORE_COMMON_BASE_WORKER_POOL_H_

#include <cstddef>
#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace ctlstore {

// Runs tasks in the order in which they came, as many at a time as there are threads. What waits is
// bounded, so that callers who come too fast hear of it at once. Thread-safe.
class WorkerPool {
 public:
  using Task = std::function<void()>;

  WorkerPool(size_t threads, size_t max_waiting);
  // Runs what waits still, then ends the threads.
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  // False, with `task` not run, where too many wait already.
  bool TrySubmit(Task task);

  size_t waiting() const;
  size_t max_waiting() const { return max_waiting_; }

 private:
  void Work();

  const size_t max_waiting_;
  mutable absl::Mutex mutex_;
  std::deque<Task> tasks_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace ctlstore

#endif  // CTLSTORE_COMMON_BASE_WORKER_POOL_H_
