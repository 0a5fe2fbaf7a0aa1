// What a heartbeat tells Prometheus.

#ifndef CTLSTORE_HEARTBEAT_HEARTBEAT_METRICS_H_
#define CTLSTORE_HEARTBEAT_HEARTBEAT_METRICS_H_

#include <prometheus/collectable.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "common/rpc/metric_families.h"
#include "heartbeat/heartbeat.h"

namespace prometheus {
class Registry;
}  // namespace prometheus

namespace ctlstore::heartbeat {

// An executive whose answers are counted. docs/metrics.md tells what each metric means and what to
// do about it. Thread-safe if the executive is.
class MeteredExecutive : public Heartbeat::Executive {
 public:
  // The executive and the registry must outlive it.
  MeteredExecutive(Heartbeat::Executive* executive, prometheus::Registry* registry);
  ~MeteredExecutive() override;

  absl::Status RegisterWriter() override;
  absl::Status CreateFamily(absl::string_view family) override;
  absl::Status CreateTable(const TableSchema& schema) override;
  absl::StatusOr<int64_t> Mutate(const TableSchema& schema,
                                 absl::Span<const ValueView> row) override;

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

// How a heartbeat does, found out when it is asked for. Thread-safe.
class HeartbeatStates : public prometheus::Collectable {
 public:
  // `state` is called from any thread.
  explicit HeartbeatStates(std::function<Heartbeat::State()> state);

  rpc::MetricFamilies Collect() const override;

 private:
  const std::function<Heartbeat::State()> state_;
};

}  // namespace ctlstore::heartbeat

#endif  // CTLSTORE_HEARTBEAT_HEARTBEAT_METRICS_H_
