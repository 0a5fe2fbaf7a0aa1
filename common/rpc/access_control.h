// Finds out who a caller is: by bearer token or by client certificate.

#ifndef CTLSTORE_COMMON_RPC_ACCESS_CONTROL_H_
#define CTLSTORE_COMMON_RPC_ACCESS_CONTROL_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "absl/types/span.h"
#include "common/base/clock.h"
#include "common/rpc/caller.h"

namespace grpc {
class ServerContextBase;
}  // namespace grpc

namespace ctlstore::rpc {

struct AccessOptions {
  // Files of tokens, one a line, any of which is taken (so that one can be replaced by another);
  // empty lines and those that begin with # are skipped. Read again when they have changed.
  std::string admin_token_file;
  std::string reader_token_file;
  // Names that a verified client certificate may have: its common name or a DNS or URI name of its
  // subject alternative names, compared as they are.
  std::vector<std::string> admin_identities;
  std::vector<std::string> reader_identities;

  bool has_tokens() const { return !admin_token_file.empty() || !reader_token_file.empty(); }
  bool has_identities() const { return !admin_identities.empty() || !reader_identities.empty(); }
};

// Where no tokens and no identities are set up, every caller is admin and reader. Where any is set
// up, a role is had only by who proves it. Thread-safe; answers from memory.
class AccessControl {
 public:
  // INVALID_ARGUMENT where a token file cannot be read, holds no token or one that is too short to
  // be safe (16 characters); names the flag, never a token.
  static absl::StatusOr<std::unique_ptr<AccessControl>> Create(const AccessOptions& options,
                                                               Clock* clock = Clock::Real());
  ~AccessControl();
  AccessControl(const AccessControl&) = delete;
  AccessControl& operator=(const AccessControl&) = delete;

  // Whether anything is set up.
  bool has_roles() const;

  // `authorization` is that header, where there is one; `identities` are a verified certificate's
  // names. UNAUTHENTICATED (NO_ROLE) for a token that is not known or not a bearer token. Without
  // any proof the caller has no role, which is no error here.
  absl::StatusOr<Caller> Identify(absl::optional<absl::string_view> authorization,
                                  absl::Span<const std::string> identities,
                                  absl::string_view peer) const;

  // The same for a gRPC call.
  absl::StatusOr<Caller> Identify(const grpc::ServerContextBase& context) const;

 private:
  class Impl;
  explicit AccessControl(std::unique_ptr<Impl> impl);
  const std::unique_ptr<Impl> impl_;
};

// The host of a gRPC peer ("ipv4:10.1.2.3:4567" is "10.1.2.3", a Unix socket is "unix").
std::string HostOfPeer(absl::string_view grpc_peer);

}  // namespace ctlstore::rpc

#endif  // CTLSTORE_COMMON_RPC_ACCESS_CONTROL_H_
