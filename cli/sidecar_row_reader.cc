#include "cli/sidecar_row_reader.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"
#include "cli/key_guess.h"
#include "cli/server_errors.h"
#include "common/rpc/client.h"
#include "common/rpc/proto_conversion.h"
#include "common/rpc/status_conversion.h"
#include "ctlstore/v1/sidecar.grpc.pb.h"

namespace ctlstore::cli {
namespace {

absl::StatusOr<NamedValues> Copied(const v1::Row& row) {
  NamedValues values;
  for (const auto& [name, proto] : row.values()) {
    absl::StatusOr<ValueView> value = rpc::FromProto(name, proto);
    if (!value.ok()) return value.status();
    values.push_back(NamedValue{name, Value(*value)});
  }
  std::sort(values.begin(), values.end(),
            [](const NamedValue& a, const NamedValue& b) { return a.name < b.name; });
  return values;
}

absl::Time ToTime(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

}  // namespace

class SidecarRowReader::Impl {
 public:
  Impl(std::string address, const rpc::ChannelOptions& channel, absl::Duration timeout)
      : address_(std::move(address)),
        channel_(channel),
        timeout_(timeout),
        stub_(v1::Sidecar::NewStub(rpc::NewChannel(address_, channel_))) {}

  v1::Sidecar::Stub* stub() { return stub_.get(); }

  void SetDeadline(grpc::ClientContext* context) const {
    rpc::SetDeadline(absl::Now() + timeout_, context);
  }

  absl::Status ToStatus(const grpc::Status& status) const {
    return ExplainCallError(rpc::FromGrpcStatus(status), "sidecar", address_, channel_);
  }

 private:
  const std::string address_;
  const rpc::ChannelOptions channel_;
  const absl::Duration timeout_;
  const std::unique_ptr<v1::Sidecar::Stub> stub_;
};

SidecarRowReader::SidecarRowReader(std::string address, const rpc::ChannelOptions& channel,
                                   absl::Duration timeout)
    : impl_(std::make_unique<Impl>(std::move(address), channel, timeout)) {}
SidecarRowReader::~SidecarRowReader() = default;

absl::StatusOr<absl::optional<NamedValues>> SidecarRowReader::Get(
    const TableName& name, const std::vector<std::string>& key) {
  KeyGuess guess(key);
  while (true) {
    v1::GetRowRequest request;
    request.set_family(name.family);
    request.set_table(name.table);
    for (const Value& value : guess.values()) rpc::ToProto(value, request.add_key());
    v1::GetRowResponse response;
    grpc::ClientContext context;
    impl_->SetDeadline(&context);
    const absl::Status status =
        impl_->ToStatus(impl_->stub()->GetRow(&context, request, &response));
    if (!status.ok()) {
      if (guess.Refine(status)) continue;
      return status;
    }
    if (!response.has_row()) return absl::optional<NamedValues>();
    absl::StatusOr<NamedValues> row = Copied(response.row());
    if (!row.ok()) return row.status();
    return absl::optional<NamedValues>(*std::move(row));
  }
}

absl::StatusOr<bool> SidecarRowReader::List(const TableName& name,
                                            const std::vector<std::string>& key_prefix,
                                            int64_t limit, Visitor visit) {
  KeyGuess guess(key_prefix);
  while (true) {
    v1::ListRowsRequest request;
    request.set_family(name.family);
    request.set_table(name.table);
    for (const Value& value : guess.values()) rpc::ToProto(value, request.add_key_prefix());
    request.set_limit(limit);
    grpc::ClientContext context;
    const auto pages = impl_->stub()->ListRows(&context, request);
    v1::ListRowsResponse page;
    bool truncated = false;
    while (pages->Read(&page)) {
      truncated = page.truncated();
      for (const v1::Row& row : page.rows()) {
        absl::StatusOr<NamedValues> values = Copied(row);
        const absl::Status visited = values.ok() ? visit(*values) : values.status();
        if (visited.ok()) continue;
        context.TryCancel();
        pages->Finish();
        return visited;
      }
    }
    const absl::Status status = impl_->ToStatus(pages->Finish());
    if (status.ok()) return truncated;
    // Refused keys are refused before the first page.
    if (!guess.Refine(status)) return status;
  }
}

absl::StatusOr<CopyStatus> SidecarRowReader::GetStatus() {
  v1::GetStatusResponse response;
  grpc::ClientContext context;
  impl_->SetDeadline(&context);
  const absl::Status call =
      impl_->ToStatus(impl_->stub()->GetStatus(&context, v1::GetStatusRequest(), &response));
  if (!call.ok()) return call;
  CopyStatus status;
  status.applied_sequence = response.applied_sequence();
  if (response.has_applied_entry_time()) {
    status.applied_entry_time = ToTime(response.applied_entry_time());
  }
  if (response.has_heartbeat_time()) status.heartbeat_time = ToTime(response.heartbeat_time());
  if (response.has_lag()) {
    status.lag =
        absl::Seconds(response.lag().seconds()) + absl::Nanoseconds(response.lag().nanos());
  }
  status.instance = response.instance();
  status.ldb_path = response.ldb_path();
  return status;
}

}  // namespace ctlstore::cli
