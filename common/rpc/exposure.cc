#include "common/rpc/exposure.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/rpc/listen_address.h"

namespace ctlstore::rpc {
namespace {

constexpr uint32_t kLoopbackNet = 127;

bool IsLoopback(const in_addr& address) { return ntohl(address.s_addr) >> 24 == kLoopbackNet; }

bool IsLoopbackHost(absl::string_view host) {
  if (absl::EqualsIgnoreCase(host, "localhost")) return true;
  if (absl::ConsumePrefix(&host, "[")) absl::ConsumeSuffix(&host, "]");
  const std::string text(host);
  in_addr v4 = {};
  if (inet_pton(AF_INET, text.c_str(), &v4) == 1) return IsLoopback(v4);
  in6_addr v6 = {};
  if (inet_pton(AF_INET6, text.c_str(), &v6) != 1) return false;
  if (!IN6_IS_ADDR_V4MAPPED(&v6)) return IN6_IS_ADDR_LOOPBACK(&v6);
  v4.s_addr = v6.s6_addr32[3];
  return IsLoopback(v4);
}

bool IsLocal(const ListenAddress& address) {
  return address.is_unix() || IsLoopbackHost(address.host);
}

}  // namespace

bool IsLocalAddress(absl::string_view address) {
  const absl::StatusOr<ListenAddress> parsed = ParseListenAddress(address);
  return parsed.ok() && IsLocal(*parsed);
}

absl::Status CheckExposure(absl::Span<const std::string> listen, const Protection& protection) {
  if (protection.insecure || (protection.tls && protection.roles)) return absl::OkStatus();
  constexpr char kTlsFlags[] = "--tls_cert_file and --tls_key_file";
  constexpr char kRoleFlags[] =
      "--admin_token_file or --reader_token_file (or --tls_client_ca_file with --admin_identities "
      "or --reader_identities)";
  for (const std::string& address : listen) {
    const absl::StatusOr<ListenAddress> parsed = ParseListenAddress(address);
    if (!parsed.ok()) return parsed.status();
    if (IsLocal(*parsed)) continue;
    std::string missing;
    std::string set;
    if (!protection.tls) {
      missing = "TLS";
      set = kTlsFlags;
    }
    if (!protection.roles) {
      absl::StrAppend(&missing, missing.empty() ? "" : " and without ", "roles");
      absl::StrAppend(&set, set.empty() ? "" : ", and ", kRoleFlags);
    }
    return absl::FailedPreconditionError(absl::StrCat(
        "the address ", address, " can be reached from other hosts, and the server is without ",
        missing, ": set ", set,
        "; or listen on loopback or a Unix socket only; or, where everybody "
        "who reaches the address may do everything, set --insecure"));
  }
  return absl::OkStatus();
}

}  // namespace ctlstore::rpc
