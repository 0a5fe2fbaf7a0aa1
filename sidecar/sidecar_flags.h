// The sidecar as a service: its flags, and its life as a process.

#ifndef CTLSTORE_SIDECAR_SIDECAR_FLAGS_H_
#define CTLSTORE_SIDECAR_SIDECAR_FLAGS_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "sidecar/sidecar_server.h"

namespace ctlstore::sidecar {

// Where a sidecar listens unless --listen says otherwise.
inline constexpr char kDefaultListen[] = "127.0.0.1:1331";
// And where it serves HTTP, unless --http_port does.
inline constexpr int kDefaultHttpPort = 1380;

// The options that the flags of the sidecar, the LDB and servers describe. INVALID_ARGUMENT names
// the flag.
absl::StatusOr<SidecarServer::Options> SidecarOptionsFromFlags();

// Sets what the sidecar's own flags describe, limits and caches, and leaves the rest, for those who
// know the LDB and the addresses from elsewhere.
absl::Status ReadSidecarFlags(SidecarServer::Options* options);

// Runs a sidecar until SIGTERM or SIGINT. Returns the process's exit status: 0 after an orderly
// end, 2 for a flag that cannot be used, 1 where it cannot start. Call once, after the flags are
// parsed and before any thread is started.
int RunSidecar();

}  // namespace ctlstore::sidecar

#endif  // CTLSTORE_SIDECAR_SIDECAR_FLAGS_H_
