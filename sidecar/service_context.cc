#include "sidecar/service_context.h"

#include <algorithm>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/rpc/caller.h"
#include "common/schema/errors.h"
#include "common/schema/names.h"

namespace ctlstore::sidecar {

ServiceContext::ServiceContext(ldb::Reader* reader, const SidecarService::Options& options,
                               rpc::CallMetrics* metrics)
    : reader_(reader), options_(options), metrics_(metrics), waiter_(reader, options.max_waits) {}

absl::Status ServiceContext::CheckAccess(const grpc::CallbackServerContext& context) const {
  if (options_.access == nullptr || !options_.access->has_roles()) return absl::OkStatus();
  const absl::StatusOr<rpc::Caller> caller = options_.access->Identify(context);
  if (!caller.ok()) return caller.status();
  return rpc::RequireRole(*caller, rpc::Role::kReader);
}

void ServiceContext::Record(absl::string_view method, absl::StatusCode code, absl::Time begin) {
  if (metrics_ != nullptr) metrics_->Record(method, code, absl::Now() - begin);
}

absl::Status ServiceContext::CheckSequence(absl::string_view field, int64_t sequence) {
  if (sequence >= 0) return absl::OkStatus();
  return InvalidField(field, reason::kInvalidRequest,
                      absl::StrCat("must not be negative, and is ", sequence));
}

bool ServiceContext::IsApplied(int64_t min_sequence) const {
  if (min_sequence == 0) return true;
  const absl::StatusOr<int64_t> applied = reader_->GetSequence();
  return applied.ok() && *applied >= min_sequence;
}

absl::Time ServiceContext::WaitDeadline(const grpc::CallbackServerContext& context) const {
  return std::min(absl::FromChrono(context.deadline()), absl::Now() + options_.max_wait);
}

absl::Status WithNameChecked(const absl::Status& error, absl::string_view family,
                             absl::string_view table) {
  const absl::Status name = NormalizeName(family, table).status();
  return name.ok() ? error : name;
}

}  // namespace ctlstore::sidecar
