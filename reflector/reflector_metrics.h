// What a reflector tells Prometheus.

#ifndef CTLSTORE_REFLECTOR_REFLECTOR_METRICS_H_
#define CTLSTORE_REFLECTOR_REFLECTOR_METRICS_H_

#include <prometheus/collectable.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/ldb/ldb_writer.h"
#include "common/ldb/reader.h"
#include "common/rpc/metric_families.h"
#include "reflector/reflector.h"

namespace prometheus {
class Registry;
}  // namespace prometheus

namespace ctlstore::reflector {

// What happens, counted when it does. docs/metrics.md tells what each means and what to do about
// it. Thread-safe. The registry must outlive it.
class ReflectorMetrics {
 public:
  explicit ReflectorMetrics(prometheus::Registry* registry);
  ~ReflectorMetrics();
  ReflectorMetrics(const ReflectorMetrics&) = delete;
  ReflectorMetrics& operator=(const ReflectorMetrics&) = delete;

  // The ledger was read once.
  void Read(const absl::Status& status, absl::Duration duration);
  // Entries were given to the local database, which committed `applied` of them, also where it
  // failed.
  void Applied(const absl::Status& status, absl::Duration duration,
               const ldb::LdbWriter::Applied& applied);

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

// How things are, found out when it is asked for. Thread-safe.
class ReflectorStates : public prometheus::Collectable {
 public:
  // The functions are called from any thread. The clock must outlive it.
  ReflectorStates(std::function<Reflector::State()> state, std::function<int64_t()> ledger_gaps,
                  std::string ldb_path, Clock* clock);

  rpc::MetricFamilies Collect() const override;

 private:
  const std::function<Reflector::State()> state_;
  const std::function<int64_t()> ledger_gaps_;
  const std::string ldb_path_;
  Clock* const clock_;
  // As any other program on this host reads it.
  mutable ldb::Reader reader_;
};

}  // namespace ctlstore::reflector

#endif  // CTLSTORE_REFLECTOR_REFLECTOR_METRICS_H_
