// All Watch calls of a sidecar.

#ifndef CTLSTORE_SIDECAR_WATCHES_H_
#define CTLSTORE_SIDECAR_WATCHES_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <cstddef>
#include <cstdint>
#include <functional>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/base/worker_pool.h"
#include "ctlstore/v1/sidecar.pb.h"
#include "sidecar/change_source.h"
#include "sidecar/watch_call.h"

namespace ctlstore::sidecar {

// Makes the calls, reads for them with a few threads, and ends them. To be destroyed when no call
// is under way any more. Thread-safe.
class Watches {
 public:
  struct Options {
    // At a time; at least 1.
    size_t max_watches = 1000;
    // A watch without changes gets a message that often.
    absl::Duration progress_interval = absl::Seconds(10);
    size_t reading_threads = 2;
  };

  struct Stats {
    // Under way.
    int64_t watches = 0;
    int64_t max_watches = 0;
    // To all of them together, since the start.
    int64_t changes_sent = 0;
    int64_t resets_sent = 0;
  };

  using Reactor = grpc::ServerWriteReactor<v1::WatchResponse>;

  // The source must outlive it.
  Watches(ChangeSource* source, const Options& options);
  Watches(const Watches&) = delete;
  Watches& operator=(const Watches&) = delete;

  // Told once, at a call's end, what it came to.
  using OnEnd = std::function<void(absl::StatusCode)>;

  // Answers a call, whose context it is. The call fails with `allowed` where that is not OK, and
  // with INVALID_ARGUMENT where the request is malformed.
  Reactor* Watch(grpc::CallbackServerContext* context, const absl::Status& allowed,
                 const v1::WatchRequest& request, OnEnd on_end);

  // Ends all calls with UNAVAILABLE, and those to come. A message that is under way is given up,
  // and its call cancelled, so that nobody is waited for.
  void Shutdown();

  Stats stats() const;

 private:
  // Counts the call in, or says why not.
  absl::Status Enter(WatchCall* call) ABSL_LOCKS_EXCLUDED(mutex_);
  void Leave(WatchCall* call) ABSL_LOCKS_EXCLUDED(mutex_);

  const Options options_;
  WatchParts parts_;
  mutable absl::Mutex mutex_;
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;
  absl::flat_hash_set<WatchCall*> calls_ ABSL_GUARDED_BY(mutex_);
  // Last: its threads use the others.
  WorkerPool readers_;
};

}  // namespace ctlstore::sidecar

#endif  // CTLSTORE_SIDECAR_WATCHES_H_
