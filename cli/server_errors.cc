#include "cli/server_errors.h"

#include "absl/strings/str_cat.h"
#include "common/schema/errors.h"

namespace ctlstore::cli {

absl::Status ExplainCallError(const absl::Status& status, absl::string_view server,
                              absl::string_view address, const rpc::ChannelOptions& channel) {
  if (ErrorReason(status) == reason::kNoRole) {
    return ErrorWithReason(
        status.code(), reason::kNoRole,
        absl::StrCat(status.message(), "; this program sends the token of --token_file or of the ",
                     "variable CTLSTORE_TOKEN, and shows the certificate of "
                     "--client_tls_cert_file"));
  }
  // What the server itself says has a reason.
  if (!absl::IsUnavailable(status) || ErrorReason(status).has_value()) return status;
  const absl::Status explained = rpc::ExplainConnectionError(status, address, channel);
  return absl::UnavailableError(
      absl::StrCat("no ", server, " can be reached at ", address, " (", explained.message(),
                   "); start one with ", "'ctlstore dev', or say with --", server, " where it is"));
}

}  // namespace ctlstore::cli
