// The call metadata by which a writer identifies itself.

#ifndef CTLSTORE_COMMON_RPC_WRITER_METADATA_H_
#define CTLSTORE_COMMON_RPC_WRITER_METADATA_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace grpc {
class ClientContext;
class ServerContextBase;
}  // namespace grpc

namespace ctlstore::rpc {

// The entries `ctlstore-writer` and `ctlstore-secret`. gRPC lets such entries hold printable ASCII
// only; names and secrets with other characters go into `ctlstore-writer-bin` and
// `ctlstore-secret-bin` instead.
struct WriterCredentials {
  std::string writer;
  std::string secret;
};

// For clients: to be called once, before the call.
void AddWriterCredentials(absl::string_view writer, absl::string_view secret,
                          grpc::ClientContext* context);

// For servers. UNAUTHENTICATED (BAD_CREDENTIALS) names the entries that are missing.
absl::StatusOr<WriterCredentials> GetWriterCredentials(const grpc::ServerContextBase& context);

}  // namespace ctlstore::rpc

#endif  // CTLSTORE_COMMON_RPC_WRITER_METADATA_H_
