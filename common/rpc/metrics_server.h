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
class Registry;
}  // namespace prometheus

namespace ctlstore::rpc {

// GET /metrics   all metrics of the registry and of the process, in Prometheus's text format
// GET /livez     200 while the process answers at all
// GET /readyz    200 where the service can do its work, 503 with the reason where it cannot
//
// Thread-safe. The registry must outlive it.
class MetricsServer {
 public:
  // OK where the service can do its work. Called for each request of /readyz, so it must be quick.
  using Readiness = std::function<absl::Status()>;

  // Errors as HttpServer::Start().
  static absl::StatusOr<std::unique_ptr<MetricsServer>> Start(const HttpServer::Options& options,
                                                              prometheus::Registry* registry,
                                                              Readiness readiness);
  ~MetricsServer();
  MetricsServer(const MetricsServer&) = delete;
  MetricsServer& operator=(const MetricsServer&) = delete;

  const std::string& address() const;

 private:
  class Impl;
  explicit MetricsServer(std::unique_ptr<Impl> impl);
  const std::unique_ptr<Impl> impl_;
};

}  // namespace ctlstore::rpc

#endif  // CTLSTORE_COMMON_RPC_METRICS_SERVER_H_
