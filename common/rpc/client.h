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

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
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
};

// A channel to "host:port" or "unix:/path". Connects when it is first used and again, after at most
// a few seconds, when the connection broke. A web proxy in the environment is not used: control
// data goes straight to its server. Thread-safe.
std::shared_ptr<grpc::Channel> NewChannel(absl::string_view address,
                                          const ChannelOptions& options = {});

// InfiniteFuture() stands for no deadline.
void SetDeadline(absl::Time deadline, grpc::ClientContext* context);

}  // namespace ctlstore::rpc

#endif  // CTLSTORE_COMMON_RPC_CLIENT_H_
