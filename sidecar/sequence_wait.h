// One call's wait for a ledger sequence.

#ifndef CTLSTORE_SIDECAR_SEQUENCE_WAIT_H_
#define CTLSTORE_SIDECAR_SEQUENCE_WAIT_H_

#include <grpcpp/alarm.h>

#include <cstdint>
#include <functional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "sidecar/sequence_waiter.h"

namespace ctlstore::sidecar {

// Goes on with a call in one of gRPC's threads when its wait ends, so that neither a thread is
// taken meanwhile nor the other calls' waits are held up. Not thread-safe, but for Cancel().
class SequenceWait {
 public:
  // Called with the applied sequence, or with why there was no waiting for it. May destroy the
  // wait.
  using Done = std::function<void(const absl::StatusOr<int64_t>& applied_sequence)>;

  // The waiter must outlive it.
  explicit SequenceWait(SequenceWaiter* waiter) : waiter_(waiter) {}
  SequenceWait(const SequenceWait&) = delete;
  SequenceWait& operator=(const SequenceWait&) = delete;

  // To be called once. `done` is called once, possibly before this returns, unless Cancel() returns
  // true. It is called at once where there are too many waits.
  void Begin(int64_t sequence, absl::Time deadline, Done done);

  // To be called when Begin() has returned. True where `done` will not be called.
  bool Cancel();

 private:
  void End(absl::StatusOr<int64_t> applied_sequence);

  SequenceWaiter* const waiter_;
  Done done_;
  uint64_t number_ = 0;
  grpc::Alarm alarm_;
  absl::StatusOr<int64_t> applied_sequence_ = 0;
};

}  // namespace ctlstore::sidecar

#endif  // CTLSTORE_SIDECAR_SEQUENCE_WAIT_H_
