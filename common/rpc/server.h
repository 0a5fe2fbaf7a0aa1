// A gRPC server with what every ctlstore server has: reflection, the standard health service,
// limits and an orderly end.

#ifndef CTLSTORE_COMMON_RPC_SERVER_H_
#define CTLSTORE_COMMON_RPC_SERVER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/rpc/access_control.h"
#include "common/rpc/exposure.h"
#include "common/rpc/tls_options.h"

namespace grpc {
class Service;
}  // namespace grpc

namespace ctlstore::rpc {

struct ServerOptions {
  // "host:port", with port 0 for a free one, or "unix:/absolute/path". All of them are listened on.
  std::vector<std::string> listen;
  // Larger messages are refused with RESOURCE_EXHAUSTED.
  int max_receive_bytes = 4 << 20;
  // The most threads that gRPC may have for calls of services without callbacks, which keep one
  // each while they are under way; more of them are refused with RESOURCE_EXHAUSTED.
  int max_threads = 256;
  // For the TCP addresses. Unix sockets are without TLS: file permissions say who reaches them.
  ServerTlsOptions tls;
  // Who has which role. The server only looks whether roles are set up; its services ask an
  // AccessControl themselves.
  AccessOptions access;
  // Addresses beyond loopback are meant to be open to everybody who reaches them (exposure.h).
  bool insecure = false;
};

Protection ProtectionOf(const ServerOptions& options);

// Whether a server may start with the options, as far as that can be said before it listens:
// Server::Start() asks too. FAILED_PRECONDITION where an address is open to other hosts without TLS
// and roles, with what to do (exposure.h); INVALID_ARGUMENT names a flag or a file of TLS or tokens
// that cannot be used.
absl::Status CheckServerOptions(const ServerOptions& options);

// Runs from Start() until Shutdown() or its destruction. Thread-safe.
class Server {
 public:
  // Starts to serve. The services must outlive the server. UNAVAILABLE names the address that
  // cannot be listened on; it is an error too when another process listens there.
  // Other errors are those of CheckServerOptions().
  static absl::StatusOr<std::unique_ptr<Server>> Start(const ServerOptions& options,
                                                       const std::vector<grpc::Service*>& services);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Where it listens, in the order of the options, with the ports that were chosen.
  const std::vector<std::string>& addresses() const;

  // What the health service answers for the server as a whole and for each of its services. Serving
  // from the start.
  void SetServing(bool serving);

  // Takes no more calls, lets those under way end within `grace`, then cancels them. Returns when
  // all have ended.
  void Shutdown(absl::Duration grace);

 private:
  class Impl;
  explicit Server(std::unique_ptr<Impl> impl);
  const std::unique_ptr<Impl> impl_;
};

}  // namespace ctlstore::rpc

#endif  // CTLSTORE_COMMON_RPC_SERVER_H_
