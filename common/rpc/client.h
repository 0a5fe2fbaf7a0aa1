// What a client of a ctlstore server needs besides the generated stub.
//
//   auto stub = v1::Executive::NewStub(rpc::NewChannel("127.0.0.1:3000"));
//   grpc::ClientContext context;
//   rpc::SetDeadline(absl::Now() + absl::Seconds(5), &context);
//   rpc::AddWriterCredentials("loader", secret, &context);
//   const absl::Status status =
//       rpc::FromGrpcStatus(stub->Mutate(&context, request, &response));

#ifndef CTLSTORE_COMMON_RPC_CLIENT_H_
#define CTLSTORE_COMMON_RPC_CLIENT_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/rpc/tls_options.h"
#include "common/rpc/writer_metadata.h"

namespace grpc {
class Channel;
class ClientContext;
}  // namespace grpc

namespace ctlstore::rpc {

struct ChannelOptions {
  // Larger answers fail with RESOURCE_EXHAUSTED.
  int max_receive_bytes = 64 << 20;
  // Channels to one address normally share a connection; one with its own has it to itself.
  bool own_connection = false;
  // For TCP; to a Unix socket everything goes without TLS. The server's certificate is always
  // verified, for the host in the address too. Files that change count for later connections.
  ClientTlsOptions tls;
  // A bearer token that proves a role, sent with each call; or a file whose first token is
  // (bearer_tokens.h), read again when it changes. Sent over TLS or to this machine only.
  std::string token;
  std::string token_file;
};

// Whether a channel can be made. INVALID_ARGUMENT names a flag or a file of TLS that cannot be
// used, or the file of the token; FAILED_PRECONDITION where the token would go to another host
// without TLS.
absl::Status CheckChannel(absl::string_view address, const ChannelOptions& options);

// A channel to "host:port" or "unix:/path". Connects when it is first used and again, after at most
// a few seconds, when the connection broke. A web proxy in the environment is not used: control
// data goes straight to its server. Where CheckChannel() is not OK, calls fail with its message and
// nothing is sent. Thread-safe.
std::shared_ptr<grpc::Channel> NewChannel(absl::string_view address,
                                          const ChannelOptions& options = {});

// Whether what is sent can be read on its way, as to another host without TLS.
bool GoesInClear(absl::string_view address, const ChannelOptions& options);

// `status` of a call; where the connection failed, its message says in addition what may be wrong
// with TLS.
absl::Status ExplainConnectionError(const absl::Status& status, absl::string_view address,
                                    const ChannelOptions& options);

// InfiniteFuture() stands for no deadline.
void SetDeadline(absl::Time deadline, grpc::ClientContext* context);

}  // namespace ctlstore::rpc

#endif  // CTLSTORE_COMMON_RPC_CLIENT_H_
