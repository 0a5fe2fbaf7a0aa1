#include "executive/failure_throttle.h"

#include <glog/logging.h>

#include <algorithm>
#include <limits>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/schema/errors.h"

namespace ctlstore::executive {
namespace {

constexpr int kForgetPenalties = 10;

// Writers' names have no NUL.
std::string Key(absl::string_view writer, absl::string_view peer) {
  return absl::StrCat(writer, absl::string_view("\0", 1), peer);
}

}  // namespace

FailureThrottle::FailureThrottle(const Options& options, Clock* clock)
    : options_(options), clock_(clock), failures_(options.capacity) {}

absl::Duration FailureThrottle::Penalty(int failures) const {
  if (failures <= options_.free_failures) return absl::ZeroDuration();
  absl::Duration penalty = options_.first_penalty;
  for (int i = options_.free_failures + 1; i < failures && penalty < options_.max_penalty; ++i) {
    penalty *= 2;
  }
  return std::min(penalty, options_.max_penalty);
}

FailureThrottle::Failures FailureThrottle::Find(absl::string_view key, absl::Time now) {
  const Failures* found = failures_.Find(key);
  if (found == nullptr || now - found->last > kForgetPenalties * options_.max_penalty) {
    return {0, now};
  }
  // A clock that was set back makes a penalty begin anew, not last until the old time comes.
  if (found->last <= now) return *found;
  const Failures moved = {found->count, now};
  failures_.Put(key, moved);
  return moved;
}

absl::Status FailureThrottle::Admit(absl::string_view writer, absl::string_view peer) {
  absl::Duration rest;
  {
    absl::MutexLock lock(&mutex_);
    const absl::Time now = clock_->Now();
    const Failures failures = Find(Key(writer, peer), now);
    rest = failures.last + Penalty(failures.count) - now;
  }
  if (rest <= absl::ZeroDuration()) return absl::OkStatus();
  rest = absl::Ceil(rest, absl::Milliseconds(1));
  return WithRetryDelay(
      ErrorWithReason(
          absl::StatusCode::kResourceExhausted, reason::kTooManyFailures,
          absl::StrCat("too many wrong secrets for this writer came from this host; try again in ",
                       absl::FormatDuration(rest))),
      rest);
}

void FailureThrottle::Failed(absl::string_view writer, absl::string_view peer) {
  const std::string key = Key(writer, peer);
  Failures failures;
  {
    absl::MutexLock lock(&mutex_);
    const absl::Time now = clock_->Now();
    failures = Find(key, now);
    failures.last = now;
    if (failures.count < std::numeric_limits<int>::max()) ++failures.count;
    failures_.Put(key, failures);
  }
  const absl::Duration penalty = Penalty(failures.count);
  if (penalty <= absl::ZeroDuration()) return;
  LOG(WARNING) << "event=writer_refused writer=\"" << absl::Utf8SafeCEscape(writer) << "\" peer=\""
               << absl::Utf8SafeCEscape(peer) << "\" failures=" << failures.count
               << " penalty=" << absl::FormatDuration(penalty);
}

void FailureThrottle::Succeeded(absl::string_view writer, absl::string_view peer) {
  absl::MutexLock lock(&mutex_);
  failures_.Erase(Key(writer, peer));
}

}  // namespace ctlstore::executive
