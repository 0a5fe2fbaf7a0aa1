// The reflector as a service: its flags, and its life as a process.

#ifndef CTLSTORE_REFLECTOR_REFLECTOR_FLAGS_H_
#define CTLSTORE_REFLECTOR_REFLECTOR_FLAGS_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "reflector/reflector_runner.h"

namespace ctlstore::reflector {

// The options that the flags of the reflector, the ctldb and the LDB describe. INVALID_ARGUMENT
// names the flag.
absl::StatusOr<ReflectorRunner::Options> ReflectorOptionsFromFlags();

// Sets what the reflector's own flags describe, `reflector`, `writer` and `ready_within`, and
// leaves the rest, for those who know the ctldb and the LDB from elsewhere.
absl::Status ReadReflectorFlags(ReflectorRunner::Options* options);

// Runs a reflector until SIGTERM or SIGINT. Returns the process's exit status: 0 after an orderly
// end, 2 for a flag that cannot be used, 1 where it cannot start. Call once, after the flags are
// parsed and before any thread is started.
int RunReflector();

}  // namespace ctlstore::reflector

#endif  // CTLSTORE_REFLECTOR_REFLECTOR_FLAGS_H_
