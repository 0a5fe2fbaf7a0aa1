// What every process tells of itself, by the names that Prometheus's libraries have for it.

#ifndef CTLSTORE_COMMON_RPC_PROCESS_METRICS_H_
#define CTLSTORE_COMMON_RPC_PROCESS_METRICS_H_

#include <prometheus/collectable.h>

#include <vector>

#include "common/rpc/metric_families.h"

namespace ctlstore::rpc {

// Memory, CPU time, open files and the time of the start of this process, read from the system at
// each Collect(). What cannot be read is left out. Thread-safe.
class ProcessMetrics : public prometheus::Collectable {
 public:
  MetricFamilies Collect() const override;
};

}  // namespace ctlstore::rpc

#endif  // CTLSTORE_COMMON_RPC_PROCESS_METRICS_H_
