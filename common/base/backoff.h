// How long to wait before the next try.

#ifndef CTLSTORE_COMMON_BASE_BACKOFF_H_
#define CTLSTORE_COMMON_BASE_BACKOFF_H_

#include <functional>

#include "absl/time/time.h"

namespace ctlstore {

// Exponential back-off with jitter, so that a fleet that lost its server together does not come
// back together. Not thread-safe.
class Backoff {
 public:
  // `random` returns a number in [0, 1).
  Backoff(absl::Duration initial, absl::Duration max, std::function<double()> random);

  // Uses the process's random generator.
  Backoff(absl::Duration initial, absl::Duration max);

  // The next wait: between half of and all of a duration that doubles at each call, from `initial`
  // up to `max`.
  absl::Duration Next();

  // To be called after a success: the next wait is `initial` again.
  void Reset() { current_ = initial_; }

 private:
  const absl::Duration initial_;
  const absl::Duration max_;
  const std::function<double()> random_;
  absl::Duration current_;
};

// `duration` changed at random by at most `fraction` of it in either direction.
absl::Duration Jittered(absl::Duration duration, double fraction);

}  // namespace ctlstore

#endif  // CTLSTORE_COMMON_BASE_BACKOFF_H_
