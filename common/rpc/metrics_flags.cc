#include "common/rpc/metrics_flags.h"

#include <string>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/rpc/listen_address.h"

ABSL_FLAG(int, metrics_port, -1,
          "Where to serve metrics and health by HTTP (/metrics, /livez, /readyz). 0: a free port, "
          "which the log tells. -1: not at all.");
ABSL_FLAG(std::string, metrics_host, "127.0.0.1",
          "The address on which --metrics_port is served; 0.0.0.0 or [::] for all, so that a "
          "Prometheus on another machine can reach it. Whoever reaches it may read it: it shows no "
          "data, but the names of tables, and sizes and rates.");

namespace ctlstore::rpc {
namespace {

constexpr int kNone = -1;
constexpr int kMaxPort = 65535;
// Requests here have no bodies, and few ask.
constexpr size_t kMaxBodyBytes = 1024;
constexpr size_t kMaxConnections = 64;

}  // namespace

absl::StatusOr<absl::optional<HttpServer::Options>> MetricsOptionsFromFlags() {
  const int port = absl::GetFlag(FLAGS_metrics_port);
  if (port == kNone) return absl::optional<HttpServer::Options>();
  if (port < 0 || port > kMaxPort) {
    return absl::InvalidArgumentError(absl::StrCat("--metrics_port: must be from 0 to ", kMaxPort,
                                                   ", or -1 for no metrics, is ", port));
  }
  const absl::StatusOr<ListenAddress> address =
      ParseListenAddress(absl::StrCat(absl::GetFlag(FLAGS_metrics_host), ":", port));
  if (!address.ok() || address->is_unix()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--metrics_host: has to be a name or an address (IPv6 in brackets), is \"",
                     absl::GetFlag(FLAGS_metrics_host), "\""));
  }
  HttpServer::Options options;
  options.listen = address->ToString();
  options.max_body_bytes = kMaxBodyBytes;
  options.max_total_body_bytes = kMaxBodyBytes * kMaxConnections;
  options.max_connections = kMaxConnections;
  return absl::make_optional(options);
}

}  // namespace ctlstore::rpc
