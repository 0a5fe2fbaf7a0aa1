// The flags of those who call ctlstore's servers: --executive, --sidecar, --writer and
// --writer_secret_file.

#ifndef CTLSTORE_COMMON_RPC_CLIENT_FLAGS_H_
#define CTLSTORE_COMMON_RPC_CLIENT_FLAGS_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/rpc/writer_metadata.h"

namespace ctlstore::rpc {

// To be called after the flags are parsed.

// Where the executive and the sidecar are: "host:port" or "unix:/absolute/path".
std::string ExecutiveAddressFromFlags();
std::string SidecarAddressFromFlags();

// The writer that --writer names, or `default_writer` where it is empty, with the secret from the
// file that --writer_secret_file names, or from the environment variable CTLSTORE_WRITER_SECRET.
// INVALID_ARGUMENT where a name or secret is missing or breaks its rules (common/schema/names.h),
// or the file cannot be read; the message says what to set, and never holds the secret.
absl::StatusOr<WriterCredentials> WriterCredentialsFromFlags(absl::string_view default_writer);

}  // namespace ctlstore::rpc

#endif  // CTLSTORE_COMMON_RPC_CLIENT_FLAGS_H_
