// Keeps one local database up with the ledger.

#ifndef CTLSTORE_REFLECTOR_REFLECTOR_H_
#define CTLSTORE_REFLECTOR_REFLECTOR_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "absl/types/span.h"
#include "common/base/backoff.h"
#include "common/base/clock.h"
#include "common/base/event.h"
#include "common/schema/ledger_entry.h"
#include "common/schema/ledger_position.h"
#include "reflector/ledger_fetcher.h"
#include "reflector/ledger_source.h"
#include "reflector/reflector_control.h"

namespace ctlstore::reflector {

// Takes the ledger from a source, in order, and applies it to a target, until it is told to stop.
// Whatever fails is tried again with a growing, jittered pause from the last applied entry on;
// nothing is skipped but what an operator says. Where it stands is a ReplicationState; each change
// of it is logged. How long things last is measured on the steady clock, so that it does not matter
// when the machine's clock is set.
class Reflector {
 public:
  // What the ledger is applied to. LocalDatabase does this. Used by the thread of Run() alone.
  class Target {
   public:
    virtual ~Target() = default;

    // Opens it where it is not open; costs nothing where it is.
    virtual absl::Status Open() = 0;
    // Another number after an Open() that does not go on where Apply() was.
    virtual int64_t generation() const = 0;
    // As ldb::LdbWriter has them.
    virtual LedgerPosition received_position() const = 0;
    virtual int64_t applied_sequence() const = 0;
    virtual absl::optional<int64_t> failed_sequence() const = 0;
    virtual void SkipEntry(int64_t sequence) = 0;
    // `at_end` says that these entries, which may be none, are all that the ledger has. After an
    // error with the code DATA_LOSS it builds itself anew.
    virtual absl::Status Apply(absl::Span<const LedgerEntry> entries, bool at_end) = 0;
    // Called every second or so while there is nothing to apply.
    virtual absl::Status Idle() = 0;

    // Begins to build it anew, from a snapshot or from the ledger's beginning, where that is not
    // under way. With `another_ledger` the position that it has means nothing to the ledger to be
    // played. While a snapshot is fetched, Open() fails with FETCHING_SNAPSHOT.
    virtual void Rebuild(const std::string& reason, bool another_ledger) = 0;
    virtual bool rebuilding() const = 0;
    // The ledger does not have the entries that come next. Begins to fetch a snapshot, and says
    // whether there is any place to get one from.
    virtual bool FetchSnapshot(const std::string& reason) = 0;
    // The ledger's beginning is not there any more. Goes back to what there was where that is good,
    // and says whether it is.
    virtual bool GiveUpRebuild() = 0;
  };

  struct Options {
    // For logs.
    std::string ldb_path;
    // How much is read at once, and applied at once.
    size_t max_entries_per_query = 10000;
    size_t max_bytes_per_query = size_t{16} << 20;
    // How much may have been read and not yet be applied, give or take one read.
    size_t max_queue_bytes = size_t{32} << 20;
    // The pauses after something failed.
    absl::Duration min_retry_pause = absl::Milliseconds(100);
    absl::Duration max_retry_pause = absl::Seconds(30);
    absl::Duration idle_interval = absl::Seconds(1);
    // It counts as current until it has not had all of the ledger for so long, so that each change
    // does not make it catch up.
    absl::Duration current_for = absl::Seconds(2);
    // It is ready while everything that was in the ledger so long ago is applied.
    absl::Duration ready_within = absl::Minutes(1);
    // Told of each read of the ledger, from a thread of its own. May be empty.
    std::function<void(const absl::Status&)> on_read;
  };

  struct State {
    ReplicationState replication = ReplicationState::kStarting;
    // OK, or what is being tried again.
    absl::Status error;
    // Tries that failed since the last success.
    int64_t failures = 0;
    int64_t applied_sequence = 0;
    // The ledger's last one, as far as it is known.
    int64_t ledger_sequence = 0;
    // kEntryFailed.
    absl::optional<int64_t> failed_sequence;
    // When entries, or that there are none, were last read and applied; and up to when all that was
    // in the ledger is applied, as far as it is whole.
    absl::optional<absl::Time> last_success;
    absl::optional<absl::Time> last_caught_up;
    // The latter on the steady clock.
    absl::Duration last_caught_up_steady;
    // Whether the last try succeeded and went to the ledger's end.
    bool caught_up = false;
  };

  // The source, the target and the clock must outlive the reflector.
  Reflector(LedgerSource* source, Target* target, Clock* clock, const Options& options);

  // Works until Stop(). Call once, from a thread of its own.
  void Run();

  // These are thread-safe.

  // Makes Run() return after what is being applied at the moment.
  void Stop();
  State state() const;
  // OK where all of the ledger was there within `ready_within`, and nothing stands in the way that
  // does not go away by itself; otherwise UNAVAILABLE with what does.
  absl::Status Readiness() const;
  size_t queue_bytes() const { return fetcher_.queue_bytes(); }
  // As ReflectorControl.
  absl::Status SkipEntry(int64_t sequence);
  void Rebuild();

 private:
  // Does what it was told to. False where that is to stop.
  bool FollowOrders();
  // Does what is to be done next. Returns how long there is nothing more to do.
  absl::Duration Step();
  absl::Duration Idle();
  void Succeeded(const LedgerFetcher::Fetched& fetched);
  void ReadFailed(const absl::Status& status);
  absl::Duration ApplyFailed(const absl::Status& status);
  absl::Duration FetchingSnapshot(const absl::Status& status);
  void SetState(ReplicationState to, const absl::Status& error)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  Target* const target_;
  Clock* const clock_;
  const Options options_;

  // Used by the thread of Run() alone.
  Backoff backoff_;
  bool restart_ = true;
  int64_t generation_ = 0;
  // On the steady clock.
  absl::Duration retry_at_ = absl::ZeroDuration();
  absl::Duration idle_at_ = absl::ZeroDuration();
  // How far it was when applying failed last: being there again is no success.
  absl::optional<int64_t> failed_after_;

  mutable absl::Mutex mutex_;
  State state_ ABSL_GUARDED_BY(mutex_);
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  bool rebuild_ ABSL_GUARDED_BY(mutex_) = false;
  absl::optional<int64_t> skip_ ABSL_GUARDED_BY(mutex_);

  // There is something to take or to do.
  Event wake_;
  // Last: its thread uses the others.
  LedgerFetcher fetcher_;
};

}  // namespace ctlstore::reflector

#endif  // CTLSTORE_REFLECTOR_REFLECTOR_H_
