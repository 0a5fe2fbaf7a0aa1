// Metrics and health over HTTP, for Prometheus and for Kubernetes' probes.

#ifndef CTLSTORE_COMMON_RPC_METRICS_SERVER_H_
#define CTLSTORE_COMMON_RPC_METRICS_SERVER_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/rpc/http_server.h"

namespace prometheus {
class Collectable;
class Registry;
}  // namespace prometheus

namespace ctlstore::rpc {

// GET /metrics   all metrics of the registry, of the service's states and of the process, and
//                ctlstore_ready, in Prometheus's text format
// GET /livez     200 while the process answers at all
// GET /readyz    200 where the service can do its work, 503 with the reason where it cannot
//
// Serves from Start() until its destruction. Thread-safe. The registry and the states must outlive
// it, and so must what the readiness looks at.
class MetricsServer {
 public:
  // OK where the service can do its work. Called for each request of /readyz and of /metrics, by
  // several threads, so it must be quick. Its message is shown to whoever asks.
  using Readiness = std::function<absl::Status()>;

  // `states` is asked at each request of /metrics for what is not in the registry: values that are
  // best found out at that moment. Errors as HttpServer::Start().
  static absl::StatusOr<std::unique_ptr<MetricsServer>> Start(
      const HttpServer::Options& options, prometheus::Registry* registry, Readiness readiness,
      const prometheus::Collectable* states = nullptr);
  ~MetricsServer();
  MetricsServer(const MetricsServer&) = delete;
  MetricsServer& operator=(const MetricsServer&) = delete;

  // Where it listens, "host:port".
  const std::string& address() const;

 private:
  class Impl;
  explicit MetricsServer(std::unique_ptr<Impl> impl);
  const std::unique_ptr<Impl> impl_;
};

}  // namespace ctlstore::rpc

#endif  // CTLSTORE_COMMON_RPC_METRICS_SERVER_H_
