#include "common/rpc/http_flags.h"

#include <string>

#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "common/rpc/listen_address.h"

ABSL_FLAG(absl::optional<int>, http_port, absl::nullopt,
          "The port of the HTTP API, on the host of the first address of --listen (loopback where "
          "that is a Unix socket). 0: a free one; -1: none. By default 3080 for an executive and "
          "1380 for a sidecar.");

namespace ctlstore::rpc {
namespace {

constexpr int kNone = -1;
constexpr int kMaxPort = 65535;

}  // namespace

absl::StatusOr<absl::optional<HttpServer::Options>> HttpOptionsFromPort(
    absl::string_view flag, int port, const ServerOptions& server) {
  if (port == kNone) return absl::optional<HttpServer::Options>();
  if (port < kNone || port > kMaxPort) {
    return absl::InvalidArgumentError(
        absl::StrCat("--", flag, ": must be a port, 0 for a free one, or -1 for none; is ", port));
  }
  ListenAddress address;
  address.host = "127.0.0.1";
  for (const std::string& text : server.listen) {
    absl::StatusOr<ListenAddress> listen = ParseListenAddress(text);
    if (!listen.ok()) return listen.status();
    if (listen->is_unix()) continue;
    address = *std::move(listen);
    break;
  }
  address.port = static_cast<uint16_t>(port);
  HttpServer::Options options;
  options.listen = address.ToString();
  options.tls = server.tls;
  return absl::make_optional(std::move(options));
}

absl::StatusOr<absl::optional<HttpServer::Options>> HttpOptionsFromFlags(
    int default_port, const ServerOptions& server) {
  return HttpOptionsFromPort("http_port", absl::GetFlag(FLAGS_http_port).value_or(default_port),
                             server);
}

}  // namespace ctlstore::rpc
