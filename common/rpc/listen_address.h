// An address that a server listens on, as text and in its parts.

#ifndef CTLSTORE_COMMON_RPC_LISTEN_ADDRESS_H_
#define CTLSTORE_COMMON_RPC_LISTEN_ADDRESS_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace ctlstore::rpc {

struct ListenAddress {
  // A Unix socket's absolute path; empty for TCP.
  std::string socket_path;

  // TCP. An IPv6 host stands in brackets. Port 0 asks the system for a free one.
  std::string host;
  uint16_t port = 0;

  bool is_unix() const { return !socket_path.empty(); }

  // "host:port" or "unix:/absolute/path".
  std::string ToString() const;
};

// The reverse of ToString(). INVALID_ARGUMENT says what is wrong with `text`.
absl::StatusOr<ListenAddress> ParseListenAddress(absl::string_view text);

// Makes the address free to be listened on: removes a socket file that nobody listens on any more.
// UNAVAILABLE where somebody does, or where another kind of file is there. Does nothing for TCP.
absl::Status RemoveStaleSocket(const ListenAddress& address);

// Why the system does not let this process listen on `address`, in words; found by trying.
std::string ExplainListenFailure(const ListenAddress& address);

}  // namespace ctlstore::rpc

#endif  // CTLSTORE_COMMON_RPC_LISTEN_ADDRESS_H_
