#include "reflector/reflector_service.h"

#include <glog/logging.h>
#include <grpcpp/server_context.h>

#include <algorithm>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/rpc/caller.h"
#include "common/rpc/instance_name.h"
#include "common/rpc/proto_conversion.h"
#include "common/rpc/status_conversion.h"
#include "ctlstore/v1/reflector.grpc.pb.h"

namespace ctlstore::reflector {
namespace {

v1::ReflectorState ToProto(ReplicationState state) {
  switch (state) {
    case ReplicationState::kStarting:
      return v1::STARTING;
    case ReplicationState::kCatchingUp:
      return v1::CATCHING_UP;
    case ReplicationState::kCurrent:
      return v1::CURRENT;
    case ReplicationState::kUpstreamUnavailable:
      return v1::UPSTREAM_UNAVAILABLE;
    case ReplicationState::kLedgerBehind:
      return v1::LEDGER_BEHIND;
    case ReplicationState::kNeedsSnapshot:
      return v1::NEEDS_SNAPSHOT;
    case ReplicationState::kEntryFailed:
      return v1::ENTRY_FAILED;
    case ReplicationState::kDiskFull:
      return v1::DISK_FULL;
    case ReplicationState::kLdbUnavailable:
      return v1::LDB_UNAVAILABLE;
    case ReplicationState::kRebuilding:
      return v1::REBUILDING;
    case ReplicationState::kFetchingSnapshot:
      return v1::FETCHING_SNAPSHOT;
  }
  return v1::REFLECTOR_STATE_UNSPECIFIED;
}

// A clock that was set back makes nothing negative.
absl::Duration Since(absl::Time begin, absl::Time now) {
  return std::max(now - begin, absl::ZeroDuration());
}

void ToProto(const snapshot::FetchProgress& progress, v1::SnapshotFetch* proto) {
  switch (progress.stage) {
    case snapshot::FetchProgress::Stage::kLooking:
      proto->set_stage(v1::SnapshotFetch::LOOKING);
      break;
    case snapshot::FetchProgress::Stage::kFetching:
      proto->set_stage(v1::SnapshotFetch::FETCHING);
      break;
    case snapshot::FetchProgress::Stage::kChecking:
      proto->set_stage(v1::SnapshotFetch::CHECKING);
      break;
  }
  proto->set_url(progress.url);
  proto->set_snapshot_id(progress.id);
  proto->set_sequence(std::max<int64_t>(progress.sequence, 0));
  proto->set_bytes_done(progress.bytes_done);
  proto->set_bytes_total(progress.bytes_total);
  proto->set_bytes_per_second(progress.bytes_per_second);
  if (progress.time_left.has_value()) {
    rpc::ToProto(*progress.time_left, proto->mutable_time_left());
  }
}

void ToProto(const LdbStatus& status, absl::Time now, v1::LdbStatus* proto) {
  proto->set_path(status.path);
  proto->set_state(ToProto(status.state));
  if (!status.error.ok()) proto->set_error(status.error.ToString());
  if (!status.readiness.ok()) proto->set_not_ready(std::string(status.readiness.message()));
  proto->set_applied_sequence(status.applied_sequence);
  proto->set_ledger_sequence(status.ledger_sequence);
  if (status.last_caught_up.has_value()) {
    rpc::ToProto(*status.last_caught_up, proto->mutable_last_caught_up());
    if (status.state != ReplicationState::kCurrent) {
      rpc::ToProto(Since(*status.last_caught_up, now), proto->mutable_behind());
    }
  }
  proto->set_upstream(status.upstream);
  for (const std::string& family : status.families) proto->add_families(family);
  proto->set_wal_bytes(status.wal_bytes);
  if (status.checkpoint_blocked_since.has_value()) {
    rpc::ToProto(Since(*status.checkpoint_blocked_since, now), proto->mutable_checkpoint_blocked());
  }
  proto->set_checkpoint_blocked_by_pid(status.checkpoint_blocked_by.value_or(0));
  proto->set_failed_sequence(status.failed_sequence.value_or(0));
  proto->set_skipped_entries(status.skipped_entries);
  proto->set_rebuild_sequence(status.rebuild_sequence);
  proto->set_rebuild_reason(status.rebuild_reason);
  proto->set_changelog_path(status.changelog_path);
  proto->set_snapshot_id(status.snapshot_id);
  if (status.fetch.has_value()) ToProto(*status.fetch, proto->mutable_snapshot_fetch());
}

}  // namespace

class ReflectorService::Impl : public v1::Reflector::CallbackService {
 public:
  Impl(ReflectorControl* control, const rpc::AccessControl* access, Clock* clock,
       rpc::CallMetrics* metrics)
      : control_(control),
        access_(access),
        clock_(clock),
        metrics_(metrics),
        instance_(rpc::InstanceName()) {}

