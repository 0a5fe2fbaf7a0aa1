#include "sidecar/sidecar_service.h"

#include <grpcpp/server_context.h>

#include <algorithm>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/rpc/access_control.h"
#include "common/rpc/caller.h"
#include "common/rpc/instance_name.h"
#include "common/rpc/proto_conversion.h"
#include "common/rpc/status_conversion.h"
#include "common/schema/errors.h"
#include "common/schema/names.h"
#include "ctlstore/v1/sidecar.grpc.pb.h"
#include "sidecar/list_rows_call.h"
#include "sidecar/row_conversion.h"

namespace ctlstore::sidecar {

class SidecarService::Impl : public v1::Sidecar::CallbackService {
 public:
  Impl(ldb::Reader* reader, Clock* clock, const Options& options, rpc::CallMetrics* metrics)
      : reader_(reader),
        clock_(clock),
        options_(options),
        metrics_(metrics),
        instance_(rpc::InstanceName()) {}

  grpc::ServerUnaryReactor* GetRow(grpc::CallbackServerContext* context,
                                   const v1::GetRowRequest* request,
                                   v1::GetRowResponse* response) override {
    const absl::Time begin = absl::Now();
    const absl::Status access = CheckAccess(*context);
    return Answer(context, "GetRow", begin, access.ok() ? GetRow(*request, response) : access);
  }

  grpc::ServerWriteReactor<v1::ListRowsResponse>* ListRows(
      grpc::CallbackServerContext* context, const v1::ListRowsRequest* request) override {
    ListRowsCall::OnEnd on_end = [this, begin = absl::Now()](absl::StatusCode code) {
      Record("ListRows", code, begin);
    };
    const absl::Status access = CheckAccess(*context);
    if (!access.ok()) return new ListRowsCall(access, std::move(on_end));
    const absl::StatusOr<int64_t> limit = LimitOf(*request);
    if (!limit.ok()) return new ListRowsCall(limit.status(), std::move(on_end));
    const absl::StatusOr<TableName> name = NormalizeName(request->family(), request->table());
    if (!name.ok()) return new ListRowsCall(name.status(), std::move(on_end));
    const absl::StatusOr<std::vector<ValueView>> key_prefix =
        rpc::FromProto("key_prefix", request->key_prefix());
    if (!key_prefix.ok()) return new ListRowsCall(key_prefix.status(), std::move(on_end));
    // One row more than are sent tells whether there are more.
    const int64_t read_limit =
        *limit == std::numeric_limits<int64_t>::max() ? ldb::kNoLimit : *limit + 1;
    return new ListRowsCall(
        reader_->ListRows(name->family, name->table, *key_prefix, {read_limit, {}}), *limit,
        options_.max_list_duration, std::move(on_end));
  }

  grpc::ServerUnaryReactor* GetStatus(grpc::CallbackServerContext* context,
                                      const v1::GetStatusRequest*,
                                      v1::GetStatusResponse* response) override {
    const absl::Time begin = absl::Now();
    const absl::Status access = CheckAccess(*context);
    return Answer(context, "GetStatus", begin, access.ok() ? GetStatus(response) : access);
  }

 private:
  absl::Status CheckAccess(const grpc::CallbackServerContext& context) const {
    if (options_.access == nullptr || !options_.access->has_roles()) return absl::OkStatus();
    const absl::StatusOr<rpc::Caller> caller = options_.access->Identify(context);
    if (!caller.ok()) return caller.status();
    return rpc::RequireRole(*caller, rpc::Role::kReader);
  }

  grpc::ServerUnaryReactor* Answer(grpc::CallbackServerContext* context, const char* method,
                                   absl::Time begin, const absl::Status& status) {
    Record(method, status.code(), begin);
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(rpc::ToGrpcStatus(status));
    return reactor;
  }

  void Record(const char* method, absl::StatusCode code, absl::Time begin) {
    if (metrics_ != nullptr) metrics_->Record(method, code, absl::Now() - begin);
  }

  absl::Status GetRow(const v1::GetRowRequest& request, v1::GetRowResponse* response) {
    const absl::StatusOr<TableName> name = NormalizeName(request.family(), request.table());
    if (!name.ok()) return name.status();
    const absl::StatusOr<std::vector<ValueView>> key = rpc::FromProto("key", request.key());
    if (!key.ok()) return key.status();
    const absl::StatusOr<ldb::Row> row = reader_->GetRow(name->family, name->table, *key);
    if (!row.ok()) return row.status();
    if (row->exists()) sidecar::ToProto(*row, response->mutable_row());
    return absl::OkStatus();
  }

  absl::StatusOr<int64_t> LimitOf(const v1::ListRowsRequest& request) const {
    if (request.limit() < 0) {
      return InvalidField(
          "limit", reason::kInvalidRequest,
          absl::StrCat("must not be negative, and is ", request.limit(),
                       "; 0 stands for this sidecar's limit of ", options_.max_list_rows));
    }
    if (request.limit() > options_.max_list_rows) {
      return InvalidField("limit", reason::kInvalidRequest,
                          absl::StrCat("is ", request.limit(), ", above this sidecar's limit of ",
                                       options_.max_list_rows, " (--max_list_rows)"));
    }
    return request.limit() == 0 ? options_.max_list_rows : request.limit();
  }

  absl::Status GetStatus(v1::GetStatusResponse* response) {
    const absl::StatusOr<ldb::Position> position = reader_->GetPosition();
    if (!position.ok()) return position.status();
    response->set_applied_sequence(position->applied_sequence);
    if (position->applied_entry_time.has_value()) {
      rpc::ToProto(*position->applied_entry_time, response->mutable_applied_entry_time());
    }
    if (position->heartbeat_time.has_value()) {
      rpc::ToProto(*position->heartbeat_time, response->mutable_heartbeat_time());
    }
    const absl::optional<absl::Duration> lag = position->Lag(clock_->Now());
    if (lag.has_value()) rpc::ToProto(*lag, response->mutable_lag());
    response->set_instance(instance_);
    response->set_ldb_path(reader_->path());
    return absl::OkStatus();
  }

  ldb::Reader* const reader_;
  Clock* const clock_;
  const Options options_;
  rpc::CallMetrics* const metrics_;
  const std::string instance_;
};

SidecarService::SidecarService(ldb::Reader* reader, Clock* clock, const Options& options,
                               rpc::CallMetrics* metrics)
    : impl_(std::make_unique<Impl>(reader, clock, options, metrics)) {}
SidecarService::~SidecarService() = default;

grpc::Service* SidecarService::grpc_service() { return impl_.get(); }

}  // namespace ctlstore::sidecar
