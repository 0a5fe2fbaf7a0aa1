// Command line flags that can also be set through the environment, and secrets that cannot be set
// on the command line.

#ifndef CTLSTORE_COMMON_BASE_ENVIRONMENT_FLAGS_H_
#define CTLSTORE_COMMON_BASE_ENVIRONMENT_FLAGS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace ctlstore {

// Sets each of ctlstore's flags `--some_flag` whose variable CTLSTORE_SOME_FLAG is in the
// environment, then parses the command line, which therefore wins. Returns the positional
// arguments, without the program's name. Exits with status 2 and a message where a variable or an
// argument cannot be parsed; --help prints and exits with status 0. `usage` is what --help shows
// first.
//
// Call once, at the start of main(), before any thread is started.
std::vector<std::string> ParseFlags(absl::string_view usage, int argc, char** argv);

// A secret from the file at `path`, without the line end at its end, or, where `path` is empty,
// from the environment variable `variable`. Empty where neither is set. INVALID_ARGUMENT where the
// file cannot be read; the message never holds the secret.
absl::StatusOr<std::string> ReadSecret(const std::string& path, const char* variable);

}  // namespace ctlstore

#endif  // CTLSTORE_COMMON_BASE_ENVIRONMENT_FLAGS_H_
