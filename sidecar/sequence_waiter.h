// Waits for the local database to reach ledger sequences, for any number of calls, with one thread.

#ifndef CTLSTORE_SIDECAR_SEQUENCE_WAITER_H_
#define CTLSTORE_SIDECAR_SEQUENCE_WAITER_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/ldb/reader.h"

namespace ctlstore::sidecar {

// Looks at the local database's sequence every millisecond while anybody waits, and not at all
// while nobody does. Thread-safe.
class SequenceWaiter {
 public:
  // Called once, by the waiter's thread, so it must not block: with the applied sequence, or
  // DEADLINE_EXCEEDED, or CANCELLED when the waiter ends. Where there is no local database at the
  // deadline: UNAVAILABLE (LDB_UNAVAILABLE).
  using Done = std::function<void(absl::StatusOr<int64_t> applied_sequence)>;

  // At most `max_waits` at a time. The reader must outlive it.
  SequenceWaiter(ldb::Reader* reader, size_t max_waits);
  // Ends all waits.
  ~SequenceWaiter();
  SequenceWaiter(const SequenceWaiter&) = delete;
  SequenceWaiter& operator=(const SequenceWaiter&) = delete;

  // Waits until `sequence` is applied. Returns the wait's number, never 0. RESOURCE_EXHAUSTED
  // (QUEUE_FULL) where too many wait; then `done` is not called.
  absl::StatusOr<uint64_t> Wait(int64_t sequence, absl::Time deadline, Done done);

  // Ends a wait without a call of its `done`. False where that is called already, or is being
  // called.
  bool Cancel(uint64_t wait);

  // Calls that wait now.
  size_t waiting() const;

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace ctlstore::sidecar

#endif  // CTLSTORE_SIDECAR_SEQUENCE_WAITER_H_
