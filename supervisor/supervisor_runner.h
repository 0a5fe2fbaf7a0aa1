// A supervisor at work: its local database with a reflector, and the snapshots of it, as one
// object.

#ifndef CTLSTORE_SUPERVISOR_SUPERVISOR_RUNNER_H_
#define CTLSTORE_SUPERVISOR_SUPERVISOR_RUNNER_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/object_store/store_options.h"
#include "common/rpc/http_server.h"
#include "reflector/reflector_runner.h"
#include "supervisor/reflector_copy.h"
#include "supervisor/supervisor.h"
#include "supervisor/supervisor_control.h"
#include "supervisor/supervisor_metrics.h"

namespace ctlstore::supervisor {

// Works from Start() until Stop() or its destruction. Thread-safe.
class SupervisorRunner {
 public:
  struct Options {
    // Its own reflector, with one local database, which may begin from what is in the destinations.
    reflector::ReflectorRunner::Options reflector;
    Supervisor::Options supervisor;
    // How the destinations are opened.
    object_store::StoreOptions store;
  };

  // Errors as ReflectorRunner::Start() and Supervisor::Start().
  static absl::StatusOr<std::unique_ptr<SupervisorRunner>> Start(const Options& options);
  ~SupervisorRunner();
  SupervisorRunner(const SupervisorRunner&) = delete;
  SupervisorRunner& operator=(const SupervisorRunner&) = delete;

  SupervisorControl* control() { return supervisor_.get(); }
  reflector::ReflectorControl* reflector() { return reflector_.get(); }
  // The reflector's and the supervisor's metrics.
  prometheus::Registry* registry() { return reflector_->registry(); }
  // As ReflectorRunner::ServeMetrics().
  absl::StatusOr<std::string> ServeMetrics(const rpc::HttpServer::Options& options) {
    return reflector_->ServeMetrics(options);
  }

  // Ends what is under way soon, with UNAVAILABLE for those who wait; Stop() waits for that. Both
  // may be called again.
  void RequestStop();
  void Stop();

 private:
  explicit SupervisorRunner(std::unique_ptr<reflector::ReflectorRunner> reflector);

  const std::unique_ptr<reflector::ReflectorRunner> reflector_;
  const ReflectorCopy copy_;
  SupervisorMetrics metrics_;
  // Last: it uses all of the others.
  std::unique_ptr<Supervisor> supervisor_;
};

}  // namespace ctlstore::supervisor

#endif  // CTLSTORE_SUPERVISOR_SUPERVISOR_RUNNER_H_
