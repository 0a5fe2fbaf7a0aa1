// What an executive counts, besides its calls.

#ifndef CTLSTORE_EXECUTIVE_EXECUTIVE_METRICS_H_
#define CTLSTORE_EXECUTIVE_EXECUTIVE_METRICS_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/schema/names.h"

namespace prometheus {
class Registry;
}  // namespace prometheus

namespace ctlstore::executive {

// docs/metrics.md tells what each means and what to do about it. Thread-safe. The registry must
// outlive it.
class ExecutiveMetrics {
 public:
  explicit ExecutiveMetrics(prometheus::Registry* registry);
  ~ExecutiveMetrics();
  ExecutiveMetrics(const ExecutiveMetrics&) = delete;
  ExecutiveMetrics& operator=(const ExecutiveMetrics&) = delete;

  // A ledger transaction was committed: with so many requests and rows; `total` from its beginning,
  // with the wait for the ledger lock, `commit` for the commit alone.
  void GroupCommitted(size_t requests, size_t rows, absl::Duration total, absl::Duration commit,
                      int64_t last_sequence);
  // A group could not be written as a whole and was written request by request.
  void GroupSplit();
  void SetQueue(size_t requests, size_t bytes);
  void SetQueueCapacity(size_t requests, size_t bytes);
  // A request was refused, with this reason (ErrorReason; "" counts as its code's name).
  void Refused(const absl::Status& status);
  // A call of the ctldb failed.
  void CtldbError(const absl::Status& status);
  void SetConnections(size_t open, size_t max);
  void SetTableSize(const TableName& table, int64_t bytes, int64_t warn_bytes, int64_t max_bytes);
  // The table is not there any more.
  void ForgetTable(const TableName& table);
  // The share of its limit that the writer nearest to it has used in the current period, 0 to 1.
  void SetNearestWriterRate(double share);
  // A writer's secret was looked at: whether from memory, and whether it was right.
  void SecretChecked(bool from_memory, bool right);

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace ctlstore::executive

#endif  // CTLSTORE_EXECUTIVE_EXECUTIVE_METRICS_H_