  grpc::ServerUnaryReactor* GetStatus(grpc::CallbackServerContext* context,
                                      const v1::GetReflectorStatusRequest*,
                                      v1::GetReflectorStatusResponse* response) override {
    return Answer(context, "GetStatus", rpc::Role::kReader, [&](const rpc::Caller&) {
      response->set_instance(instance_);
      const absl::Time now = clock_->Now();
      for (const LdbStatus& status : control_->Status()) ToProto(status, now, response->add_ldbs());
      return absl::OkStatus();
    });
  }

  grpc::ServerUnaryReactor* SkipEntry(grpc::CallbackServerContext* context,
                                      const v1::SkipEntryRequest* request,
                                      v1::SkipEntryResponse*) override {
    return Answer(context, "SkipEntry", rpc::Role::kAdmin, [&](const rpc::Caller& caller) {
      const absl::Status status = control_->SkipEntry(request->ldb_path(), request->sequence());
      Told("skip_entry", caller, request->ldb_path(), status,
           absl::StrCat(" sequence=", request->sequence()));
      return status;
    });
  }

  grpc::ServerUnaryReactor* Rebuild(grpc::CallbackServerContext* context,
                                    const v1::RebuildRequest* request,
                                    v1::RebuildResponse*) override {
    return Answer(context, "Rebuild", rpc::Role::kAdmin, [&](const rpc::Caller& caller) {
      const absl::Status status = control_->Rebuild(request->ldb_path());
      Told("rebuild", caller, request->ldb_path(), status, "");
      return status;
    });
  }

 private:
  grpc::ServerUnaryReactor* Answer(grpc::CallbackServerContext* context, const char* method,
                                   rpc::Role role,
                                   const std::function<absl::Status(const rpc::Caller&)>& call) {
    const absl::Time begin = absl::Now();
    const absl::StatusOr<rpc::Caller> caller = access_->Identify(*context);
    absl::Status status = caller.status();
    if (status.ok()) status = rpc::RequireRole(*caller, role);
    if (status.ok()) status = call(*caller);
    if (metrics_ != nullptr) metrics_->Record(method, status.code(), absl::Now() - begin);
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(rpc::ToGrpcStatus(status));
    return reactor;
  }

  static void Told(const char* action, const rpc::Caller& caller, const std::string& ldb_path,
                   const absl::Status& status, const std::string& details) {
    LOG(INFO) << "event=reflector_told action=" << action << " by=\"" << caller.name
              << "\" peer=" << caller.peer << " ldb=\"" << ldb_path << "\"" << details
              << " result=" << absl::StatusCodeToString(status.code());
  }

  ReflectorControl* const control_;
  const rpc::AccessControl* const access_;
  Clock* const clock_;
  rpc::CallMetrics* const metrics_;
  const std::string instance_;
};

ReflectorService::ReflectorService(ReflectorControl* control, const rpc::AccessControl* access,
                                   Clock* clock, rpc::CallMetrics* metrics)
    : impl_(std::make_unique<Impl>(control, access, clock, metrics)) {}
ReflectorService::~ReflectorService() = default;

grpc::Service* ReflectorService::grpc_service() { return impl_.get(); }

}  // namespace ctlstore::reflector
