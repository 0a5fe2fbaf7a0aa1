// One heartbeat at work: its client and its thread as one object.

#ifndef CTLSTORE_HEARTBEAT_HEARTBEAT_RUNNER_H_
#define CTLSTORE_HEARTBEAT_HEARTBEAT_RUNNER_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/rpc/client.h"
#include "common/rpc/http_server.h"
#include "common/rpc/writer_metadata.h"
#include "heartbeat/heartbeat.h"

namespace ctlstore::heartbeat {

// Writes heartbeats through the executive at an address, in a thread of its own, from its
// construction until Stop() or its destruction. The executive may be away: that is tried again
// until it answers. Thread-safe.
class HeartbeatRunner {
 public:
  struct Options {
    // "host:port" or "unix:/path".
    std::string executive;
    // TLS, and the token that proves the role admin. Without that role the writer, the family and
    // the table have to be there.
    rpc::ChannelOptions channel;
    // The writer in whose name heartbeats are written; it is registered where it is not known.
    rpc::WriterCredentials credentials;
    Heartbeat::Options heartbeat;
    // How long the executive may take to answer one call.
    absl::Duration call_timeout = absl::Seconds(10);
  };

  explicit HeartbeatRunner(const Options& options);
  ~HeartbeatRunner();
  HeartbeatRunner(const HeartbeatRunner&) = delete;
  HeartbeatRunner& operator=(const HeartbeatRunner&) = delete;

  Heartbeat::State state() const;

  // OK where the last try to write a heartbeat succeeded; otherwise UNAVAILABLE with what is in the
  // way.
  absl::Status Readiness() const;

  // Serves metrics and health until Stop(). Returns the address. To be called at most once. Errors
  // as rpc::MetricsServer::Start().
  absl::StatusOr<std::string> ServeMetrics(const rpc::HttpServer::Options& options);

  // Ends the work at once, also while the executive does not answer. Returns when that is done. May
  // be called again.
  void Stop();

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace ctlstore::heartbeat

#endif  // CTLSTORE_HEARTBEAT_HEARTBEAT_RUNNER_H_
