#include "common/object_store/store_url.h"

#include <algorithm>
#include <cstddef>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/types/optional.h"
#include "common/schema/utf8.h"

namespace ctlstore::object_store {
namespace {

constexpr size_t kMaxUrlBytes = 4096;
// S3's limits.
constexpr size_t kMinBucketBytes = 3;
constexpr size_t kMaxBucketBytes = 63;

constexpr char kForms[] =
    "must be \"file:///absolute/path\", \"s3://bucket/prefix\", \"http://host:port/path\" or "
    "\"https://host:port/path\"";

// Separate the parts of a URL, or several URLs, so they are encoded in paths.
constexpr char kEncoded[] = "%?#,";

bool IsHostCharacter(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '-' || c == '_';
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = absl::ascii_tolower(static_cast<unsigned char>(c));
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

// nullopt where a '%' is not followed by two hex digits.
absl::optional<std::string> Decode(absl::string_view text) {
  std::string decoded;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      decoded.push_back(text[i]);
      continue;
    }
    if (text.size() - i < 3) return absl::nullopt;
    const int high = HexDigit(text[i + 1]);
    const int low = HexDigit(text[i + 2]);
    if (high < 0 || low < 0) return absl::nullopt;
    decoded.push_back(static_cast<char>(high << 4 | low));
    i += 2;
  }
  return decoded;
}

// The path between its first and its last '/', which are left out.
absl::StatusOr<std::string> ParsePath(StoreUrl::Kind kind, absl::string_view path) {
  while (absl::EndsWith(path, "/")) path.remove_suffix(1);
  absl::ConsumePrefix(&path, "/");
  if (path.empty()) return std::string();
  std::vector<std::string> parts;
  for (const absl::string_view encoded : absl::StrSplit(path, '/')) {
    // To a file system "a//b" is "a/b"; elsewhere it is another name.
    if (encoded.empty() && kind == StoreUrl::Kind::kFile) continue;
    absl::optional<std::string> part = Decode(encoded);
    if (!part.has_value()) {
      return absl::InvalidArgumentError(
          "has a '%' in its path that two hex digits do not follow (a '%' itself is \"%25\")");
    }
    if (part->empty() || *part == "." || *part == ".." || absl::StrContains(*part, '/')) {
      return absl::InvalidArgumentError(
          "must not have a part in its path that is empty, \".\" or \"..\", or has a '/'");
    }
    if (!IsTextWithoutNul(*part) || std::any_of(part->begin(), part->end(), [](unsigned char c) {
          return absl::ascii_iscntrl(c);
        })) {
      return absl::InvalidArgumentError("must be UTF-8 without control characters");
    }
    parts.push_back(*std::move(part));
  }
  return absl::StrJoin(parts, "/");
}

absl::Status CheckBucket(absl::string_view bucket) {
  if (bucket.size() < kMinBucketBytes || bucket.size() > kMaxBucketBytes) {
    return absl::InvalidArgumentError(absl::StrCat("must name a bucket of ", kMinBucketBytes,
                                                   " to ", kMaxBucketBytes, " characters, has ",
                                                   bucket.size()));
  }
  if (!std::all_of(bucket.begin(), bucket.end(), IsHostCharacter) ||
      !absl::ascii_isalnum(static_cast<unsigned char>(bucket[0]))) {
    return absl::InvalidArgumentError(
        "must name a bucket of letters, digits, '.', '-' and '_', which begins with a letter or a "
        "digit");
  }
  return absl::OkStatus();
}

// "host", "host:port", "[::1]:port".
absl::Status CheckHost(absl::string_view authority) {
  const absl::Status wrong =
      absl::InvalidArgumentError("must have a host and, where there is one, a port of 1 to 65535");
  absl::string_view host = authority;
  absl::string_view port;
  bool has_port = false;
  if (absl::StartsWith(authority, "[")) {
    const size_t end = authority.find(']');
    if (end == absl::string_view::npos) return wrong;
    host = authority.substr(1, end - 1);
    port = authority.substr(end + 1);
    has_port = absl::ConsumePrefix(&port, ":");
    if (!has_port && !port.empty()) return wrong;
    if (host.empty() || !std::all_of(host.begin(), host.end(), [](char c) {
          return HexDigit(c) >= 0 || c == ':' || c == '.';
        })) {
      return wrong;
    }
  } else {
    const size_t colon = authority.find(':');
    if (colon != absl::string_view::npos) {
      has_port = true;
      host = authority.substr(0, colon);
      port = authority.substr(colon + 1);
    }
    if (host.empty() || !std::all_of(host.begin(), host.end(), IsHostCharacter)) return wrong;
  }
  int number = 0;
  if (has_port && (!std::all_of(port.begin(), port.end(), absl::ascii_isdigit) ||
                   !absl::SimpleAtoi(port, &number) || number < 1 || number > 65535)) {
    return wrong;
  }
  return absl::OkStatus();
}

absl::StatusOr<StoreUrl> Parse(absl::string_view text) {
  if (text.size() > kMaxUrlBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("must have at most ", kMaxUrlBytes, " bytes, has ", text.size()));
  }
  const size_t scheme_end = text.find("://");
  if (scheme_end == absl::string_view::npos) return absl::InvalidArgumentError(kForms);
  const std::string scheme = absl::AsciiStrToLower(text.substr(0, scheme_end));
  absl::string_view rest = text.substr(scheme_end + 3);
  const absl::string_view authority = rest.substr(0, rest.find_first_of("/?#"));
  rest.remove_prefix(authority.size());
  if (absl::StrContains(authority, '@')) {
    return absl::InvalidArgumentError(
        "must not have credentials in it: they belong in the environment or in a file");
  }
  if (rest.find_first_of("?#") != absl::string_view::npos) {
    return absl::InvalidArgumentError(
        "must not have a '?' or a '#' in it (in a path they are \"%3F\" and \"%23\")");
  }

