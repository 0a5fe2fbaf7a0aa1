// The flags of every service's metrics: --metrics_port and --metrics_host.

#ifndef CTLSTORE_COMMON_RPC_METRICS_FLAGS_H_
#define CTLSTORE_COMMON_RPC_METRICS_FLAGS_H_

#include "absl/status/statusor.h"
#include "absl/types/optional.h"
#include "common/rpc/http_server.h"

namespace ctlstore::rpc {

// How a MetricsServer is to listen; nullopt where none is wanted. To be called after the flags are
// parsed. INVALID_ARGUMENT names the flag.
absl::StatusOr<absl::optional<HttpServer::Options>> MetricsOptionsFromFlags();

}  // namespace ctlstore::rpc

#endif  // CTLSTORE_COMMON_RPC_METRICS_FLAGS_H_
