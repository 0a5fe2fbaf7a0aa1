// Errors of calls, for people at a command line.

#ifndef CTLSTORE_CLI_SERVER_ERRORS_H_
#define CTLSTORE_CLI_SERVER_ERRORS_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "common/rpc/client.h"

namespace ctlstore::cli {

// `status` of a call to `server` ("executive", "sidecar", which is also its flag's name) at
// `address` over a channel with the options; where it could not be reached, or no role was proven,
// the message says so and what to do.
absl::Status ExplainCallError(const absl::Status& status, absl::string_view server,
                              absl::string_view address, const rpc::ChannelOptions& channel);

}  // namespace ctlstore::cli

#endif  // CTLSTORE_CLI_SERVER_ERRORS_H_
