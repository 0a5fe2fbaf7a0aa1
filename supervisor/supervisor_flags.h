// The supervisor as a service: its flags, and its life as a process.

#ifndef CTLSTORE_SUPERVISOR_SUPERVISOR_FLAGS_H_
#define CTLSTORE_SUPERVISOR_SUPERVISOR_FLAGS_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "supervisor/supervisor.h"
#include "supervisor/supervisor_runner.h"

namespace ctlstore::supervisor {

// Where a supervisor serves its API unless --listen says otherwise.
inline constexpr char kDefaultListen[] = "127.0.0.1:1333";

// What the flags of the supervisor, the reflector and the object stores describe. INVALID_ARGUMENT
// names the flag.
absl::StatusOr<SupervisorRunner::Options> SupervisorOptionsFromFlags();

// What the flags of the supervisor alone say, for programs in which the rest is given.
absl::Status ReadSupervisorFlags(Supervisor::Options* options);

// Runs a supervisor until SIGTERM or SIGINT. Returns the process's exit status: 0 after an orderly
// end, 2 for a flag that cannot be used, 1 where it cannot start. Call once, after the flags are
// parsed and before any thread is started.
int RunSupervisor();

}  // namespace ctlstore::supervisor

#endif  // CTLSTORE_SUPERVISOR_SUPERVISOR_FLAGS_H_
