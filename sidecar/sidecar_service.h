// The Sidecar API over a local database.

#ifndef CTLSTORE_SIDECAR_SIDECAR_SERVICE_H_
#define CTLSTORE_SIDECAR_SIDECAR_SERVICE_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/ldb/reader.h"
#include "common/rpc/access_control.h"
#include "common/rpc/call_metrics.h"
#include "sidecar/sequence_waiter.h"
#include "sidecar/watches.h"

namespace grpc {
class Service;
}  // namespace grpc

namespace ctlstore::sidecar {

// Answers the calls of the contract in proto/ctlstore/v1/sidecar.proto. Thread-safe.
class SidecarService {
 public:
  struct Options {
    // The most rows that one ListRows answers with; at least 1.
    int64_t max_list_rows = 100000;
    // How long one ListRows may take, until its last page is handed to gRPC. The list's state of
    // the database is let go at that moment, also when its client has stopped reading.
    absl::Duration max_list_duration = absl::Seconds(30);
    // The most calls that wait for a sequence at a time, and how long one may wait.
    size_t max_waits = 10000;
    absl::Duration max_wait = absl::Seconds(30);
    // An answer of BatchGetRows has at most this many bytes, which is what gRPC's clients take
    // unless they are told otherwise.
    size_t max_response_bytes = size_t{4} << 20;
    Watches::Options watches;
    // Where set: says who may call; every call takes the role reader.
    const rpc::AccessControl* access = nullptr;
  };

  // The reader, the clock, the access control and the metrics, where there are any, must outlive
  // the service, and the service its gRPC server.
  SidecarService(ldb::Reader* reader, Clock* clock, const Options& options,
                 rpc::CallMetrics* metrics = nullptr);
  ~SidecarService();
  SidecarService(const SidecarService&) = delete;
  SidecarService& operator=(const SidecarService&) = delete;

  // What is given to a gRPC server.
  grpc::Service* grpc_service();

  // Calls that wait for a sequence now.
  size_t waiting() const;
  // Ends all watches, those to come too: they do not end by themselves before a server's end.
  void EndWatches();
  Watches::Stats watch_stats() const;

  // For another API over the same reader, whose calls then wait among the same number.
  SequenceWaiter* waiter();

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace ctlstore::sidecar

#endif  // CTLSTORE_SIDECAR_SIDECAR_SERVICE_H_
