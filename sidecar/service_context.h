// What all calls of the sidecar's API have in common.

#ifndef CTLSTORE_SIDECAR_SERVICE_CONTEXT_H_
#define CTLSTORE_SIDECAR_SERVICE_CONTEXT_H_

#include <grpcpp/server_context.h>

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/ldb/reader.h"
#include "common/rpc/access_control.h"
#include "common/rpc/call_metrics.h"
#include "sidecar/sequence_waiter.h"
#include "sidecar/sidecar_service.h"

namespace ctlstore::sidecar {

// Thread-safe.
class ServiceContext {
 public:
  ServiceContext(ldb::Reader* reader, const SidecarService::Options& options,
                 rpc::CallMetrics* metrics);

  ldb::Reader* reader() const { return reader_; }
  SequenceWaiter* waiter() { return &waiter_; }
  const SidecarService::Options& options() const { return options_; }

  // Whether the caller may call.
  absl::Status CheckAccess(const grpc::CallbackServerContext& context) const;

  // Counts a call that has ended.
  void Record(absl::string_view method, absl::StatusCode code, absl::Time begin);

  // INVALID_ARGUMENT for a sequence that no ledger has.
  static absl::Status CheckSequence(absl::string_view field, int64_t sequence);

  // Whether a read need not wait until `min_sequence` is applied.
  bool IsApplied(int64_t min_sequence) const;

  // Until when a call waits.
  absl::Time WaitDeadline(const grpc::CallbackServerContext& context) const;

 private:
  ldb::Reader* const reader_;
  const SidecarService::Options options_;
  rpc::CallMetrics* const metrics_;
  SequenceWaiter waiter_;
};

// `error` of a read of a table, or, where it is because of how that is named, what is wrong with
// the name. Only malformed names are no table's for sure, so that the others need not be looked at.
absl::Status WithNameChecked(const absl::Status& error, absl::string_view family,
                             absl::string_view table);

}  // namespace ctlstore::sidecar

#endif  // CTLSTORE_SIDECAR_SERVICE_CONTEXT_H_
