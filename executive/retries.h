// Which errors of the ctldb are worth another try, and what callers are told of them.

#ifndef CTLSTORE_EXECUTIVE_RETRIES_H_
#define CTLSTORE_EXECUTIVE_RETRIES_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/base/backoff.h"

namespace ctlstore::executive {

// How often the same is tried, and the waits between, which grow from the first to the longest.
inline constexpr int kMaxAttempts = 5;
inline constexpr absl::Duration kFirstRetryWait = absl::Milliseconds(10);
inline constexpr absl::Duration kMaxRetryWait = absl::Milliseconds(500);

// How often one call completes schema changes of others before it gives up.
inline constexpr int kMaxCompletions = 20;

// Whether the same may succeed when tried again: CTLDB_BUSY or CTLDB_UNAVAILABLE. After both,
// nothing was changed.
bool MayRetry(const absl::Status& status);

// Whether other definitions of the tables than those that were used could let it succeed.
bool MayBeStaleTable(const absl::Status& status);

// DEADLINE_EXCEEDED.
absl::Status DeadlineStatus();

// What the caller gets for an error of the ctldb: DEADLINE_EXCEEDED where only time was lacking,
// and a retry delay with every UNAVAILABLE.
absl::Status ForCaller(const absl::Status& status, absl::Time deadline);

// RESOURCE_EXHAUSTED (QUEUE_FULL) with a retry delay, for a call that no worker can take.
absl::Status TooManyCalls();

inline const absl::Status& StatusOf(const absl::Status& status) { return status; }
template <typename T>
const absl::Status& StatusOf(const absl::StatusOr<T>& result) {
  return result.status();
}

// Calls `attempt`, which returns a Status or StatusOr, until it succeeds or fails for good, and
// returns what it returned, with an error as ForCaller() has it.
template <typename Attempt>
auto WithRetries(absl::Time deadline, Attempt attempt) -> decltype(attempt()) {
  Backoff backoff(kFirstRetryWait, kMaxRetryWait);
  for (int i = 1;; ++i) {
    if (absl::Now() >= deadline) return DeadlineStatus();
    auto result = attempt();
    const absl::Status& status = StatusOf(result);
    if (status.ok()) return result;
    if (!MayRetry(status) || i == kMaxAttempts) return ForCaller(status, deadline);
    const absl::Duration wait = backoff.Next();
    if (absl::Now() + wait >= deadline) return ForCaller(status, deadline);
    absl::SleepFor(wait);
  }
}

}  // namespace ctlstore::executive

#endif  // CTLSTORE_EXECUTIVE_RETRIES_H_
