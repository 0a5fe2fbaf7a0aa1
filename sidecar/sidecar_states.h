// What a sidecar tells Prometheus of its host's local database.

#ifndef CTLSTORE_SIDECAR_SIDECAR_STATES_H_
#define CTLSTORE_SIDECAR_SIDECAR_STATES_H_

#include <prometheus/collectable.h>

#include <cstddef>
#include <vector>

#include "common/base/clock.h"
#include "common/ldb/reader.h"
#include "common/rpc/metric_families.h"
#include "sidecar/sidecar_service.h"

namespace ctlstore::sidecar {

// Found out when it is asked for. docs/metrics.md tells what each metric means and what to do about
// it. Thread-safe.
class SidecarStates : public prometheus::Collectable {
 public:
  // All of them must outlive it. `max_waits` is the service's limit.
  SidecarStates(ldb::Reader* reader, const SidecarService* service, size_t max_waits, Clock* clock);

  rpc::MetricFamilies Collect() const override;

 private:
  ldb::Reader* const reader_;
  const SidecarService* const service_;
  const size_t max_waits_;
  Clock* const clock_;
};

}  // namespace ctlstore::sidecar

#endif  // CTLSTORE_SIDECAR_SIDECAR_STATES_H_
