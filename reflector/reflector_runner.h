// One reflector at work: its connection, its local database and its thread as one object.

#ifndef CTLSTORE_REFLECTOR_REFLECTOR_RUNNER_H_
#define CTLSTORE_REFLECTOR_REFLECTOR_RUNNER_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/ctldb/connection.h"
#include "common/ctldb/target.h"
#include "common/ldb/ldb_writer.h"
#include "common/rpc/http_server.h"
#include "reflector/reflector.h"

namespace ctlstore::reflector {

// Keeps the local database at `ldb_path` up with a ctldb's ledger, in a thread of its own, from
// Start() until Stop() or its destruction. Thread-safe.
class ReflectorRunner {
 public:
  struct Options {
    ctldb::Target ctldb;
    // Always used read-only.
    ctldb::ConnectionOptions connection;
    std::string ldb_path;
    Reflector::Options reflector;
    ldb::LdbWriter::Options writer;
    // It is ready while everything that was in the ledger so long ago is applied. More than a few
    // poll intervals.
    absl::Duration ready_within = absl::Minutes(1);
  };

  // Opens the local database and begins to work. Does not wait for the ctldb, which may be away:
  // that is tried again until it answers.
  //   FAILED_PRECONDITION   another process, which it names, writes this local database.
  //   DATA_LOSS             the local database is damaged.
  static absl::StatusOr<std::unique_ptr<ReflectorRunner>> Start(const Options& options);
  ~ReflectorRunner();
  ReflectorRunner(const ReflectorRunner&) = delete;
  ReflectorRunner& operator=(const ReflectorRunner&) = delete;

  Reflector::State state() const;

  // How many gaps in the ledger's sequences were accepted since the start.
  int64_t ledger_gaps() const;

  // OK where the local database has caught up with the ledger, since the start and within
  // `ready_within`; otherwise UNAVAILABLE with what is in the way.
  absl::Status Readiness() const;

  // Serves metrics and health until Stop(). Returns the address. To be called at most once. Errors
  // as rpc::MetricsServer::Start().
  absl::StatusOr<std::string> ServeMetrics(const rpc::HttpServer::Options& options);

  // Ends the work after what is being read or applied at the moment, and gives up the local
  // database. Returns when that is done. May be called again.
  void Stop();

 private:
  class Impl;
  explicit ReflectorRunner(std::unique_ptr<Impl> impl);
  const std::unique_ptr<Impl> impl_;
};

}  // namespace ctlstore::reflector

#endif  // CTLSTORE_REFLECTOR_REFLECTOR_RUNNER_H_
