// The Supervisor API.

#ifndef CTLSTORE_SUPERVISOR_SUPERVISOR_SERVICE_H_
#define CTLSTORE_SUPERVISOR_SUPERVISOR_SERVICE_H_

#include <memory>

#include "common/base/clock.h"
#include "common/rpc/access_control.h"
#include "common/rpc/call_metrics.h"
#include "supervisor/supervisor_control.h"

namespace grpc {
class Service;
}  // namespace grpc

namespace ctlstore::supervisor {

// Answers the calls of the contract in proto/ctlstore/v1/supervisor.proto; those that wait take no
// thread. Snapshots that somebody asks for are logged, with who did. Thread-safe.
class SupervisorService {
 public:
  // The control, the access control (which says who may call) and the clock must outlive the
  // service, and so must the metrics, where there are any; the service must outlive its gRPC
  // server.
  SupervisorService(SupervisorControl* control, const rpc::AccessControl* access, Clock* clock,
                    rpc::CallMetrics* metrics = nullptr);
  ~SupervisorService();
  SupervisorService(const SupervisorService&) = delete;
  SupervisorService& operator=(const SupervisorService&) = delete;

  // What is given to a gRPC server.
  grpc::Service* grpc_service();

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace ctlstore::supervisor

#endif  // CTLSTORE_SUPERVISOR_SUPERVISOR_SERVICE_H_
