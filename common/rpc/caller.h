// Who makes a call, and what for.

#ifndef CTLSTORE_COMMON_RPC_CALLER_H_
#define CTLSTORE_COMMON_RPC_CALLER_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace ctlstore::rpc {

// What callers may do, besides being a writer, which is proven by the writer's own secret.
enum class Role {
  // See definitions, rows, limits and states.
  kReader,
  // Change definitions, limits and writers; read as well.
  kAdmin,
};

// A caller, as far as it has proven itself (access_control.h does that).
struct Caller {
  // For the audit log: "token admin", "certificate ops.example.com", "anyone" where the server has
  // no roles set up, "nobody" where it has and nothing was proven.
  std::string name = "nobody";
  // Where the call came from: "10.1.2.3", "unix". Without a port, so that it stands for a host.
  std::string peer;
  bool is_reader = false;
  bool is_admin = false;
};

// Every role, for calls within a process and for tests.
Caller LocalCaller();

// OK where the caller has the role. UNAUTHENTICATED (NO_ROLE) where it has none at all, with what
// to send; PERMISSION_DENIED (ROLE_MISSING) where it has another one.
absl::Status RequireRole(const Caller& caller, Role role);

absl::string_view RoleName(Role role);

}  // namespace ctlstore::rpc

#endif  // CTLSTORE_COMMON_RPC_CALLER_H_
