// The flags that every server has: where it listens, TLS, roles, and its limits.

#ifndef CTLSTORE_COMMON_RPC_SERVER_FLAGS_H_
#define CTLSTORE_COMMON_RPC_SERVER_FLAGS_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/rpc/server.h"

namespace ctlstore::rpc {

// To be called after the flags are parsed.

// What the flags say; `default_listen` has the addresses (separated by commas) for an empty
// --listen. INVALID_ARGUMENT names the flag; other errors are those of CheckServerOptions().
absl::StatusOr<ServerOptions> ServerOptionsFromFlags(absl::string_view default_listen);

// The same without --listen and without a check, for those who know the addresses from elsewhere.
absl::StatusOr<ServerOptions> ServerOptionsWithoutListenFromFlags();

// Tokens and identities. Part of the above.
AccessOptions AccessOptionsFromFlags();

// How long calls under way may take to end when the service is stopped. Never negative.
absl::Duration ShutdownGraceFromFlags();

}  // namespace ctlstore::rpc

#endif  // CTLSTORE_COMMON_RPC_SERVER_FLAGS_H_
