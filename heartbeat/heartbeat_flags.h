// The heartbeat as a service: its flags, and its life as a process.

#ifndef CTLSTORE_HEARTBEAT_HEARTBEAT_FLAGS_H_
#define CTLSTORE_HEARTBEAT_HEARTBEAT_FLAGS_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "heartbeat/heartbeat_runner.h"

namespace ctlstore::heartbeat {

// The writer in whose name heartbeats are written, unless --writer says otherwise.
inline constexpr char kDefaultWriter[] = "heartbeat";

// The options that the flags of the heartbeat and of clients describe. INVALID_ARGUMENT names the
// flag.
absl::StatusOr<HeartbeatRunner::Options> HeartbeatOptionsFromFlags();

// Sets what the heartbeat's own flag describes, the interval, and leaves the rest, for those who
// know the executive and the credentials from elsewhere.
absl::Status ReadHeartbeatFlags(HeartbeatRunner::Options* options);

// Runs a heartbeat until SIGTERM or SIGINT. Returns the process's exit status: 0 after an orderly
// end, 2 for a flag that cannot be used or a secret that is not there, 1 where metrics cannot be
// served. Call once, after the flags are parsed and before any thread is started.
int RunHeartbeat();

}  // namespace ctlstore::heartbeat

#endif  // CTLSTORE_HEARTBEAT_HEARTBEAT_FLAGS_H_
