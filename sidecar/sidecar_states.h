// What a sidecar tells Prometheus of its host's local database.

#ifndef CTLSTORE_SIDECAR_SIDECAR_STATES_H_
#define CTLSTORE_SIDECAR_SIDECAR_STATES_H_

#include <prometheus/collectable.h>

#include <vector>

#include "common/base/clock.h"
#include "common/ldb/reader.h"
#include "common/rpc/metric_families.h"

namespace ctlstore::sidecar {

// Found out when it is asked for. docs/metrics.md tells what each metric means and what to do about
// it. Thread-safe.
class SidecarStates : public prometheus::Collectable {
 public:
  // The reader and the clock must outlive it.
  SidecarStates(ldb::Reader* reader, Clock* clock);

  rpc::MetricFamilies Collect() const override;

 private:
  ldb::Reader* const reader_;
  Clock* const clock_;
};

}  // namespace ctlstore::sidecar

#endif  // CTLSTORE_SIDECAR_SIDECAR_STATES_H_
