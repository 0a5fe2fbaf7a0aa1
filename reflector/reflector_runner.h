// A reflector at work: local databases, each with what it needs, as one object.

#ifndef CTLSTORE_REFLECTOR_REFLECTOR_RUNNER_H_
#define CTLSTORE_REFLECTOR_REFLECTOR_RUNNER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/ctldb/connection.h"
#include "common/ctldb/target.h"
#include "common/ldb/change_feed.h"
#include "common/ldb/ldb_writer.h"
#include "common/object_store/open_store.h"
#include "common/rpc/client.h"
#include "common/rpc/http_server.h"
#include "common/snapshot/location.h"
#include "reflector/reflector.h"
#include "reflector/reflector_control.h"
#include "reflector/upstream_target.h"

namespace prometheus {
class Registry;
}  // namespace prometheus

namespace ctlstore::reflector {

// Keeps local databases up with one ledger, each over a connection and in threads of its own, so
// that none waits for another; from Start() until Stop() or its destruction. Thread-safe.
class ReflectorRunner : public ReflectorControl {
 public:
  struct Ldb {
    std::string path;
    // The families that are kept; all where empty.
    std::vector<std::string> families;
    // Empty for none.
    std::string changelog_path;
  };

  struct Options {
    // Where the ledger is read, in order of preference; where empty, in `ctldb`.
    std::vector<UpstreamTarget> upstreams;
    ctldb::Target ctldb;
    // For ctldbs; always used read-only.
    ctldb::ConnectionOptions connection;
    // For streams.
    rpc::ChannelOptions channel;
    // How often a ctldb is asked when nothing is new, changed at random by up to `poll_jitter` of
    // it in either direction.
    absl::Duration poll_interval = absl::Seconds(1);
    double poll_jitter = 0.25;
    // What a ledger's first entry has as its sequence.
    int64_t ledger_first_sequence = 1;
    // At least one.
    std::vector<Ldb> ldbs;
    // Where a local database that is not there, is damaged, or that the ledger does not reach back
    // to, gets a snapshot from; where empty, or where there is none that helps, it is made from the
    // ledger's beginning.
    std::vector<snapshot::Location> snapshots;
    object_store::StoreOptions object_store;
    Reflector::Options reflector;
    // Without families and listeners.
    ldb::LdbWriter::Options writer;
    int64_t changelog_max_bytes = int64_t{1} << 20;
  };

  // Takes the local databases and begins to work. Waits for nothing: an upstream that is away, and
  // a local database that cannot be opened, are tried again until they answer.
  //   FAILED_PRECONDITION   another process, which it names, writes one of the local databases.
  //   INVALID_ARGUMENT      there is none, or one is there twice.
  //   UNAVAILABLE           there can be no lock beside a local database.
  static absl::StatusOr<std::unique_ptr<ReflectorRunner>> Start(const Options& options);
  ~ReflectorRunner() override;
  ReflectorRunner(const ReflectorRunner&) = delete;
  ReflectorRunner& operator=(const ReflectorRunner&) = delete;

  // In the order of the options.
  std::vector<LdbStatus> Status() const override;
  absl::Status SkipEntry(absl::string_view ldb_path, int64_t sequence) override;
  absl::Status Rebuild(absl::string_view ldb_path) override;

  // OK where each local database has caught up with the ledger, since the start and within
  // Reflector::Options::ready_within; otherwise UNAVAILABLE with what is in the way.
  absl::Status Readiness() const;

  // How many gaps in the ledger's sequences were accepted since the start, by all of them.
  int64_t ledger_gaps() const;

  // What changes in a local database; lives as long as this does. NOT_FOUND as in ReflectorControl.
  absl::StatusOr<ldb::ChangeFeed*> Feed(absl::string_view ldb_path);

  // For what else is to be served with the metrics.
  prometheus::Registry* registry();

  // Serves metrics and health until Stop(). Returns the address. To be called at most once. Errors
  // as rpc::MetricsServer::Start().
  absl::StatusOr<std::string> ServeMetrics(const rpc::HttpServer::Options& options);

  // Ends the work after what is being read or applied at the moment, and gives up the local
  // databases. Returns when that is done. May be called again.
  void Stop();

 private:
  class Impl;
  explicit ReflectorRunner(std::unique_ptr<Impl> impl);
  const std::unique_ptr<Impl> impl_;
};

}  // namespace ctlstore::reflector

#endif  // CTLSTORE_REFLECTOR_REFLECTOR_RUNNER_H_