  StoreUrl url;
  absl::Status status;
  if (scheme == "file") {
    url.kind = StoreUrl::Kind::kFile;
    if (!authority.empty() || rest.empty()) {
      status = absl::InvalidArgumentError(
          "must have three slashes and an absolute path: \"file:///absolute/path\"");
    }
  } else if (scheme == "s3") {
    url.kind = StoreUrl::Kind::kS3;
    url.authority = std::string(authority);
    status = CheckBucket(authority);
  } else if (scheme == "http" || scheme == "https") {
    url.kind = StoreUrl::Kind::kHttp;
    url.authority = absl::StrCat(scheme, "://", authority);
    status = CheckHost(authority);
  } else {
    status = absl::InvalidArgumentError(kForms);
  }
  if (!status.ok()) return status;
  absl::StatusOr<std::string> path = ParsePath(url.kind, rest);
  if (!path.ok()) return path.status();
  url.path = url.kind == StoreUrl::Kind::kFile ? absl::StrCat("/", *path) : *std::move(path);
  return url;
}

}  // namespace

std::string StoreUrl::ToString() const {
  std::string text;
  switch (kind) {
    case Kind::kFile:
      text = "file://";
      break;
    case Kind::kS3:
      text = absl::StrCat("s3://", authority, path.empty() ? "" : "/");
      break;
    case Kind::kHttp:
      text = absl::StrCat(authority, path.empty() ? "" : "/");
      break;
  }
  for (const char c : path) {
    if (absl::StrContains(kEncoded, c)) {
      absl::StrAppend(&text, "%", absl::Hex(static_cast<unsigned char>(c), absl::kZeroPad2));
    } else {
      text.push_back(c);
    }
  }
  return text;
}

absl::StatusOr<StoreUrl> ParseStoreUrl(absl::string_view url) {
  absl::StatusOr<StoreUrl> parsed = Parse(url);
  // The URL is not repeated: it may have a secret in it, at a place where none belongs.
  if (!parsed.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the URL of an object store ", parsed.status().message()));
  }
  return parsed;
}

}  // namespace ctlstore::object_store
