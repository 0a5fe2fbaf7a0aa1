// absl::Status to gRPC's status and back, with the error details of common/schema/errors.h.

#ifndef CTLSTORE_COMMON_RPC_STATUS_CONVERSION_H_
#define CTLSTORE_COMMON_RPC_STATUS_CONVERSION_H_

#include <grpcpp/support/status.h>

#include "absl/status/status.h"

namespace ctlstore::rpc {

// Same code and message; the reason becomes google.rpc.ErrorInfo (domain "ctlstore"), the field
// path google.rpc.BadRequest, the retry delay google.rpc.RetryInfo.
grpc::Status ToGrpcStatus(const absl::Status& status);

// The reverse, for clients. Details that are not of this form are dropped.
absl::Status FromGrpcStatus(const grpc::Status& status);

}  // namespace ctlstore::rpc

#endif  // CTLSTORE_COMMON_RPC_STATUS_CONVERSION_H_
