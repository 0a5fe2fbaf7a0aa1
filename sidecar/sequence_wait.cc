#include "sidecar/sequence_wait.h"

#include <utility>

namespace ctlstore::sidecar {

void SequenceWait::Begin(int64_t sequence, absl::Time deadline, Done done) {
  done_ = std::move(done);
  const absl::StatusOr<uint64_t> number = waiter_->Wait(
      sequence, deadline,
      [this](absl::StatusOr<int64_t> applied_sequence) { End(std::move(applied_sequence)); });
  if (number.ok()) {
    number_ = *number;
  } else {
    done_(number.status());
  }
}

bool SequenceWait::Cancel() { return number_ != 0 && waiter_->Cancel(number_); }

void SequenceWait::End(absl::StatusOr<int64_t> applied_sequence) {
  applied_sequence_ = std::move(applied_sequence);
  // A time that is over: at once, by another thread.
  alarm_.Set(absl::ToChronoTime(absl::UnixEpoch()), [this](bool) { done_(applied_sequence_); });
}

}  // namespace ctlstore::sidecar
