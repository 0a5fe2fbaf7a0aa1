// Where a service's HTTP API is served.

#ifndef CTLSTORE_COMMON_RPC_HTTP_FLAGS_H_
#define CTLSTORE_COMMON_RPC_HTTP_FLAGS_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "common/rpc/http_server.h"
#include "common/rpc/server.h"

namespace ctlstore::rpc {

// By the flag --http_port, or `default_port` where it is not set.
absl::StatusOr<absl::optional<HttpServer::Options>> HttpOptionsFromFlags(
    int default_port, const ServerOptions& server);

// The HTTP API stands beside the gRPC server: on the host of its first TCP address, or on loopback
// where it has none, with the same certificates. nullopt for port -1. INVALID_ARGUMENT names `flag`
// for what is no port.
absl::StatusOr<absl::optional<HttpServer::Options>> HttpOptionsFromPort(
    absl::string_view flag, int port, const ServerOptions& server);

}  // namespace ctlstore::rpc

#endif  // CTLSTORE_COMMON_RPC_HTTP_FLAGS_H_
