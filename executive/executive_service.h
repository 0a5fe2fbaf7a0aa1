// The executive's gRPC face: proto/ctlstore/v1/executive.proto.

#ifndef CTLSTORE_EXECUTIVE_EXECUTIVE_SERVICE_H_
#define CTLSTORE_EXECUTIVE_EXECUTIVE_SERVICE_H_

#include <memory>

#include "absl/time/time.h"
#include "common/base/worker_pool.h"
#include "common/rpc/access_control.h"
#include "common/rpc/call_metrics.h"
#include "executive/executive.h"
#include "executive/ledger_pruner.h"

namespace grpc {
class Service;
}  // namespace grpc

namespace ctlstore::executive {

// What a face of the executive works with; all of it must outlive it.
struct FaceParts {
  Executive* executive = nullptr;
  const rpc::AccessControl* access = nullptr;
  // For calls that block.
  WorkerPool* workers = nullptr;
  rpc::CallMetrics* metrics = nullptr;
  // Null where there is none.
  LedgerPruner* pruner = nullptr;
  // The longest that a call may take, whatever deadline it came with.
  absl::Duration max_call_duration = absl::Seconds(60);
};

// Turns calls into calls of the executive, and its answers and errors into theirs. No call waits on
// a thread of gRPC's: a Mutate waits as an entry of the executive's queue, all else on the workers.
// Thread-safe.
std::unique_ptr<grpc::Service> NewExecutiveService(const FaceParts& parts);

}  // namespace ctlstore::executive

#endif  // CTLSTORE_EXECUTIVE_EXECUTIVE_SERVICE_H_
