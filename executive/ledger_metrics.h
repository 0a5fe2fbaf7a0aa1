// What an executive counts of the ledger's listeners.

#ifndef CTLSTORE_EXECUTIVE_LEDGER_METRICS_H_
#define CTLSTORE_EXECUTIVE_LEDGER_METRICS_H_

#include <cstddef>
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
class LedgerMetrics {
 public:
  explicit LedgerMetrics(prometheus::Registry* registry);
  ~LedgerMetrics();
  LedgerMetrics(const LedgerMetrics&) = delete;
  LedgerMetrics& operator=(const LedgerMetrics&) = delete;

  void SetLimits(size_t max_listeners, size_t buffer_bytes);
  void SetListeners(size_t all, size_t catching_up);
  void SetBuffer(size_t bytes, size_t entries, int64_t first_sequence);
  void Sent(size_t entries, size_t bytes);
  // A listener was let go or refused, with this reason (ErrorReason; "" counts as its code's name).
  void LetGo(const absl::Status& status);
  // The ctldb was asked for entries: new ones, or old ones for who catches up.
  void AskedForNew();
  void AskedForOld();
  // New entries were handed on so long after their commit by this executive.
  void HandedOn(absl::Duration delay);

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace ctlstore::executive

#endif  // CTLSTORE_EXECUTIVE_LEDGER_METRICS_H_
