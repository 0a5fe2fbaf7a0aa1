// TLS for gRPC servers, with certificates that can be renewed while it serves.

#ifndef CTLSTORE_COMMON_RPC_SERVER_CREDENTIALS_H_
#define CTLSTORE_COMMON_RPC_SERVER_CREDENTIALS_H_

#include <memory>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/rpc/tls_options.h"

namespace grpc {
class ServerCredentials;
}  // namespace grpc

namespace ctlstore::rpc {

// For one address of a server, which they must outlive. TLS 1.2 and newer. Each new connection gets
// the certificate, key and authorities that the files hold, looked at once a second at most; while
// the files are not good together (the key is replaced and the certificate not yet, say) those
// before stay. INVALID_ARGUMENT names the flag or the file. TLS has to be enabled.
absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> NewServerCredentials(
    const ServerTlsOptions& options, Clock* clock = Clock::Real());

}  // namespace ctlstore::rpc

#endif  // CTLSTORE_COMMON_RPC_SERVER_CREDENTIALS_H_
