// What a supervisor tells Prometheus.

#ifndef CTLSTORE_SUPERVISOR_SUPERVISOR_METRICS_H_
#define CTLSTORE_SUPERVISOR_SUPERVISOR_METRICS_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "supervisor/supervisor_control.h"

namespace prometheus {
class Registry;
}  // namespace prometheus

namespace ctlstore::supervisor {

// docs/metrics.md tells what each metric means and what to do about it. Thread-safe. The registry
// must outlive it.
class SupervisorMetrics {
 public:
  explicit SupervisorMetrics(prometheus::Registry* registry);
  ~SupervisorMetrics();
  SupervisorMetrics(const SupervisorMetrics&) = delete;
  SupervisorMetrics& operator=(const SupervisorMetrics&) = delete;

  // Makes what there is of a destination appear before anything has happened there.
  void AddDestination(const std::string& url);

  // "copy" or "compress".
  void Step(absl::string_view step, absl::Duration duration, const absl::Status& status);
  void SetStage(Stage stage);
  void Skipped();

  void PutBegins();
  void PutEnds(const std::string& url, absl::Duration duration, const absl::Status& status);
  void Published(const std::string& url, const SnapshotSummary& snapshot, absl::Time now);
  void Retained(const std::string& url, int removed, const absl::Status& status);

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace ctlstore::supervisor

#endif  // CTLSTORE_SUPERVISOR_SUPERVISOR_METRICS_H_
