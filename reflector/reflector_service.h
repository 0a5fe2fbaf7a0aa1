// The Reflector API: seeing and telling a reflector from outside of its process.

#ifndef CTLSTORE_REFLECTOR_REFLECTOR_SERVICE_H_
#define CTLSTORE_REFLECTOR_REFLECTOR_SERVICE_H_

#include <memory>

#include "common/base/clock.h"
#include "common/rpc/access_control.h"
#include "common/rpc/call_metrics.h"
#include "reflector/reflector_control.h"

namespace grpc {
class Service;
}  // namespace grpc

namespace ctlstore::reflector {

// Answers the calls of the contract in proto/ctlstore/v1/reflector.proto. What operators tell the
// reflector to do is logged, one line each, with who told it. Thread-safe.
class ReflectorService {
 public:
  // The control, the access control (which says who may call) and the clock must outlive the
  // service, and so must the metrics, where there are any; the service must outlive its gRPC
  // server.
  ReflectorService(ReflectorControl* control, const rpc::AccessControl* access, Clock* clock,
                   rpc::CallMetrics* metrics = nullptr);
  ~ReflectorService();
  ReflectorService(const ReflectorService&) = delete;
  ReflectorService& operator=(const ReflectorService&) = delete;

  // What is given to a gRPC server.
  grpc::Service* grpc_service();

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace ctlstore::reflector

#endif  // CTLSTORE_REFLECTOR_REFLECTOR_SERVICE_H_
