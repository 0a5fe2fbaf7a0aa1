// The reflector as a service: its flags, and its life as a process.

#ifndef CTLSTORE_REFLECTOR_REFLECTOR_FLAGS_H_
#define CTLSTORE_REFLECTOR_REFLECTOR_FLAGS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "reflector/reflector_runner.h"

namespace ctlstore::reflector {

// Where a reflector serves its API unless --listen says otherwise.
inline constexpr char kDefaultListen[] = "127.0.0.1:1332";

// The options that the flags of the reflector, the ctldb and the LDB describe. INVALID_ARGUMENT
// names the flag.
absl::StatusOr<ReflectorRunner::Options> ReflectorOptionsFromFlags();

// Sets what the reflector's own flags describe, but for the upstreams and the local databases, and
// leaves the rest, for those who know these from elsewhere.
absl::Status ReadReflectorFlags(ReflectorRunner::Options* options);

// Local databases as --ldbs has them: `PATH[?families=a+b&changelog=PATH]`, separated by commas.
// Neither ',' nor '?' nor '&' can be in a path. INVALID_ARGUMENT says which one is wrong, and how.
absl::StatusOr<std::vector<ReflectorRunner::Ldb>> ParseLdbs(absl::string_view text);

// Runs a reflector until SIGTERM or SIGINT. Returns the process's exit status: 0 after an orderly
// end, 2 for a flag that cannot be used, 1 where it cannot start. Call once, after the flags are
// parsed and before any thread is started.
int RunReflector();

}  // namespace ctlstore::reflector

#endif  // CTLSTORE_REFLECTOR_REFLECTOR_FLAGS_H_
