// The executive's gRPC face: proto/ctlstore/v1/executive.proto.

#ifndef CTLSTORE_EXECUTIVE_EXECUTIVE_SERVICE_H_
#define CTLSTORE_EXECUTIVE_EXECUTIVE_SERVICE_H_

#include <memory>

#include "absl/time/time.h"
#include "executive/executive.h"

namespace grpc {
class Service;
}  // namespace grpc

namespace ctlstore::executive {

// Turns calls into calls of `executive`, which must outlive it, and its answers and errors into
// theirs. A call that comes without a deadline, or with a distant one, has `max_duration`.
// Thread-safe.
std::unique_ptr<grpc::Service> NewExecutiveService(Executive* executive,
                                                   absl::Duration max_duration);

}  // namespace ctlstore::executive

#endif  // CTLSTORE_EXECUTIVE_EXECUTIVE_SERVICE_H_
