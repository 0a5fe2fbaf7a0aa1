#include "common/rpc/http_errors.h"

#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/schema/errors.h"

namespace ctlstore::rpc {
namespace {

using Json = nlohmann::ordered_json;

HttpResponse JsonError(int http_status, Json error) {
  HttpResponse response;
  response.status = http_status;
  response.content_type = "application/json";
  // A message may quote what a caller sent, which may be no UTF-8.
  response.body =
      Json{{"error", std::move(error)}}.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  return response;
}

int ByReason(absl::string_view error_reason) {
  if (error_reason == reason::kTooLarge) return 413;
  if (error_reason == reason::kListTooLong) return 416;
  if (error_reason == reason::kTableFull) return 507;
  if (error_reason == reason::kQueueFull) return 503;
  if (error_reason == reason::kSnapshotExpired) return 503;
  if (error_reason == reason::kDestructiveDisabled) return 403;
  return 0;
}

int ByCode(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kOk:
      return 200;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kOutOfRange:
      return 400;
    case absl::StatusCode::kUnauthenticated:
      return 401;
    case absl::StatusCode::kPermissionDenied:
      return 403;
    case absl::StatusCode::kNotFound:
      return 404;
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kAborted:
      return 409;
    case absl::StatusCode::kResourceExhausted:
      return 429;
    case absl::StatusCode::kCancelled:
      return 499;
    case absl::StatusCode::kUnimplemented:
      return 501;
    case absl::StatusCode::kUnavailable:
      return 503;
    case absl::StatusCode::kDeadlineExceeded:
      return 504;
    default:
      return 500;
  }
}

}  // namespace

int HttpStatusOf(const absl::Status& status) {
  if (status.ok()) return 200;
  const absl::optional<std::string> error_reason = ErrorReason(status);
  const int by_reason = error_reason.has_value() ? ByReason(*error_reason) : 0;
  return by_reason != 0 ? by_reason : ByCode(status.code());
}

HttpResponse ErrorResponse(const absl::Status& status) {
  const absl::optional<std::string> error_reason = ErrorReason(status);
  Json error = Json::object();
  if (error_reason.has_value()) error["reason"] = *error_reason;
  error["message"] = std::string(status.message());
  if (const absl::optional<std::string> field = ErrorField(status)) error["field"] = *field;
  HttpResponse response = JsonError(HttpStatusOf(status), std::move(error));
  if (const absl::optional<absl::Duration> delay = RetryDelay(status)) {
    const int64_t seconds = absl::ToInt64Seconds(absl::Ceil(*delay, absl::Seconds(1)));
    response.headers.emplace_back("Retry-After", absl::StrCat(std::max<int64_t>(seconds, 0)));
  }
  if (error_reason == std::string(reason::kNoRole)) {
    response.headers.emplace_back("WWW-Authenticate", "Bearer");
  }
  return response;
}

HttpResponse ErrorResponse(int http_status, absl::string_view message) {
  return JsonError(http_status, Json{{"message", std::string(message)}});
}

}  // namespace ctlstore::rpc
