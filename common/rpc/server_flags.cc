#include "common/rpc/server_flags.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/rpc/listen_address.h"

ABSL_FLAG(std::string, listen, "",
          "Where to serve gRPC: \"host:port\" (port 0 for a free one) or \"unix:/absolute/path\", "
          "several separated by commas. Empty: the service's own port on loopback. Beyond loopback "
          "and Unix sockets it takes TLS and roles (--tls_cert_file, --admin_token_file, ...), or "
          "--insecure.");
ABSL_FLAG(std::string, tls_cert_file, "",
          "The server's certificate, and those between it and its authority, in PEM. Turns TLS on "
          "for all TCP addresses, not for Unix sockets. Read again when it changes.");
ABSL_FLAG(std::string, tls_key_file, "",
          "The private key of --tls_cert_file, in PEM, without a password. Read again when it "
          "changes.");
ABSL_FLAG(std::string, tls_client_ca_file, "",
          "The authorities of client certificates, in PEM: clients may show a certificate of one "
          "of these. Read again when it changes.");
ABSL_FLAG(bool, tls_require_client_cert, false,
          "Refuse clients that show no certificate of --tls_client_ca_file (mutual TLS).");
ABSL_FLAG(std::string, admin_token_file, "",
          "A file of bearer tokens, one a line, whose bearers have the role admin; admins may "
          "read as well. Read again when it changes. Where no token and no identity is set, "
          "everybody has every role.");
ABSL_FLAG(std::string, reader_token_file, "", "The same for the role reader.");
ABSL_FLAG(std::string, admin_identities, "",
          "Names in client certificates (common name, DNS or URI name) that have the role admin, "
          "separated by commas. Needs --tls_client_ca_file.");
ABSL_FLAG(std::string, reader_identities, "", "The same for the role reader.");
ABSL_FLAG(bool, insecure, false,
          "Listen beyond loopback also without TLS or without roles: everybody who reaches the "
          "address may then read along, or do everything.");
ABSL_FLAG(
    int, grpc_max_threads, ctlstore::rpc::ServerOptions().max_threads,
    "The most threads that gRPC may have for calls that keep one while they are under way, as "
    "reflection does; more of them are refused with RESOURCE_EXHAUSTED. All other calls "
    "share a few threads, by the number of cores.");
ABSL_FLAG(int64_t, shutdown_grace_ms, 5000,
          "How long calls under way may take to end when the service is stopped, in milliseconds; "
          "then they are cancelled.");

namespace ctlstore::rpc {
namespace {

// gRPC itself needs a few threads that wait for calls.
constexpr int kMinThreads = 4;

std::vector<std::string> SplitList(const std::string& flag) {
  std::vector<std::string> parts;
  for (absl::string_view part : absl::StrSplit(flag, ',', absl::SkipWhitespace())) {
    parts.emplace_back(absl::StripAsciiWhitespace(part));
  }
  return parts;
}

}  // namespace

AccessOptions AccessOptionsFromFlags() {
  AccessOptions options;
  options.admin_token_file = absl::GetFlag(FLAGS_admin_token_file);
  options.reader_token_file = absl::GetFlag(FLAGS_reader_token_file);
  options.admin_identities = SplitList(absl::GetFlag(FLAGS_admin_identities));
  options.reader_identities = SplitList(absl::GetFlag(FLAGS_reader_identities));
  return options;
}

absl::StatusOr<ServerOptions> ServerOptionsWithoutListenFromFlags() {
  ServerOptions options;
  options.max_threads = absl::GetFlag(FLAGS_grpc_max_threads);
  if (options.max_threads < kMinThreads) {
    return absl::InvalidArgumentError(absl::StrCat("--grpc_max_threads: must be at least ",
                                                   kMinThreads, ", is ", options.max_threads));
  }
  options.tls.cert_file = absl::GetFlag(FLAGS_tls_cert_file);
  options.tls.key_file = absl::GetFlag(FLAGS_tls_key_file);
  options.tls.client_ca_file = absl::GetFlag(FLAGS_tls_client_ca_file);
  options.tls.require_client_cert = absl::GetFlag(FLAGS_tls_require_client_cert);
  options.access = AccessOptionsFromFlags();
  options.insecure = absl::GetFlag(FLAGS_insecure);
  return options;
}

absl::StatusOr<ServerOptions> ServerOptionsFromFlags(absl::string_view default_listen) {
  absl::StatusOr<ServerOptions> options = ServerOptionsWithoutListenFromFlags();
  if (!options.ok()) return options.status();
  const std::string flag = absl::GetFlag(FLAGS_listen);
  for (absl::string_view part :
       absl::StrSplit(flag.empty() ? default_listen : flag, ',', absl::SkipWhitespace())) {
    absl::StatusOr<ListenAddress> address = ParseListenAddress(absl::StripAsciiWhitespace(part));
    if (!address.ok()) {
      return absl::InvalidArgumentError(absl::StrCat("--listen: ", address.status().message()));
    }
    options->listen.push_back(address->ToString());
  }
  if (options->listen.empty()) return absl::InvalidArgumentError("--listen: has no address");
  absl::Status usable = CheckServerOptions(*options);
  if (!usable.ok()) return usable;
  return options;
}

absl::Duration ShutdownGraceFromFlags() {
  return absl::Milliseconds(std::max<int64_t>(0, absl::GetFlag(FLAGS_shutdown_grace_ms)));
}

}  // namespace ctlstore::rpc
