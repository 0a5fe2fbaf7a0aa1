// Keeps one local database up with the ledger.

#ifndef CTLSTORE_REFLECTOR_REFLECTOR_H_
#define CTLSTORE_REFLECTOR_REFLECTOR_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "absl/types/span.h"
#include "common/base/clock.h"
#include "common/schema/ledger_entry.h"

namespace ctlstore::reflector {

// Reads the ledger in order and applies it, until it is told to stop. Whatever fails (the ctldb is
// away, the disk is full, a statement does not run) is logged once when it begins and once when it
// ends, and tried again with a growing, jittered pause from the last applied sequence; nothing is
// skipped.
class Reflector {
 public:
  // Where the ledger comes from. ctldb::LedgerReader does this.
  class Source {
   public:
    virtual ~Source() = default;
    virtual absl::StatusOr<std::vector<LedgerEntry>> ReadAfter(int64_t sequence, size_t max_entries,
                                                               size_t max_bytes) = 0;
  };

  // Where it is applied. ldb::LdbWriter does this.
  class Target {
   public:
    virtual ~Target() = default;
    virtual int64_t applied_sequence() const = 0;
    virtual int64_t received_sequence() const = 0;
    virtual absl::Status Apply(absl::Span<const LedgerEntry> entries) = 0;
  };

  struct Options {
    // How often the ledger is looked at when nothing is new, changed at random by up to
    // `poll_jitter` of it in either direction.
    absl::Duration poll_interval = absl::Seconds(1);
    double poll_jitter = 0.25;
    // How much one query takes, which bounds memory and the size of a transaction of the LDB.
    size_t max_entries_per_query = 10000;
    size_t max_bytes_per_query = size_t{16} << 20;
    // The pauses after something failed.
    absl::Duration min_retry_pause = absl::Milliseconds(100);
    absl::Duration max_retry_pause = absl::Seconds(30);
  };

  // What an operator wants to know.
  struct State {
    int64_t applied_sequence = 0;
    // OK, or what is being tried again.
    absl::Status last_error;
    // Tries that failed since the last success.
    int64_t failures = 0;
    // When the last try that succeeded began, and the last one after which nothing more was in the
    // ledger: what was there at that time is applied, as far as it is whole.
    absl::optional<absl::Time> last_success;
    absl::optional<absl::Time> last_caught_up;

    // Whether the last try succeeded and went to the ledger's end.
    bool caught_up() const {
      return last_error.ok() && last_success.has_value() && last_caught_up == last_success;
    }
  };

  // The source, the target and the clock must outlive the reflector.
  Reflector(Source* source, Target* target, Clock* clock, const Options& options);

  // Works until `stop` is notified. Call once, from a thread of its own.
  void Run(absl::Notification* stop);

  // Thread-safe.
  State state() const;

 private:
  // Reads once and applies what came. True where there may be more at once.
  absl::StatusOr<bool> Step();
  // What a try that began at `begin` came to.
  void Record(const absl::StatusOr<bool>& more, absl::Time begin);

  Source* const source_;
  Target* const target_;
  Clock* const clock_;
  const Options options_;

  mutable absl::Mutex mutex_;
  State state_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace ctlstore::reflector

#endif  // CTLSTORE_REFLECTOR_REFLECTOR_H_
