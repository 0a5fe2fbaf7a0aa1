// Reads the ledger ahead of its being applied.

#ifndef CTLSTORE_REFLECTOR_LEDGER_FETCHER_H_
#define CTLSTORE_REFLECTOR_LEDGER_FETCHER_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/base/backoff.h"
#include "common/base/clock.h"
#include "common/base/event.h"
#include "common/schema/ledger_entry.h"
#include "common/schema/ledger_position.h"
#include "reflector/ledger_source.h"

namespace ctlstore::reflector {

// Reads a source in a thread of its own into a queue, so that reading and applying overlap. What
// fails is tried again after a growing, jittered pause; who takes from the queue learns of it in
// its place, after the entries that came before. Used by one thread, but for queue_bytes().
class LedgerFetcher {
 public:
  struct Options {
    // What is read at once.
    LedgerSource::Limits read;
    // Reads no further while more than this waits, which is passed by at most one read.
    size_t max_queue_bytes = size_t{32} << 20;
    absl::Duration min_retry_pause = absl::Milliseconds(100);
    absl::Duration max_retry_pause = absl::Seconds(30);
    // Told of each read, from the thread that reads, when it can be taken.
    std::function<void(const absl::Status&)> on_read;
  };

  struct Fetched {
    std::vector<LedgerEntry> entries;
    // As LedgerSource::Batch has them.
    int64_t ledger_sequence = 0;
    absl::optional<absl::Time> all_as_of;
    // The same moment on the steady clock.
    absl::Duration all_as_of_steady;
  };

  // Reads nothing before Restart(). The source and the clock must outlive it.
  LedgerFetcher(LedgerSource* source, Clock* clock, Options options);
  // Cancels the source.
  ~LedgerFetcher();
  LedgerFetcher(const LedgerFetcher&) = delete;
  LedgerFetcher& operator=(const LedgerFetcher&) = delete;

  // Reads what comes after `after` from now on. What waits is dropped, and so is a read under way.
  void Restart(const LedgerPosition& after);

  // Drops what waits and reads nothing until Restart().
  void Pause();

  // What waits: entries, joined up to `limits` (but at least one read's), or an error. Nothing
  // where nothing does.
  absl::optional<absl::StatusOr<Fetched>> Take(const LedgerSource::Limits& limits);

  // Thread-safe.
  size_t queue_bytes() const;

  // Cancels the source and ends the thread. May be called again.
  void Stop();

 private:
  struct Item {
    absl::Status error;
    Fetched fetched;
    size_t bytes = 0;
  };

  void Run();
  // How long to wait before the next read; zero where it is due.
  absl::Duration UntilNextRead() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Add(absl::StatusOr<LedgerSource::Batch> batch, absl::Duration begin)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  LedgerSource* const source_;
  Clock* const clock_;
  const Options options_;

  mutable absl::Mutex mutex_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  bool reading_ ABSL_GUARDED_BY(mutex_) = false;
  // Counts Restart() and Pause(): what was read before the last one is not wanted.
  int64_t restarts_ ABSL_GUARDED_BY(mutex_) = 0;
  LedgerPosition position_ ABSL_GUARDED_BY(mutex_);
  std::deque<Item> queue_ ABSL_GUARDED_BY(mutex_);
  size_t queue_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  Backoff backoff_ ABSL_GUARDED_BY(mutex_);
  // On the steady clock.
  absl::Duration retry_at_ ABSL_GUARDED_BY(mutex_) = absl::ZeroDuration();

  // For the thread: something of the above has changed.
  Event changed_;
  // Last: it uses all of the others.
  std::thread thread_;
};

}  // namespace ctlstore::reflector

#endif  // CTLSTORE_REFLECTOR_LEDGER_FETCHER_H_
