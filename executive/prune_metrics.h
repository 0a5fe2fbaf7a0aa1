// What an executive counts of the pruning of the ledger.

#ifndef CTLSTORE_EXECUTIVE_PRUNE_METRICS_H_
#define CTLSTORE_EXECUTIVE_PRUNE_METRICS_H_

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace prometheus {
class Registry;
}  // namespace prometheus

namespace ctlstore::executive {

// docs/metrics.md tells what each means and what to do about it. Thread-safe. The registry must
// outlive it.
class PruneMetrics {
 public:
  explicit PruneMetrics(prometheus::Registry* registry);
  ~PruneMetrics();
  PruneMetrics(const PruneMetrics&) = delete;
  PruneMetrics& operator=(const PruneMetrics&) = delete;

  void Removed(int64_t entries);
  // What the last look at the ledger has shown.
  void SetLedger(int64_t first_sequence, int64_t covered_sequence);
  // A round came to its end at `when`, whether it removed anything or not.
  void RoundDone(absl::Time when);
  // A round failed, or a place covers nothing, with this reason (ErrorReason; "" counts as its
  // code's name).
  void Failed(const absl::Status& status);

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace ctlstore::executive

#endif  // CTLSTORE_EXECUTIVE_PRUNE_METRICS_H_
