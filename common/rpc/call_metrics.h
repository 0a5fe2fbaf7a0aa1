// What every server counts of its calls.

#ifndef CTLSTORE_COMMON_RPC_CALL_METRICS_H_
#define CTLSTORE_COMMON_RPC_CALL_METRICS_H_

#include <memory>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace prometheus {
class Registry;
}  // namespace prometheus

namespace ctlstore::rpc {

// Calls by method and code, with how long they took: ctlstore_calls_total and
// ctlstore_call_seconds (docs/metrics.md). Thread-safe; the registry must outlive it.
class CallMetrics {
 public:
  // `api` is "grpc" or "http".
  CallMetrics(absl::string_view api, prometheus::Registry* registry);
  ~CallMetrics();
  CallMetrics(const CallMetrics&) = delete;
  CallMetrics& operator=(const CallMetrics&) = delete;

  // `method` is one of few: "Mutate", "POST /families/{family}"; beyond 200 they all count as
  // "other". Cheap: a method's metrics are looked up once.
  void Record(absl::string_view method, absl::StatusCode code, absl::Duration duration);

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace ctlstore::rpc

#endif  // CTLSTORE_COMMON_RPC_CALL_METRICS_H_
