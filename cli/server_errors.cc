#include "cli/server_errors.h"

#include "absl/strings/str_cat.h"
#include "common/schema/errors.h"

namespace ctlstore::cli {

absl::Status ExplainCallError(const absl::Status& status, absl::string_view server,
                              absl::string_view address) {
  // What the server itself says has a reason.
  if (!absl::IsUnavailable(status) || ErrorReason(status).has_value()) return status;
  return absl::UnavailableError(
      absl::StrCat("no ", server, " can be reached at ", address, " (", status.message(),
                   "); start one with ", "'ctlstore dev', or say with --", server, " where it is"));
}

}  // namespace ctlstore::cli
