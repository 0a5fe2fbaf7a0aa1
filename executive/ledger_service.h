// The ledger's gRPC face: proto/ctlstore/v1/ledger.proto.

#ifndef CTLSTORE_EXECUTIVE_LEDGER_SERVICE_H_
#define CTLSTORE_EXECUTIVE_LEDGER_SERVICE_H_

#include <memory>

#include "common/rpc/access_control.h"
#include "common/rpc/call_metrics.h"
#include "executive/ledger_tailer.h"

namespace grpc {
class Service;
}  // namespace grpc

namespace ctlstore::executive {

// Each call is a listener of the tailer's. The bytes of a message are those that the tailer has,
// whoever gets them: no call serializes, copies or keeps entries of its own. Counts a call when it
// has ended. Thread-safe; all that it is given must outlive it, and calls under way.
std::unique_ptr<grpc::Service> NewLedgerService(LedgerTailer* tailer,
                                                const rpc::AccessControl* access,
                                                rpc::CallMetrics* metrics);

}  // namespace ctlstore::executive

#endif  // CTLSTORE_EXECUTIVE_LEDGER_SERVICE_H_
