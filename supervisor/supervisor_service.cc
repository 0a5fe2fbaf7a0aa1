#include "supervisor/supervisor_service.h"

#include <glog/logging.h>
#include <grpcpp/server_context.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/escaping.h"
#include "absl/time/clock.h"
#include "common/rpc/caller.h"
#include "common/rpc/instance_name.h"
#include "common/rpc/proto_conversion.h"
#include "common/rpc/status_conversion.h"
#include "ctlstore/v1/supervisor.grpc.pb.h"

namespace ctlstore::supervisor {
namespace {

v1::GetSupervisorStatusResponse::Stage ToProto(Stage stage) {
  switch (stage) {
    case Stage::kIdle:
      return v1::GetSupervisorStatusResponse::IDLE;
    case Stage::kCopying:
      return v1::GetSupervisorStatusResponse::COPYING;
    case Stage::kCompressing:
      return v1::GetSupervisorStatusResponse::COMPRESSING;
    case Stage::kUploading:
      return v1::GetSupervisorStatusResponse::UPLOADING;
  }
  return v1::GetSupervisorStatusResponse::STAGE_UNSPECIFIED;
}

void ToProto(const SnapshotSummary& summary, v1::SnapshotInfo* proto) {
  proto->set_id(summary.id);
  proto->set_sequence(summary.sequence);
  rpc::ToProto(summary.taken_at, proto->mutable_taken_at());
  proto->set_compression(std::string(snapshot::CompressionName(summary.compression)));
  proto->set_object_bytes(summary.object_bytes);
  proto->set_file_bytes(summary.file_bytes);
  proto->set_object_sha256(absl::BytesToHexString(summary.object_sha256));
  proto->set_tables(summary.tables);
  proto->set_rows(summary.rows);
  for (const std::string& family : summary.families) proto->add_families(family);
}

std::string ErrorText(const absl::Status& status) {
  return status.ok() ? std::string() : status.ToString();
}

void ToProto(const SnapshotResult& result, v1::TakeSnapshotResponse* proto) {
  ToProto(result.snapshot, proto->mutable_snapshot());
  for (const DestinationResult& each : result.destinations) {
    v1::DestinationResult* const destination = proto->add_destinations();
    destination->set_url(each.url);
    destination->set_error(ErrorText(each.status));
  }
}

void ToProto(const std::vector<DestinationList>& lists, v1::ListSnapshotsResponse* proto) {
  for (const DestinationList& list : lists) {
    v1::ListSnapshotsResponse::Destination* const destination = proto->add_destinations();
    destination->set_url(list.url);
    destination->set_error(ErrorText(list.status));
    for (const SnapshotSummary& each : list.snapshots) {
      ToProto(each, destination->add_snapshots());
    }
  }
}

void ToProto(const SupervisorStatus& status, absl::Time now,
             v1::GetSupervisorStatusResponse* proto) {
  proto->set_stage(ToProto(status.stage));
  // A clock that was set back makes nothing negative.
  rpc::ToProto(std::max(now - status.stage_since, absl::ZeroDuration()),
               proto->mutable_stage_age());
  if (status.next_snapshot.has_value()) {
    rpc::ToProto(*status.next_snapshot, proto->mutable_next_snapshot());
  }
  for (const DestinationStatus& each : status.destinations) {
    v1::GetSupervisorStatusResponse::Destination* const destination = proto->add_destinations();
    destination->set_url(each.url);
    if (each.last_snapshot.has_value()) {
      ToProto(*each.last_snapshot, destination->mutable_last_snapshot());
    }
    if (each.last_success.has_value()) {
      rpc::ToProto(*each.last_success, destination->mutable_last_success());
    }
    destination->set_error(ErrorText(each.last_error));
    destination->set_failures(each.failures);
  }
  proto->set_applied_sequence(status.applied_sequence);
  proto->set_ledger_sequence(status.ledger_sequence);
  if (!status.readiness.ok()) proto->set_not_ready(std::string(status.readiness.message()));
}

}  // namespace

class SupervisorService::Impl : public v1::Supervisor::CallbackService {
 public:
  Impl(SupervisorControl* control, const rpc::AccessControl* access, Clock* clock,
       rpc::CallMetrics* metrics)
      : control_(control),
        access_(access),
        clock_(clock),
        metrics_(metrics),
        instance_(rpc::InstanceName()) {}

