#include "common/base/backoff.h"

#include <algorithm>
#include <utility>

#include "absl/random/random.h"

namespace ctlstore {
namespace {

double UniformFraction() {
  static thread_local absl::BitGen generator;
  return absl::Uniform(generator, 0.0, 1.0);
}

}  // namespace

Backoff::Backoff(absl::Duration initial, absl::Duration max, std::function<double()> random)
    : initial_(initial), max_(max), random_(std::move(random)), current_(initial) {}

Backoff::Backoff(absl::Duration initial, absl::Duration max)
    : Backoff(initial, max, UniformFraction) {}

absl::Duration Backoff::Next() {
  const absl::Duration wait = current_ * (0.5 + 0.5 * random_());
  current_ = std::min(current_ * 2, max_);
  return wait;
}

absl::Duration Jittered(absl::Duration duration, double fraction) {
  return duration * (1 + fraction * (2 * UniformFraction() - 1));
}

}  // namespace ctlstore
