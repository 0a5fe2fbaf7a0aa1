// Whether a server may listen where it is told to.

#ifndef CTLSTORE_COMMON_RPC_EXPOSURE_H_
#define CTLSTORE_COMMON_RPC_EXPOSURE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace ctlstore::rpc {

// Whether only processes of this machine reach the address: "unix:/path", or "host:port" with
// localhost, an address of 127.0.0.0/8 or ::1. Any other host, and what is not an address, is not.
bool IsLocalAddress(absl::string_view address);

// Beyond this machine a server listens only with TLS, so that nobody reads along, and with roles,
// so that not everybody is admin; or where `insecure` says that neither is wanted.
struct Protection {
  bool tls = false;
  bool roles = false;
  bool insecure = false;
};

// FAILED_PRECONDITION where one of the addresses is beyond this machine and not protected; it says
// which, what is missing, and the flags to set. INVALID_ARGUMENT for what is not an address.
absl::Status CheckExposure(absl::Span<const std::string> listen, const Protection& protection);

}  // namespace ctlstore::rpc

#endif  // CTLSTORE_COMMON_RPC_EXPOSURE_H_
