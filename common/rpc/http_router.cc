#include "common/rpc/http_router.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/rpc/http_errors.h"

namespace ctlstore::rpc {
namespace {

bool IsName(absl::string_view segment) { return absl::StartsWith(segment, "{"); }

// curl calls every body a form unless told otherwise, so that is no reason to refuse one.
bool MayBeJson(const HttpRequest& request) {
  const absl::optional<absl::string_view> header = request.header("content-type");
  if (!header.has_value()) return true;
  const absl::string_view type = absl::StripAsciiWhitespace(header->substr(0, header->find(';')));
  return type.empty() || absl::EqualsIgnoreCase(type, "application/json") ||
         absl::EqualsIgnoreCase(type, "text/json") || absl::EndsWithIgnoreCase(type, "+json") ||
         absl::EqualsIgnoreCase(type, "application/x-www-form-urlencoded");
}

HttpRouter::Match Refused(size_t route, absl::StatusCode code, HttpResponse response) {
  HttpRouter::Match match;
  match.route = route;
  match.code = code;
  match.refusal = std::move(response);
  return match;
}

}  // namespace

HttpRouter::HttpRouter(absl::Span<const HttpRoute> routes) {
  routes_.reserve(routes.size());
  for (const HttpRoute& route : routes) {
    routes_.push_back({route, absl::StrSplit(route.path.substr(1), '/'),
                       absl::StrCat(route.method, " ", route.path)});
  }
}

bool HttpRouter::Matches(const Known& known, const std::vector<std::string>& segments) {
  if (known.segments.size() != segments.size()) return false;
  for (size_t i = 0; i < segments.size(); ++i) {
    if (!IsName(known.segments[i]) && known.segments[i] != segments[i]) return false;
  }
  return true;
}

HttpRouter::Match HttpRouter::Find(const HttpRequest& request) const {
  absl::optional<std::vector<std::string>> segments = PathSegments(request.path());
  if (!segments.has_value()) {
    return Refused(kNone, absl::StatusCode::kInvalidArgument,
                   ErrorResponse(400, "the path has malformed percent-encoding"));
  }
  const absl::string_view method = request.method() == "HEAD" ? "GET" : request.method();
  std::vector<absl::string_view> allowed;
  for (size_t r = 0; r < routes_.size(); ++r) {
    const Known& known = routes_[r];
    if (!Matches(known, *segments)) continue;
    if (known.route.method != method) {
      allowed.push_back(known.route.method);
      if (known.route.method == "GET") allowed.push_back("HEAD");
      continue;
    }
    if (known.route.json && !MayBeJson(request)) {
      return Refused(r, absl::StatusCode::kInvalidArgument,
                     ErrorResponse(415, "the body has to be of the type application/json"));
    }
    Match match;
    match.route = r;
    for (size_t i = 0; i < segments->size(); ++i) {
      if (IsName(known.segments[i])) match.names.push_back(std::move((*segments)[i]));
    }
    return match;
  }
  if (allowed.empty()) {
    return Refused(kNone, absl::StatusCode::kNotFound,
                   ErrorResponse(404, "there is nothing at this path"));
  }
  const std::string methods = absl::StrJoin(allowed, ", ");
  HttpResponse response = ErrorResponse(405, absl::StrCat("this path takes the methods ", methods));
  response.headers.emplace_back("Allow", methods);
  return Refused(kNone, absl::StatusCode::kUnimplemented, std::move(response));
}

absl::string_view HttpRouter::name(size_t route) const {
  return route == kNone ? absl::string_view("other") : absl::string_view(routes_[route].name);
}

}  // namespace ctlstore::rpc
