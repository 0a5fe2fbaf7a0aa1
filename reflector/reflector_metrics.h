// What a reflector tells Prometheus.

#ifndef CTLSTORE_REFLECTOR_REFLECTOR_METRICS_H_
#define CTLSTORE_REFLECTOR_REFLECTOR_METRICS_H_

#include <prometheus/collectable.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/ldb/changelog.h"
#include "common/ldb/ldb_writer.h"
#include "common/rpc/metric_families.h"
#include "reflector/local_database.h"
#include "reflector/reflector.h"

namespace prometheus {
class Registry;
}  // namespace prometheus

namespace ctlstore::reflector {

// What happens to one local database, counted when it does, with its path as the label `ldb`.
// docs/metrics.md tells what each means and what to do about it. Thread-safe. The registry must
// outlive it.
class ReflectorMetrics {
 public:
  ReflectorMetrics(prometheus::Registry* registry, const std::string& ldb_path);
  ~ReflectorMetrics();
  ReflectorMetrics(const ReflectorMetrics&) = delete;
  ReflectorMetrics& operator=(const ReflectorMetrics&) = delete;

  // The ledger was read once.
  void Read(const absl::Status& status);
  // Entries were given to the local database, which committed `applied` of them, also where it
  // failed.
  void Applied(const absl::Status& status, absl::Duration duration,
               const ldb::LdbWriter::Applied& applied);

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

// How one local database is.
struct LdbSample {
  std::string path;
  Reflector::State state;
  LocalDatabase::Info info;
  bool ready = false;
  size_t queue_bytes = 0;
  std::string upstream;
  int64_t upstream_switches = 0;
  int64_t ledger_gaps = 0;
  ldb::Changelog::Counts changelog;
  // How old it is at most, as any other program on this host sees it; negative where that is not
  // known.
  absl::Duration lag = -absl::Seconds(1);
};

// How all of them are, found out when it is asked for. Thread-safe.
class ReflectorStates : public prometheus::Collectable {
 public:
  // The function is called from any thread. The clock must outlive it.
  ReflectorStates(std::function<std::vector<LdbSample>()> samples, Clock* clock);

  rpc::MetricFamilies Collect() const override;

 private:
  const std::function<std::vector<LdbSample>()> samples_;
  Clock* const clock_;
};

}  // namespace ctlstore::reflector

#endif  // CTLSTORE_REFLECTOR_REFLECTOR_METRICS_H_
