// Slows down who guesses secrets.

#ifndef CTLSTORE_EXECUTIVE_FAILURE_THROTTLE_H_
#define CTLSTORE_EXECUTIVE_FAILURE_THROTTLE_H_

#include <cstddef>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "executive/bounded_map.h"

namespace ctlstore::executive {

// Counts the wrong secrets of each host for each writer, known or not. Those beyond the free ones
// are followed by a penalty, a time in which attempts are refused without a look at them; it
// doubles with each further one. Failures are forgotten after a right secret, and ten times the
// longest penalty after the last one, by which time guessing has gained nothing over waiting for
// penalties to end. Beyond `capacity` pairs, those whose last failure is the oldest are forgotten.
//
// Thread-safe. The clock must outlive it.
class FailureThrottle {
 public:
  struct Options {
    int free_failures;
    absl::Duration first_penalty;
    absl::Duration max_penalty;
    size_t capacity;
  };

  FailureThrottle(const Options& options, Clock* clock);
  FailureThrottle(const FailureThrottle&) = delete;
  FailureThrottle& operator=(const FailureThrottle&) = delete;

  // RESOURCE_EXHAUSTED (TOO_MANY_FAILURES) within a penalty, with the rest of it as retry delay.
  absl::Status Admit(absl::string_view writer, absl::string_view peer);

  void Failed(absl::string_view writer, absl::string_view peer);
  void Succeeded(absl::string_view writer, absl::string_view peer);

 private:
  struct Failures {
    int count;
    absl::Time last;
  };

  absl::Duration Penalty(int failures) const;
  // 0 failures where there are none to be counted any more.
  Failures Find(absl::string_view key, absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Options options_;
  Clock* const clock_;
  absl::Mutex mutex_;
  BoundedMap<Failures> failures_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace ctlstore::executive

#endif  // CTLSTORE_EXECUTIVE_FAILURE_THROTTLE_H_
