#include "executive/retries.h"

#include "absl/time/clock.h"
#include "common/schema/errors.h"

namespace ctlstore::executive {
namespace {

// What callers are advised to wait.
constexpr absl::Duration kBusyDelay = absl::Milliseconds(200);
constexpr absl::Duration kUnavailableDelay = absl::Seconds(1);

}  // namespace

bool MayRetry(const absl::Status& status) {
  return HasReason(status, reason::kCtldbBusy) || HasReason(status, reason::kCtldbUnavailable);
}

bool MayBeStaleTable(const absl::Status& status) {
  return absl::IsNotFound(status) || absl::IsInvalidArgument(status) || absl::IsInternal(status);
}

absl::Status DeadlineStatus() {
  return absl::DeadlineExceededError("the deadline came before the ctldb could answer");
}

absl::Status ForCaller(const absl::Status& status, absl::Time deadline) {
  if (MayRetry(status) && absl::Now() >= deadline) return DeadlineStatus();
  if (!absl::IsUnavailable(status) || RetryDelay(status).has_value()) return status;
  return WithRetryDelay(status,
                        HasReason(status, reason::kCtldbBusy) ? kBusyDelay : kUnavailableDelay);
}

absl::Status TooManyCalls() {
  return WithRetryDelay(
      ErrorWithReason(absl::StatusCode::kResourceExhausted, reason::kQueueFull,
                      "more calls wait than the executive takes; nothing was done"),
      kBusyDelay);
}

}  // namespace ctlstore::executive
