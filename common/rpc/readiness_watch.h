// Keeps an eye on whether a service can do its work.

#ifndef CTLSTORE_COMMON_RPC_READINESS_WATCH_H_
#define CTLSTORE_COMMON_RPC_READINESS_WATCH_H_

#include <functional>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"

namespace ctlstore::rpc {

// Looks at once and then at every interval, in a thread of its own, until its destruction, so that
// those who ask get an answer from memory, and those who want to be told (the gRPC health service)
// are. A change is logged. Thread-safe.
class ReadinessWatch {
 public:
  // OK where the service can do its work. May take its time; never called twice at once.
  using Check = std::function<absl::Status()>;
  using OnChange = std::function<void(bool ready)>;

  // Returns after the first look. `on_change` is told what that one found, and every change from
  // ready to not ready or back.
  ReadinessWatch(Check check, OnChange on_change, absl::Duration interval = absl::Seconds(1));
  // Waits for a look that is under way.
  ~ReadinessWatch();
  ReadinessWatch(const ReadinessWatch&) = delete;
  ReadinessWatch& operator=(const ReadinessWatch&) = delete;

  // What the last look found.
  absl::Status status() const;

 private:
  void Run();
  void Look(bool first);

  const Check check_;
  const OnChange on_change_;
  const absl::Duration interval_;

  mutable absl::Mutex mutex_;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
  absl::Notification stop_;
  // Last: it uses all of the others.
  std::thread thread_;
};

}  // namespace ctlstore::rpc

#endif  // CTLSTORE_COMMON_RPC_READINESS_WATCH_H_
