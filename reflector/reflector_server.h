// The reflector's gRPC server.

#ifndef CTLSTORE_REFLECTOR_REFLECTOR_SERVER_H_
#define CTLSTORE_REFLECTOR_REFLECTOR_SERVER_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/rpc/server.h"
#include "reflector/reflector_control.h"

namespace prometheus {
class Registry;
}  // namespace prometheus

namespace ctlstore::reflector {

// Serves the Reflector API (reflector_service.h) from Start() until Shutdown() or its destruction.
// The health service says that it serves while every local database is ready. Thread-safe.
class ReflectorServer {
 public:
  // The control and the registry, which gets the metrics of the calls, must outlive the server.
  // Errors as rpc::Server::Start().
  static absl::StatusOr<std::unique_ptr<ReflectorServer>> Start(const rpc::ServerOptions& options,
                                                                ReflectorControl* control,
                                                                prometheus::Registry* registry);
  ~ReflectorServer();
  ReflectorServer(const ReflectorServer&) = delete;
  ReflectorServer& operator=(const ReflectorServer&) = delete;

  // Where it listens.
  const std::vector<std::string>& addresses() const;

  // Lets calls under way end within `grace`.
  void Shutdown(absl::Duration grace);

 private:
  class Impl;
  explicit ReflectorServer(std::unique_ptr<Impl> impl);
  const std::unique_ptr<Impl> impl_;
};

}  // namespace ctlstore::reflector

#endif  // CTLSTORE_REFLECTOR_REFLECTOR_SERVER_H_
