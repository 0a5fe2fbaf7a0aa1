// The sidecar as one object: reader and servers together.

#ifndef CTLSTORE_SIDECAR_SIDECAR_SERVER_H_
#define CTLSTORE_SIDECAR_SIDECAR_SERVER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/ldb/reader.h"
#include "common/rpc/http_server.h"
#include "common/rpc/server.h"
#include "sidecar/watches.h"

namespace ctlstore::sidecar {

// Serves the Sidecar API over gRPC, and over HTTP where asked to, from Start() until Shutdown() or
// its destruction, also while there is no LDB yet; the health service then says that it is not
// serving. Every call takes the role reader, where roles are set up. Thread-safe.
class SidecarServer {
 public:
  struct Options {
    std::string ldb_path;
    rpc::ServerOptions server;
    // Not set: not served.
    absl::optional<rpc::HttpServer::Options> http;
    // The most rows that one ListRows answers with.
    int64_t max_list_rows = 100000;
    // How long one ListRows may take; it holds back the LDB's WAL for that time.
    absl::Duration max_list_duration = absl::Seconds(30);
    // The most bytes of JSON that one list has over HTTP.
    size_t max_http_list_bytes = size_t{32} << 20;
    // The most calls that wait for a sequence at a time, and how long one waits.
    size_t max_waits = 10000;
    absl::Duration max_wait = absl::Seconds(30);
    // The caches. How long a state is held follows max_list_duration.
    ldb::ReaderOptions reader;
    Watches::Options watches;
    // How often it is seen whether the LDB can be read, for those who ask for its health.
    absl::Duration health_interval = absl::Milliseconds(200);
  };

  static absl::StatusOr<std::unique_ptr<SidecarServer>> Start(const Options& options);
  ~SidecarServer();
  SidecarServer(const SidecarServer&) = delete;
  SidecarServer& operator=(const SidecarServer&) = delete;

  // Where it listens for gRPC.
  const std::vector<std::string>& addresses() const;
  // For HTTP; empty where it is not served.
  std::string http_address() const;

  // OK where the LDB can be read, as it was seen last.
  absl::Status Readiness() const;

  // Serves metrics and health by HTTP until Shutdown(). Returns the address. To be called at most
  // once. Errors as rpc::MetricsServer::Start().
  absl::StatusOr<std::string> ServeMetrics(const rpc::HttpServer::Options& options);

  // Lets calls under way end within `grace`.
  void Shutdown(absl::Duration grace);

 private:
  class Impl;
  explicit SidecarServer(std::unique_ptr<Impl> impl);
  const std::unique_ptr<Impl> impl_;
};

}  // namespace ctlstore::sidecar

#endif  // CTLSTORE_SIDECAR_SIDECAR_SERVER_H_
