#include "cli/exit_status.h"

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/schema/errors.h"

namespace ctlstore::cli {
namespace {

constexpr char kUsagePayload[] = "ctlstore.cli/usage";

}  // namespace

std::string DescribeExitStatuses() {
  return "  0  done\n"
         "  1  failed: the server, the disk or the network\n"
         "  2  wrong usage: a flag or an argument\n"
         "  3  not found: the row, table, family, writer, limit or file\n"
         "  4  refused: the input, the credentials or what a limit forbids\n"
         "  5  unavailable: the server cannot be reached or asks to come back later\n"
         "  6  differs: what was compared is not the same\n";
}

absl::Status UsageError(absl::string_view message) {
  absl::Status status = absl::InvalidArgumentError(message);
  status.SetPayload(kUsagePayload, absl::Cord());
  return status;
}

bool IsUsageError(const absl::Status& status) {
  return status.GetPayload(kUsagePayload).has_value();
}

int ExitStatusFor(const absl::Status& status) {
  if (IsUsageError(status)) return kExitUsage;
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return kExitOk;
    case absl::StatusCode::kNotFound:
      return kExitNotFound;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kFailedPrecondition:
      return kExitRefused;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
      return kExitUnavailable;
    case absl::StatusCode::kResourceExhausted:
      return RetryDelay(status).has_value() ? kExitUnavailable : kExitRefused;
    default:
      return kExitFailed;
  }
}

std::string DescribeError(const absl::Status& status) {
  std::string text = absl::StrCat("ctlstore: ", status.message(), "\n");
  if (status.message().empty()) {
    text = absl::StrCat("ctlstore: ", absl::StatusCodeToString(status.code()), "\n");
  }
  const absl::optional<std::string> field = ErrorField(status);
  if (field.has_value()) absl::StrAppend(&text, "  field: ", *field, "\n");
  const absl::optional<std::string> error_reason = ErrorReason(status);
  if (error_reason.has_value()) absl::StrAppend(&text, "  reason: ", *error_reason, "\n");
  const absl::optional<absl::Duration> delay = RetryDelay(status);
  if (delay.has_value()) {
    absl::StrAppend(&text, "  try again in: ", absl::FormatDuration(*delay), "\n");
  }
  return text;
}

}  // namespace ctlstore::cli
