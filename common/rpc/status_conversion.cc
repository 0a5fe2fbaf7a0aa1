#include "common/rpc/status_conversion.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/schema/errors.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace ctlstore::rpc {
namespace {

constexpr char kDomain[] = "ctlstore";

std::string MessageOf(const absl::Status& status) { return std::string(status.message()); }

// A message about a field begins with its path, which a field violation has beside it.
absl::string_view WithoutPath(absl::string_view message, absl::string_view path) {
  absl::string_view rest = message;
  if (absl::ConsumePrefix(&rest, path) && absl::ConsumePrefix(&rest, ": ")) return rest;
  return message;
}

}  // namespace

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  google::rpc::Status details;
  details.set_code(static_cast<int>(status.code()));
  details.set_message(MessageOf(status));
  if (const absl::optional<std::string> reason = ErrorReason(status)) {
    google::rpc::ErrorInfo info;
    info.set_reason(*reason);
    info.set_domain(kDomain);
    details.add_details()->PackFrom(info);
  }
  if (const absl::optional<std::string> field = ErrorField(status)) {
    google::rpc::BadRequest bad_request;
    google::rpc::BadRequest::FieldViolation* violation = bad_request.add_field_violations();
    violation->set_field(*field);
    violation->set_description(std::string(WithoutPath(status.message(), *field)));
    details.add_details()->PackFrom(bad_request);
  }
  if (const absl::optional<absl::Duration> delay = RetryDelay(status)) {
    google::rpc::RetryInfo retry;
    absl::Duration rest;
    retry.mutable_retry_delay()->set_seconds(absl::IDivDuration(*delay, absl::Seconds(1), &rest));
    retry.mutable_retry_delay()->set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(rest)));
    details.add_details()->PackFrom(retry);
  }
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), MessageOf(status),
                      details.details_size() == 0 ? "" : details.SerializeAsString());
}

absl::Status FromGrpcStatus(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  const absl::StatusCode code = static_cast<absl::StatusCode>(status.error_code());
  std::string reason;
  std::string field;
  absl::optional<absl::Duration> delay;
  google::rpc::Status details;
  if (details.ParseFromString(status.error_details())) {
    for (const google::protobuf::Any& detail : details.details()) {
      google::rpc::ErrorInfo info;
      google::rpc::BadRequest bad_request;
      google::rpc::RetryInfo retry;
      if (detail.UnpackTo(&info)) {
        if (info.domain() == kDomain) reason = info.reason();
      } else if (detail.UnpackTo(&bad_request)) {
        if (bad_request.field_violations_size() > 0)
          field = bad_request.field_violations(0).field();
      } else if (detail.UnpackTo(&retry)) {
        delay = absl::Seconds(retry.retry_delay().seconds()) +
                absl::Nanoseconds(retry.retry_delay().nanos());
      }
    }
  }
  absl::Status result;
  if (!field.empty() && code == absl::StatusCode::kInvalidArgument) {
    result = InvalidField(field, reason, WithoutPath(status.error_message(), field));
  } else if (!reason.empty()) {
    result = ErrorWithReason(code, reason, status.error_message());
  } else {
    result = absl::Status(code, status.error_message());
  }
  return delay.has_value() ? WithRetryDelay(result, *delay) : result;
}

}  // namespace ctlstore::rpc
