#include "common/ctldb/connection_errors.h"

#include "absl/time/time.h"
#include "common/schema/errors.h"

namespace ctlstore::ctldb {
namespace {

// The advice that callers get. A lock is soon free; a server takes a while to come back.
constexpr absl::Duration kBusyRetryDelay = absl::Milliseconds(100);
constexpr absl::Duration kUnavailableRetryDelay = absl::Seconds(1);

}  // namespace

absl::Status DatabaseUnavailable(absl::string_view message) {
  return WithRetryDelay(
      ErrorWithReason(absl::StatusCode::kUnavailable, reason::kCtldbUnavailable, message),
      kUnavailableRetryDelay);
}

absl::Status DatabaseBusy(absl::string_view message) {
  return WithRetryDelay(
      ErrorWithReason(absl::StatusCode::kUnavailable, reason::kCtldbBusy, message),
      kBusyRetryDelay);
}

absl::Status OutcomeUnknown(absl::string_view message) {
  return ErrorWithReason(absl::StatusCode::kUnavailable, reason::kOutcomeUnknown, message);
}

absl::Status TableMissing(absl::string_view message) {
  return ErrorWithReason(absl::StatusCode::kNotFound, reason::kTableNotFound, message);
}

bool IsDatabaseBusy(const absl::Status& status) {
  return ErrorReason(status) == reason::kCtldbBusy;
}

}  // namespace ctlstore::ctldb