  // Whoever gives up is answered by gRPC; the reactor lives on until the snapshot is there.
  grpc::ServerUnaryReactor* TakeSnapshot(grpc::CallbackServerContext* context,
                                         const v1::TakeSnapshotRequest*,
                                         v1::TakeSnapshotResponse* response) override {
    const absl::Time begin = absl::Now();
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    const absl::StatusOr<rpc::Caller> caller = Allowed(*context, rpc::Role::kAdmin);
    if (!caller.ok()) {
      Finish("TakeSnapshot", begin, caller.status(), reactor);
      return reactor;
    }
    LOG(INFO) << "event=snapshot_asked_for by=\"" << caller->name << "\" peer=" << caller->peer;
    control_->TakeSnapshot(
        [this, begin, reactor, response](const absl::StatusOr<SnapshotResult>& result) {
          if (result.ok()) ToProto(*result, response);
          Finish("TakeSnapshot", begin, result.status(), reactor);
        });
    return reactor;
  }

  grpc::ServerUnaryReactor* ListSnapshots(grpc::CallbackServerContext* context,
                                          const v1::ListSnapshotsRequest*,
                                          v1::ListSnapshotsResponse* response) override {
    const absl::Time begin = absl::Now();
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    const absl::Status allowed = Allowed(*context, rpc::Role::kReader).status();
    if (!allowed.ok()) {
      Finish("ListSnapshots", begin, allowed, reactor);
      return reactor;
    }
    control_->ListSnapshots(
        [this, begin, reactor, response](const std::vector<DestinationList>& lists) {
          ToProto(lists, response);
          Finish("ListSnapshots", begin, absl::OkStatus(), reactor);
        });
    return reactor;
  }

  grpc::ServerUnaryReactor* GetStatus(grpc::CallbackServerContext* context,
                                      const v1::GetSupervisorStatusRequest*,
                                      v1::GetSupervisorStatusResponse* response) override {
    const absl::Time begin = absl::Now();
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    const absl::Status allowed = Allowed(*context, rpc::Role::kReader).status();
    if (allowed.ok()) {
      response->set_instance(instance_);
      ToProto(control_->Status(), clock_->Now(), response);
    }
    Finish("GetStatus", begin, allowed, reactor);
    return reactor;
  }

 private:
  absl::StatusOr<rpc::Caller> Allowed(const grpc::CallbackServerContext& context,
                                      rpc::Role role) const {
    absl::StatusOr<rpc::Caller> caller = access_->Identify(context);
    if (!caller.ok()) return caller;
    absl::Status status = rpc::RequireRole(*caller, role);
    if (!status.ok()) return status;
    return caller;
  }

  void Finish(const char* method, absl::Time begin, const absl::Status& status,
              grpc::ServerUnaryReactor* reactor) {
    if (metrics_ != nullptr) metrics_->Record(method, status.code(), absl::Now() - begin);
    reactor->Finish(rpc::ToGrpcStatus(status));
  }

  SupervisorControl* const control_;
  const rpc::AccessControl* const access_;
  Clock* const clock_;
  rpc::CallMetrics* const metrics_;
  const std::string instance_;
};

SupervisorService::SupervisorService(SupervisorControl* control, const rpc::AccessControl* access,
                                     Clock* clock, rpc::CallMetrics* metrics)
    : impl_(std::make_unique<Impl>(control, access, clock, metrics)) {}
SupervisorService::~SupervisorService() = default;

grpc::Service* SupervisorService::grpc_service() { return impl_.get(); }

}  // namespace ctlstore::supervisor
