// The flags that every server has: --listen, --grpc_max_threads and --shutdown_grace_ms.

#ifndef CTLSTORE_COMMON_RPC_SERVER_FLAGS_H_
#define CTLSTORE_COMMON_RPC_SERVER_FLAGS_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/rpc/server.h"

namespace ctlstore::rpc {

// What the flags say; `default_listen` has the addresses (separated by commas) for an empty
// --listen. To be called after the flags are parsed. INVALID_ARGUMENT names the flag.
absl::StatusOr<ServerOptions> ServerOptionsFromFlags(absl::string_view default_listen);

// How long calls under way may take to end when the service is stopped. Never negative.
absl::Duration ShutdownGraceFromFlags();

}  // namespace ctlstore::rpc

#endif  // CTLSTORE_COMMON_RPC_SERVER_FLAGS_H_
