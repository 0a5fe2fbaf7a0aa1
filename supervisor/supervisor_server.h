// The supervisor's gRPC server.

#ifndef CTLSTORE_SUPERVISOR_SUPERVISOR_SERVER_H_
#define CTLSTORE_SUPERVISOR_SUPERVISOR_SERVER_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/rpc/server.h"
#include "reflector/reflector_control.h"
#include "supervisor/supervisor_control.h"

namespace prometheus {
class Registry;
}  // namespace prometheus

namespace ctlstore::supervisor {

// Serves the Supervisor API (supervisor_service.h), and the Reflector API for the supervisor's own
// copy, from Start() until Shutdown() or its destruction. The health service says that it serves
// while a snapshot can be taken. Thread-safe.
class SupervisorServer {
 public:
  // The controls and the registry, which gets the metrics of the calls, must outlive the server.
  // Errors as rpc::Server::Start().
  static absl::StatusOr<std::unique_ptr<SupervisorServer>> Start(
      const rpc::ServerOptions& options, SupervisorControl* supervisor,
      reflector::ReflectorControl* reflector, prometheus::Registry* registry);
  ~SupervisorServer();
  SupervisorServer(const SupervisorServer&) = delete;
  SupervisorServer& operator=(const SupervisorServer&) = delete;

  // Where it listens.
  const std::vector<std::string>& addresses() const;

  // Lets calls under way end within `grace`, and waits for those that wait for a snapshot: the
  // control must be ending.
  void Shutdown(absl::Duration grace);

 private:
  class Impl;
  explicit SupervisorServer(std::unique_ptr<Impl> impl);
  const std::unique_ptr<Impl> impl_;
};

}  // namespace ctlstore::supervisor

#endif  // CTLSTORE_SUPERVISOR_SUPERVISOR_SERVER_H_
