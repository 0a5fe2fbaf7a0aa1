// The executive as one object: ctldb, logic and gRPC server together.

#ifndef CTLSTORE_EXECUTIVE_EXECUTIVE_SERVER_H_
#define CTLSTORE_EXECUTIVE_EXECUTIVE_SERVER_H_

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "common/ctldb/connection.h"
#include "common/ctldb/target.h"
#include "common/rpc/server.h"

namespace ctlstore::executive {

// Serves the Executive API from Start() until Shutdown() or its destruction. Any number of
// executives can share a ctldb. Thread-safe.
class ExecutiveServer {
 public:
  struct Options {
    ctldb::Target ctldb;
    ctldb::ConnectionOptions connection;
    size_t max_ctldb_connections = 16;
    rpc::ServerOptions server;
    // How long Start() waits for a ctldb that cannot be reached.
    absl::Duration ctldb_wait = absl::Seconds(60);
    // The longest that a call may take, whatever deadline it came with.
    absl::Duration max_call_duration = absl::Seconds(60);
    // Where set: ends that wait early once it is notified. Must outlive Start().
    absl::Notification* stop = nullptr;
  };

  // Creates or checks the ctldb's tables, completes what an executive that died has left, and
  // serves. UNAVAILABLE where the ctldb could not be reached or an address cannot be listened on,
  // CANCELLED after `stop`, FAILED_PRECONDITION where the ctldb's own tables are not as they must
  // be.
  static absl::StatusOr<std::unique_ptr<ExecutiveServer>> Start(const Options& options);
  ~ExecutiveServer();
  ExecutiveServer(const ExecutiveServer&) = delete;
  ExecutiveServer& operator=(const ExecutiveServer&) = delete;

  // Where it listens.
  const std::vector<std::string>& addresses() const;

  // Lets calls under way end within `grace`.
  void Shutdown(absl::Duration grace);

 private:
  class Impl;
  explicit ExecutiveServer(std::unique_ptr<Impl> impl);
  const std::unique_ptr<Impl> impl_;
};

}  // namespace ctlstore::executive

#endif  // CTLSTORE_EXECUTIVE_EXECUTIVE_SERVER_H_
