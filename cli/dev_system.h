// All of ctlstore in one process.

#ifndef CTLSTORE_CLI_DEV_SYSTEM_H_
#define CTLSTORE_CLI_DEV_SYSTEM_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/ctldb/connection.h"
#include "common/ctldb/target.h"
#include "common/rpc/server.h"
#include "executive/executive_server.h"
#include "heartbeat/heartbeat_runner.h"
#include "reflector/reflector_runner.h"
#include "reflector/reflector_server.h"
#include "sidecar/sidecar_server.h"
#include "supervisor/supervisor.h"

namespace ctlstore::cli {

// An executive, a reflector, a sidecar, a heartbeat and a supervisor, wired together, with their
// data in one folder. The reflectors follow the executive's stream, and the system of record where
// that fails, and begin from the supervisor's snapshots.
//
//   ctldb.db          the system of record, unless another one is given
//   ldb.db            this host's copy (for another system of record in a folder named after it)
//   heartbeat.secret  the heartbeat's secret
//   writer.secret     a secret for the writer that tries things out
//   supervisor/       the supervisor's copy, beside ldb.db
//   snapshots/        its snapshots, beside ldb.db
//   dev.lock          locked while a system uses the folder
//
// and, where the servers have TLS or roles:
//
//   executive.sock    the executive's Unix socket for the heartbeat and the reflector
//   admin.token       a token with the role admin, where no file of such tokens is given
//
// Runs from Start() until Stop() or its destruction. Not thread-safe.
class DevSystem {
 public:
  struct Options {
    // Made where it is not there, for its owner only. Absolute.
    std::string data_dir;
    // Instead of the embedded one.
    absl::optional<ctldb::Target> ctldb;
    ctldb::ConnectionOptions connection;
    // "host:port" or "unix:/absolute/path".
    std::string executive_listen;
    std::string sidecar_listen;
    // Beside it, for HTTP; 0 for a free one, -1 for none.
    int sidecar_http_port = -1;
    std::string reflector_listen;
    std::string supervisor_listen;
    // For all of them, without the addresses.
    rpc::ServerOptions server;
    // Of these, what is not said above.
    executive::ExecutiveServer::Options executive;
    reflector::ReflectorRunner::Options reflector;
    sidecar::SidecarServer::Options sidecar;
    heartbeat::HeartbeatRunner::Options heartbeat;
    supervisor::Supervisor::Options supervisor;
    // Ends the wait for a system of record that is away. Must outlive Start().
    absl::Notification* stop = nullptr;
  };

  // FAILED_PRECONDITION where the folder is in use, naming the process; UNAVAILABLE where an
  // address is taken, naming the flag, or where the system of record cannot be reached;
  // INVALID_ARGUMENT for what is not an address; CANCELLED after `stop`.
  static absl::StatusOr<std::unique_ptr<DevSystem>> Start(const Options& options);
  ~DevSystem();
  DevSystem(const DevSystem&) = delete;
  DevSystem& operator=(const DevSystem&) = delete;

  // Returns when a heartbeat of this run has gone all the way to the local database, which has then
  // caught up with everything before it. CANCELLED when `stop` is notified, DEADLINE_EXCEEDED with
  // what is in the way at `deadline`.
  absl::Status WaitUntilReady(absl::Time deadline, absl::Notification* stop);

  // With the ports that were chosen.
  std::string executive_address() const;
  std::string sidecar_address() const;
  std::string reflector_address() const;
  std::string supervisor_address() const;
  // Empty where it is not served.
  std::string executive_http_address() const;
  std::string sidecar_http_address() const;
  const std::string& ldb_path() const;
  // A folder.
  const std::string& snapshots_path() const;
  const std::string& writer_secret_path() const;
  // A file with a token that has the role admin; empty where there are no roles.
  const std::string& admin_token_path() const;
  // The system of record's URL, without a secret.
  std::string ctldb_name() const;

  void Stop();

 private:
  class Impl;
  explicit DevSystem(std::unique_ptr<Impl> impl);
  const std::unique_ptr<Impl> impl_;
};

}  // namespace ctlstore::cli

#endif  // CTLSTORE_CLI_DEV_SYSTEM_H_
