// Secrets that a program makes for itself.

#ifndef CTLSTORE_CLI_SECRET_FILE_H_
#define CTLSTORE_CLI_SECRET_FILE_H_

#include <string>

#include "absl/status/statusor.h"

namespace ctlstore::cli {

// The secret that the file at `path` holds. Where there is no file, makes one that only its owner
// can read, with 64 random hex digits. UNAVAILABLE where that fails, FAILED_PRECONDITION where the
// file holds no secret; no message holds one.
absl::StatusOr<std::string> ReadOrCreateSecret(const std::string& path);

}  // namespace ctlstore::cli

#endif  // CTLSTORE_CLI_SECRET_FILE_H_
