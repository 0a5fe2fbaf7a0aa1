#include "common/schema/errors.h"

#include <cstdint>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace ctlstore {
namespace {

constexpr char kReasonPayload[] = "ctlstore/reason";
constexpr char kFieldPayload[] = "ctlstore/field";
constexpr char kRetryDelayPayload[] = "ctlstore/retry_delay_ms";

absl::optional<std::string> Payload(const absl::Status& status, absl::string_view url) {
  absl::optional<absl::Cord> payload = status.GetPayload(url);
  if (!payload.has_value()) return absl::nullopt;
  return std::string(*payload);
}

}  // namespace

absl::Status InvalidField(absl::string_view field, absl::string_view error_reason,
                          absl::string_view message) {
  absl::Status status = absl::InvalidArgumentError(absl::StrCat(field, ": ", message));
  status.SetPayload(kReasonPayload, absl::Cord(error_reason));
  status.SetPayload(kFieldPayload, absl::Cord(field));
  return status;
}

absl::Status ErrorWithReason(absl::StatusCode code, absl::string_view error_reason,
                             absl::string_view message) {
  absl::Status status(code, message);
  status.SetPayload(kReasonPayload, absl::Cord(error_reason));
  return status;
}

absl::Status UnderField(absl::string_view prefix, const absl::Status& status) {
  absl::optional<std::string> field = ErrorField(status);
  if (!field.has_value()) return status;
  absl::Status result(status.code(), absl::StrCat(prefix, status.message()));
  status.ForEachPayload([&result](absl::string_view url, const absl::Cord& payload) {
    result.SetPayload(url, payload);
  });
  result.SetPayload(kFieldPayload, absl::Cord(absl::StrCat(prefix, *field)));
  return result;
}

absl::Status WithRetryDelay(absl::Status status, absl::Duration delay) {
  status.SetPayload(kRetryDelayPayload, absl::Cord(absl::StrCat(absl::ToInt64Milliseconds(delay))));
  return status;
}

absl::optional<std::string> ErrorReason(const absl::Status& status) {
  return Payload(status, kReasonPayload);
}

bool HasReason(const absl::Status& status, absl::string_view error_reason) {
  const absl::optional<std::string> found = ErrorReason(status);
  return found.has_value() && *found == error_reason;
}

absl::optional<std::string> ErrorField(const absl::Status& status) {
  return Payload(status, kFieldPayload);
}

absl::optional<absl::Duration> RetryDelay(const absl::Status& status) {
  absl::optional<std::string> payload = Payload(status, kRetryDelayPayload);
  int64_t milliseconds = 0;
  if (!payload.has_value() || !absl::SimpleAtoi(*payload, &milliseconds)) return absl::nullopt;
  return absl::Milliseconds(milliseconds);
}

}  // namespace ctlstore
