// The flags of those who call ctlstore's servers: where these are, how they are spoken to, and who
// calls.

#ifndef CTLSTORE_COMMON_RPC_CLIENT_FLAGS_H_
#define CTLSTORE_COMMON_RPC_CLIENT_FLAGS_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/rpc/client.h"
#include "common/rpc/writer_metadata.h"

namespace ctlstore::rpc {

// To be called after the flags are parsed.

// Where each service is: "host:port" or "unix:/absolute/path".
std::string ExecutiveAddressFromFlags();
std::string SidecarAddressFromFlags();
std::string ReflectorAddressFromFlags();
std::string SupervisorAddressFromFlags();

// TLS, as --client_tls and the flags beside it say, and the token from the file that --token_file
// names, or from the environment variable CTLSTORE_TOKEN. NewChannel() looks whether they are good.
ChannelOptions ChannelOptionsFromFlags();

// The writer that --writer names, or `default_writer` where it is empty, with the secret from the
// file that --writer_secret_file names, or from the environment variable CTLSTORE_WRITER_SECRET.
// INVALID_ARGUMENT where a name or secret is missing or breaks its rules (common/schema/names.h),
// or the file cannot be read; the message says what to set, and never holds the secret.
absl::StatusOr<WriterCredentials> WriterCredentialsFromFlags(absl::string_view default_writer);

}  // namespace ctlstore::rpc

#endif  // CTLSTORE_COMMON_RPC_CLIENT_FLAGS_H_
