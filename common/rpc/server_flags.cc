#include "common/rpc/server_flags.h"

#include <algorithm>
#include <cstdint>
#include <string>

#include "absl/flags/flag.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/rpc/listen_address.h"

ABSL_FLAG(std::string, listen, "",
          "Where to serve gRPC: \"host:port\" (port 0 for a free one) or \"unix:/absolute/path\", "
          "several separated by commas. Empty: the service's own port on loopback. Nothing is "
          "encrypted: listen beyond loopback only in a network that you trust.");
ABSL_FLAG(int, grpc_max_threads, ctlstore::rpc::ServerOptions().max_threads,
          "The most threads for calls. Each call under way takes one; calls beyond that are "
          "refused with RESOURCE_EXHAUSTED.");
ABSL_FLAG(int64_t, shutdown_grace_ms, 5000,
          "How long calls under way may take to end when the service is stopped, in milliseconds; "
          "then they are cancelled.");

namespace ctlstore::rpc {
namespace {

// gRPC itself needs a few threads that wait for calls.
constexpr int kMinThreads = 4;

}  // namespace

absl::StatusOr<ServerOptions> ServerOptionsFromFlags(absl::string_view default_listen) {
  const std::string flag = absl::GetFlag(FLAGS_listen);
  ServerOptions options;
  for (absl::string_view part :
       absl::StrSplit(flag.empty() ? default_listen : flag, ',', absl::SkipWhitespace())) {
    absl::StatusOr<ListenAddress> address = ParseListenAddress(absl::StripAsciiWhitespace(part));
    if (!address.ok()) {
      return absl::InvalidArgumentError(absl::StrCat("--listen: ", address.status().message()));
    }
    options.listen.push_back(address->ToString());
  }
  if (options.listen.empty()) return absl::InvalidArgumentError("--listen: has no address");
  options.max_threads = absl::GetFlag(FLAGS_grpc_max_threads);
  if (options.max_threads < kMinThreads) {
    return absl::InvalidArgumentError(absl::StrCat("--grpc_max_threads: must be at least ",
                                                   kMinThreads, ", is ", options.max_threads));
  }
  return options;
}

absl::Duration ShutdownGraceFromFlags() {
  return absl::Milliseconds(std::max<int64_t>(0, absl::GetFlag(FLAGS_shutdown_grace_ms)));
}

}  // namespace ctlstore::rpc
