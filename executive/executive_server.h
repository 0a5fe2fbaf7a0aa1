// The executive as one object: ctldb, logic, and the servers in front of it.

#ifndef CTLSTORE_EXECUTIVE_EXECUTIVE_SERVER_H_
#define CTLSTORE_EXECUTIVE_EXECUTIVE_SERVER_H_

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/ctldb/connection.h"
#include "common/ctldb/target.h"
#include "common/object_store/open_store.h"
#include "common/rpc/http_server.h"
#include "common/rpc/server.h"
#include "common/snapshot/location.h"
#include "executive/executive.h"
#include "executive/ledger_pruner.h"
#include "executive/ledger_tailer.h"

namespace ctlstore::executive {

// Serves the Executive API over gRPC, and over HTTP where asked to, and the ledger's stream over
// gRPC, from Start() until Shutdown() or its destruction. Its health, by gRPC and at the metrics'
// address, is that of the ctldb. Any number of executives can share a ctldb. Thread-safe.
class ExecutiveServer {
 public:
  struct Options {
    ctldb::Target ctldb;
    ctldb::ConnectionOptions connection;
    // Calls under way take one each, a schema change two, and Mutates one together.
    size_t max_ctldb_connections = 16;
    // Threads for calls that wait for the ctldb, other than Mutates, and how many such calls may
    // wait for a thread.
    size_t worker_threads = 8;
    size_t max_waiting_calls = 200;
    rpc::ServerOptions server;
    // Not set: not served.
    absl::optional<rpc::HttpServer::Options> http;
    absl::optional<rpc::HttpServer::Options> metrics;
    // The ctldb in `commits`, `ledger` and `pruning` is set by Start(), and so is who is told of
    // commits.
    Executive::Options executive;
    LedgerTailer::Options ledger;
    // The ledger is pruned where `pruning.enabled`, by the snapshots in all of these places.
    LedgerPruner::Options pruning;
    std::vector<snapshot::Location> snapshot_places;
    object_store::StoreOptions snapshot_store;
    // How long Start() waits for a ctldb that cannot be reached.
    absl::Duration ctldb_wait = absl::Seconds(60);
    // The longest that a call may take, whatever deadline it came with.
    absl::Duration max_call_duration = absl::Seconds(60);
    // How often it is looked whether the ctldb answers.
    absl::Duration probe_interval = absl::Seconds(2);
    // Where set: ends that wait early once it is notified. Must outlive Start().
    absl::Notification* stop = nullptr;
  };

  // Creates or checks the ctldb's tables, completes what an executive that died has left, and
  // serves. UNAVAILABLE where the ctldb could not be reached or an address cannot be listened on,
  // CANCELLED after `stop`, FAILED_PRECONDITION where the ctldb's own tables are not as they must
  // be, or where it would be reached from other hosts without protection (rpc::Server::Start()).
  static absl::StatusOr<std::unique_ptr<ExecutiveServer>> Start(const Options& options);
  ~ExecutiveServer();
  ExecutiveServer(const ExecutiveServer&) = delete;
  ExecutiveServer& operator=(const ExecutiveServer&) = delete;

  // Where it listens for gRPC.
  const std::vector<std::string>& addresses() const;
  // For HTTP and metrics; empty where they are not served.
  std::string http_address() const;
  std::string metrics_address() const;

  // Lets calls under way end within `grace`. Streams of the ledger are ended at once.
  void Shutdown(absl::Duration grace);

 private:
  class Impl;
  explicit ExecutiveServer(std::unique_ptr<Impl> impl);
  const std::unique_ptr<Impl> impl_;
};

}  // namespace ctlstore::executive

#endif  // CTLSTORE_EXECUTIVE_EXECUTIVE_SERVER_H_
