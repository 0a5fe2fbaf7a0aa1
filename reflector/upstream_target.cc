#include "reflector/upstream_target.h"

#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/rpc/listen_address.h"

namespace ctlstore::reflector {
namespace {

constexpr char kGrpc[] = "grpc:";

// The URL itself is never repeated: a mistyped one may hold a secret.
absl::Status Invalid(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("the executive's URL ", what,
                                                 "; it is grpc://host:port or "
                                                 "grpc:unix:/absolute/path"));
}

bool IsHost(absl::string_view host) {
  return absl::c_all_of(host, [](unsigned char c) {
    return absl::ascii_isalnum(c) || absl::StrContains("-._:[]%", static_cast<char>(c));
  });
}

absl::StatusOr<UpstreamTarget> ParseStream(absl::string_view rest) {
  const bool is_unix = absl::StartsWith(rest, "unix:");
  if (!is_unix && !absl::ConsumePrefix(&rest, "//")) return Invalid("has no // behind grpc:");
  if (!is_unix && absl::StrContains(rest, '@')) {
    return Invalid(
        "must not hold credentials: a token comes from the file that --token_file names, or from "
        "the environment variable CTLSTORE_TOKEN");
  }
  absl::StatusOr<rpc::ListenAddress> address = rpc::ParseListenAddress(rest);
  if (!address.ok()) return Invalid(is_unix ? "has no usable path" : "has no host and port");
  if (!is_unix && (address->port == 0 || !IsHost(address->host))) {
    return Invalid("has a host or a port that is none");
  }
  UpstreamTarget target;
  target.stream_address = address->ToString();
  return target;
}

}  // namespace

std::string UpstreamTarget::ToString() const {
  if (!is_stream()) return ctldb.ToString();
  return absl::StrCat(kGrpc, absl::StartsWith(stream_address, "unix:") ? "" : "//", stream_address);
}

absl::StatusOr<UpstreamTarget> ParseUpstreamTarget(absl::string_view url) {
  absl::string_view rest = url;
  if (absl::ConsumePrefix(&rest, kGrpc)) return ParseStream(rest);
  absl::StatusOr<ctldb::Target> ctldb = ctldb::ParseTarget(url);
  if (!ctldb.ok()) return ctldb.status();
  UpstreamTarget target;
  target.ctldb = *std::move(ctldb);
  return target;
}

absl::StatusOr<std::vector<UpstreamTarget>> ParseUpstreamTargets(absl::string_view urls) {
  std::vector<UpstreamTarget> targets;
  if (absl::StripAsciiWhitespace(urls).empty()) return targets;
  for (const absl::string_view url : absl::StrSplit(urls, ',')) {
    const auto invalid = [&targets](absl::string_view message) {
      return absl::InvalidArgumentError(
          absl::StrCat("upstream ", targets.size() + 1, ": ", message));
    };
    absl::StatusOr<UpstreamTarget> target = ParseUpstreamTarget(absl::StripAsciiWhitespace(url));
    if (!target.ok()) return invalid(target.status().message());
    for (const UpstreamTarget& earlier : targets) {
      if (earlier.ToString() == target->ToString()) return invalid("is there twice");
    }
    targets.push_back(*std::move(target));
  }
  return targets;
}

}  // namespace ctlstore::reflector
