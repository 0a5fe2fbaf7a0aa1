// Several sources of one ledger, of which one is in use.

#ifndef CTLSTORE_REFLECTOR_UPSTREAMS_H_
#define CTLSTORE_REFLECTOR_UPSTREAMS_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/base/backoff.h"
#include "common/schema/ledger_position.h"
#include "reflector/ledger_source.h"

namespace ctlstore::reflector {

// Reads the most preferred source that works. Every source is asked for what follows the position
// that the caller is at, and says itself whether it has that; so whichever answers, nothing is lost
// or repeated, and one whose ledger is behind, pruned or another one is left aside.
//
// Where the one in use fails, all others are tried at once. One that has failed is left alone for a
// while, with pauses that grow, and then asked again beside the one in use, in a thread of its own;
// when it answers, and is preferred to the one in use, it takes over.
//
// One that answers stays in use, also where its ledger grows later than another's, as a replica's
// does: hosts are then as far behind as it is, but never go back.
class Upstreams final : public LedgerSource {
 public:
  struct Options {
    // The pauses after which one that has failed is asked again. One that has worked for the
    // longest of them begins with the shortest again.
    absl::Duration min_retry_pause = absl::Seconds(1);
    absl::Duration max_retry_pause = absl::Minutes(1);
  };

  // How it is with one of them.
  struct State {
    std::string name;
    bool in_use = false;
    // What it has answered last: OK, or why it was left aside.
    absl::Status last_error;
    int64_t failures = 0;
  };

  // In order of preference; at least one.
  Upstreams(std::vector<std::unique_ptr<LedgerSource>> sources, const Options& options);
  ~Upstreams() override;

  // After an error of the one in use goes through all of them before it returns one: a single
  // source's own; of several, LEDGER_DIVERGED where the first in the list has answered it,
  // otherwise LEDGER_PRUNED where any has, otherwise LEDGER_BEHIND where any has, otherwise
  // UNAVAILABLE. Its message says what each has answered.
  absl::StatusOr<Batch> Read(const LedgerPosition& after, const Limits& limits) override;
  void Cancel() override;

  // Of the one in use; empty where none was at the last Read().
  std::string name() const override;

  // In order of preference. Thread-safe.
  std::vector<State> states() const;

  // How often another one than before was taken into use. Thread-safe.
  int64_t switches() const;

 private:
  using Time = std::chrono::steady_clock::time_point;

  struct Upstream {
    Upstream(std::unique_ptr<LedgerSource> its_source, const Options& options);

    // Used by one thread at a time, without the mutex: by the probe's while there is one for it,
    // otherwise by the one that reads.
    const std::unique_ptr<LedgerSource> source;

    // With the mutex.
    Backoff backoff;
    // When it may be asked again.
    Time retry_at;
    // Since when it works, while it is in use.
    absl::optional<Time> works_since;
    absl::Status last_error;
    int64_t failures = 0;
  };

  // Asks one that is preferred to the one in use whether it works, beside the thread that reads.
  struct Probe {
    size_t index = 0;
    // With the mutex.
    bool done = false;
    bool works = false;
    std::thread thread;
  };

  // Reads from one, remembers how that went, and takes it into use where it works.
  absl::StatusOr<Batch> ReadFrom(size_t index, const LedgerPosition& after, const Limits& limits);
  void StartProbe(const LedgerPosition& after);
  // Takes in what the probe has found. Returns the one that it was for where that works.
  absl::optional<size_t> EndProbe();

  void Use(size_t index) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void RecordFailure(size_t index, const absl::Status& status)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // All but those that are in `tried`: first those that may be asked again, then the others, each
  // in order of preference.
  std::vector<size_t> Others(const std::vector<bool>& tried) const;
  // What Read() returns where all have failed.
  absl::Status AllFailed() const;

  const Options options_;
  mutable absl::Mutex mutex_;
  std::vector<std::unique_ptr<Upstream>> upstreams_;
  absl::optional<size_t> current_ ABSL_GUARDED_BY(mutex_);
  // The one that was in use last.
  absl::optional<size_t> last_used_ ABSL_GUARDED_BY(mutex_);
  int64_t switches_ ABSL_GUARDED_BY(mutex_) = 0;
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  // Begun and ended by the thread that reads.
  std::unique_ptr<Probe> probe_;
};

}  // namespace ctlstore::reflector

#endif  // CTLSTORE_REFLECTOR_UPSTREAMS_H_
