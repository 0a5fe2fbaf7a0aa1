#include "common/ctldb/target.h"

#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace ctlstore::ctldb {
namespace {

constexpr uint16_t kDefaultPort = 3306;
constexpr char kForms[] =
    "; a ctldb is sqlite:///absolute/path, or mysql://user@host:port/database with an optional "
    "?socket=/path";

// The URL itself is never repeated: a mistyped one may hold a password where none is expected.
absl::Status Invalid(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("the ctldb's URL ", what, kForms));
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

absl::StatusOr<std::string> PercentDecoded(absl::string_view text) {
  std::string result;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      result.push_back(text[i]);
      continue;
    }
    const int high = i + 2 < text.size() ? HexDigit(text[i + 1]) : -1;
    const int low = i + 2 < text.size() ? HexDigit(text[i + 2]) : -1;
    if (high < 0 || low < 0 || (high == 0 && low == 0)) {
      return Invalid("holds a % that is not followed by two hexadecimal digits");
    }
    result.push_back(static_cast<char>(high * 16 + low));
    i += 2;
  }
  return result;
}

std::string PercentEncoded(absl::string_view text) {
  constexpr absl::string_view kPlain = "-._~/";
  constexpr char kHex[] = "0123456789ABCDEF";
  std::string result;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (absl::ascii_isalnum(byte) || kPlain.find(c) != absl::string_view::npos) {
      result.push_back(c);
    } else {
      result.append({'%', kHex[byte >> 4], kHex[byte & 15]});
    }
  }
  return result;
}

absl::StatusOr<Target> ParseSqlite(absl::string_view rest) {
  Target target;
  target.kind = Target::Kind::kSqlite;
  if (absl::ConsumePrefix(&rest, "//")) {
    if (!absl::StartsWith(rest, "/")) {
      return Invalid("has a host behind sqlite://; a relative path is written sqlite:path");
    }
  }
  if (rest.empty() || absl::EndsWith(rest, "/")) return Invalid("names no file");
  target.path = std::string(rest);
  return target;
}

absl::Status ParseHostAndPort(absl::string_view text, Target* target) {
  absl::string_view port;
  bool has_port = false;
  if (absl::ConsumePrefix(&text, "[")) {
    // An IPv6 address.
    const size_t end = text.find(']');
    if (end == absl::string_view::npos) return Invalid("has a [ without a ] in its host");
    target->host = std::string(text.substr(0, end));
    port = text.substr(end + 1);
    has_port = absl::ConsumePrefix(&port, ":");
    if (!has_port && !port.empty()) return Invalid("has something other than a port behind ]");
  } else {
    const size_t colon = text.find(':');
    has_port = colon != absl::string_view::npos;
    target->host = std::string(text.substr(0, colon));
    if (has_port) port = text.substr(colon + 1);
  }
  if (!has_port) return absl::OkStatus();
  uint32_t number = 0;
  if (!absl::SimpleAtoi(port, &number) || number == 0 || number > 65535) {
    return Invalid("has a port that is not a number from 1 to 65535");
  }
  target->port = static_cast<uint16_t>(number);
  return absl::OkStatus();
}

absl::StatusOr<Target> ParseMysql(absl::string_view rest) {
  Target target;
  target.kind = Target::Kind::kMariadb;
  target.port = kDefaultPort;

  absl::string_view query;
  const size_t question_mark = rest.find('?');
  if (question_mark != absl::string_view::npos) {
    query = rest.substr(question_mark + 1);
    rest = rest.substr(0, question_mark);
  }
  // A password may hold any of the other separators, so it is looked for before they are.
  const size_t at = rest.rfind('@');
  const absl::string_view user = at == absl::string_view::npos ? "" : rest.substr(0, at);
  if (absl::StrContains(user, ':')) {
    return Invalid(
        "must not hold a password; put it into the file that --ctldb_password_file names, or into "
        "the environment variable CTLSTORE_CTLDB_PASSWORD");
  }
  if (user.empty()) return Invalid("names no user");
  if (absl::StrContains(user, '/')) return Invalid("has a / in its user; write %2F");
  rest.remove_prefix(at + 1);

  absl::StatusOr<std::string> decoded_user = PercentDecoded(user);
  if (!decoded_user.ok()) return decoded_user.status();
  target.user = *std::move(decoded_user);

  const size_t slash = rest.find('/');
  const absl::string_view database = slash == absl::string_view::npos ? "" : rest.substr(slash + 1);
  if (database.empty()) return Invalid("names no database");
  if (absl::StrContains(database, '/')) return Invalid("has a / in its database; write %2F");
  absl::StatusOr<std::string> decoded_database = PercentDecoded(database);
  if (!decoded_database.ok()) return decoded_database.status();
  target.database = *std::move(decoded_database);

  absl::Status host = ParseHostAndPort(rest.substr(0, slash), &target);
  if (!host.ok()) return host;

  for (absl::string_view parameter : absl::StrSplit(query, '&', absl::SkipEmpty())) {
    if (!absl::ConsumePrefix(&parameter, "socket=")) {
      return Invalid("has a parameter other than socket; there are flags for everything else");
    }
    absl::StatusOr<std::string> socket = PercentDecoded(parameter);
    if (!socket.ok()) return socket.status();
    if (!absl::StartsWith(*socket, "/")) return Invalid("has a socket without an absolute path");
    target.socket = *std::move(socket);
  }
  if (target.host.empty() && target.socket.empty()) return Invalid("names no host");
  return target;
}

}  // namespace

std::string Target::ToString() const {
  if (kind == Kind::kSqlite) {
    return absl::StrCat(absl::StartsWith(path, "/") ? "sqlite://" : "sqlite:", path);
  }
  std::string url = absl::StrCat("mysql://", PercentEncoded(user), "@");
  if (socket.empty()) {
    const bool ipv6 = absl::StrContains(host, ':');
    absl::StrAppend(&url, ipv6 ? "[" : "", host, ipv6 ? "]" : "", ":", port);
  } else {
    absl::StrAppend(&url, "localhost");
  }
  absl::StrAppend(&url, "/", PercentEncoded(database));
  if (!socket.empty()) absl::StrAppend(&url, "?socket=", PercentEncoded(socket));
  return url;
}

absl::StatusOr<Target> ParseTarget(absl::string_view url) {
  if (url.empty()) return Invalid("is empty");
  if (absl::StrContains(url, absl::string_view("\0", 1))) return Invalid("holds a NUL");
  if (absl::ConsumePrefix(&url, "sqlite:")) return ParseSqlite(url);
  if (absl::ConsumePrefix(&url, "mysql://")) return ParseMysql(url);
  return Invalid("begins with neither sqlite: nor mysql://");
}

}  // namespace ctlstore::ctldb
