#include "common/rpc/caller.h"

#include "absl/strings/str_cat.h"
#include "common/schema/errors.h"

namespace ctlstore::rpc {

Caller LocalCaller() {
  Caller caller;
  caller.name = "local";
  caller.peer = "local";
  caller.is_reader = true;
  caller.is_admin = true;
  return caller;
}

absl::Status RequireRole(const Caller& caller, Role role) {
  // An admin may read as well.
  if (caller.is_admin || (role == Role::kReader && caller.is_reader)) return absl::OkStatus();
  if (caller.is_reader) {
    return ErrorWithReason(
        absl::StatusCode::kPermissionDenied, reason::kRoleMissing,
        absl::StrCat("the call needs the role ", RoleName(role), ", and the caller (", caller.name,
                     ") has only the role ", RoleName(Role::kReader)));
  }
  return ErrorWithReason(
      absl::StatusCode::kUnauthenticated, reason::kNoRole,
      absl::StrCat("the call needs the role ", RoleName(role), ", and the caller (", caller.name,
                   ") has none: send \"authorization: Bearer TOKEN\" with a token of the server's "
                   "--",
                   RoleName(role),
                   "_token_file, or show a client certificate with a name of its --",
                   RoleName(role), "_identities"));
}

absl::string_view RoleName(Role role) { return role == Role::kAdmin ? "admin" : "reader"; }

}  // namespace ctlstore::rpc
