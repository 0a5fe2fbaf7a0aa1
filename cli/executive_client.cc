#include "cli/executive_client.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <utility>

#include "absl/time/clock.h"
#include "cli/server_errors.h"
#include "common/rpc/client.h"
#include "common/rpc/proto_conversion.h"
#include "common/rpc/status_conversion.h"
#include "ctlstore/v1/executive.grpc.pb.h"

namespace ctlstore::cli {

class ExecutiveClient::Impl {
 public:
  explicit Impl(Options options)
      : options_(std::move(options)),
        stub_(v1::Executive::NewStub(rpc::NewChannel(options_.address, options_.channel))) {}

  template <typename Request, typename Response>
  using Method = grpc::Status (v1::Executive::Stub::*)(grpc::ClientContext*, const Request&,
                                                       Response*);

  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(Method<Request, Response> method, const Request& request) {
    return CallAs(/*as_writer=*/false, method, request);
  }

  template <typename Request, typename Response>
  absl::StatusOr<Response> CallAsWriter(Method<Request, Response> method, const Request& request) {
    absl::StatusOr<Response> response = CallAs(/*as_writer=*/true, method, request);
    if (!absl::IsUnauthenticated(response.status()) || !options_.register_writer) return response;
    // Once: a writer that the executive does not know now has another secret.
    options_.register_writer = false;
    if (!Register(options_.writer, options_.secret).ok()) return response;
    return CallAs(/*as_writer=*/true, method, request);
  }

  absl::Status Register(const std::string& writer, const std::string& secret) {
    v1::RegisterWriterRequest request;
    request.set_writer(writer);
    request.set_secret(secret);
    return Call(&v1::Executive::Stub::RegisterWriter, request).status();
  }

 private:
  template <typename Request, typename Response>
  absl::StatusOr<Response> CallAs(bool as_writer, Method<Request, Response> method,
                                  const Request& request) {
    grpc::ClientContext context;
    rpc::SetDeadline(absl::Now() + options_.timeout, &context);
    if (as_writer) rpc::AddWriterCredentials(options_.writer, options_.secret, &context);
    Response response;
    const absl::Status status =
        rpc::FromGrpcStatus((stub_.get()->*method)(&context, request, &response));
    if (!status.ok())
      return ExplainCallError(status, "executive", options_.address, options_.channel);
    return response;
  }

  Options options_;
  const std::unique_ptr<v1::Executive::Stub> stub_;
};

ExecutiveClient::ExecutiveClient(Options options)
    : impl_(std::make_unique<Impl>(std::move(options))) {}
ExecutiveClient::~ExecutiveClient() = default;

absl::StatusOr<TableSchema> ExecutiveClient::GetTable(const TableName& name) {
  v1::GetTableRequest request;
  request.set_family(name.family);
  request.set_table(name.table);
  const auto response = impl_->Call(&v1::Executive::Stub::GetTable, request);
  if (!response.ok()) return response.status();
  return rpc::FromProto(response->table());
}

absl::StatusOr<std::vector<TableSchema>> ExecutiveClient::ListTables(const std::string& family) {
  v1::ListTablesRequest request;
  request.set_family(family);
  const auto response = impl_->Call(&v1::Executive::Stub::ListTables, request);
  if (!response.ok()) return response.status();
  std::vector<TableSchema> tables;
  for (const v1::Table& proto : response->tables()) {
    absl::StatusOr<TableSchema> schema = rpc::FromProto(proto);
    if (!schema.ok()) return schema.status();
    tables.push_back(*std::move(schema));
  }
  return tables;
}

absl::StatusOr<std::vector<std::string>> ExecutiveClient::ListFamilies() {
  const auto response = impl_->Call(&v1::Executive::Stub::ListFamilies, v1::ListFamiliesRequest());
  if (!response.ok()) return response.status();
  return std::vector<std::string>(response->families().begin(), response->families().end());
}

absl::Status ExecutiveClient::CreateFamily(const std::string& family) {
  v1::CreateFamilyRequest request;
  request.set_family(family);
  return impl_->Call(&v1::Executive::Stub::CreateFamily, request).status();
}

absl::StatusOr<int64_t> ExecutiveClient::CreateTable(const TableSchema& schema) {
  v1::CreateTableRequest request;
  rpc::ToProto(schema, request.mutable_table());
  const auto response = impl_->Call(&v1::Executive::Stub::CreateTable, request);
  if (!response.ok()) return response.status();
  return response->sequence();
}

absl::StatusOr<int64_t> ExecutiveClient::AddFields(const TableName& name,
                                                   absl::Span<const Field> fields) {
  v1::AddFieldsRequest request;
  request.set_family(name.family);
  request.set_table(name.table);
  for (const Field& field : fields) rpc::ToProto(field, request.add_fields());
  const auto response = impl_->Call(&v1::Executive::Stub::AddFields, request);
  if (!response.ok()) return response.status();
  return response->sequence();
}

absl::StatusOr<int64_t> ExecutiveClient::DropTable(const TableName& name) {
  v1::DropTableRequest request;
  request.set_family(name.family);
  request.set_table(name.table);
  const auto response = impl_->Call(&v1::Executive::Stub::DropTable, request);
  if (!response.ok()) return response.status();
  return response->sequence();
}

absl::StatusOr<int64_t> ExecutiveClient::ClearTable(const TableName& name) {
  v1::ClearTableRequest request;
  request.set_family(name.family);
  request.set_table(name.table);
  const auto response = impl_->Call(&v1::Executive::Stub::ClearTable, request);
  if (!response.ok()) return response.status();
  return response->sequence();
}

absl::StatusOr<int64_t> ExecutiveClient::ClearFamily(const std::string& family) {
  v1::ClearFamilyRequest request;
  request.set_family(family);
  const auto response = impl_->Call(&v1::Executive::Stub::ClearFamily, request);
  if (!response.ok()) return response.status();
  return response->sequence();
}

absl::StatusOr<v1::ListTableLimitsResponse> ExecutiveClient::ListTableLimits() {
  return impl_->Call(&v1::Executive::Stub::ListTableLimits, v1::ListTableLimitsRequest());
}

absl::Status ExecutiveClient::SetTableLimit(const v1::TableLimit& limit) {
  v1::SetTableLimitRequest request;
  *request.mutable_limit() = limit;
  return impl_->Call(&v1::Executive::Stub::SetTableLimit, request).status();
}

absl::Status ExecutiveClient::DeleteTableLimit(const TableName& name) {
  v1::DeleteTableLimitRequest request;
  request.set_family(name.family);
  request.set_table(name.table);
  return impl_->Call(&v1::Executive::Stub::DeleteTableLimit, request).status();
}

absl::StatusOr<v1::ListWriterLimitsResponse> ExecutiveClient::ListWriterLimits() {
  return impl_->Call(&v1::Executive::Stub::ListWriterLimits, v1::ListWriterLimitsRequest());
}

absl::Status ExecutiveClient::SetWriterLimit(const v1::WriterLimit& limit) {
  v1::SetWriterLimitRequest request;
  *request.mutable_limit() = limit;
  return impl_->Call(&v1::Executive::Stub::SetWriterLimit, request).status();
}

absl::Status ExecutiveClient::DeleteWriterLimit(const std::string& writer) {
  v1::DeleteWriterLimitRequest request;
  request.set_writer(writer);
  return impl_->Call(&v1::Executive::Stub::DeleteWriterLimit, request).status();
}

absl::StatusOr<v1::PruneLedgerResponse> ExecutiveClient::PruneLedger(bool dry_run) {
  v1::PruneLedgerRequest request;
  request.set_dry_run(dry_run);
  return impl_->Call(&v1::Executive::Stub::PruneLedger, request);
}

absl::StatusOr<v1::GetExecutiveStatusResponse> ExecutiveClient::GetStatus() {
  return impl_->Call(&v1::Executive::Stub::GetStatus, v1::GetExecutiveStatusRequest());
}

absl::Status ExecutiveClient::RegisterWriter(const std::string& writer, const std::string& secret) {
  return impl_->Register(writer, secret);
}

absl::StatusOr<std::string> ExecutiveClient::GetCookie() {
  const auto response =
      impl_->CallAsWriter(&v1::Executive::Stub::GetCookie, v1::GetCookieRequest());
  if (!response.ok()) return response.status();
  return response->cookie();
}

absl::Status ExecutiveClient::SetCookie(const std::string& cookie) {
  v1::SetCookieRequest request;
  request.set_cookie(cookie);
  return impl_->CallAsWriter(&v1::Executive::Stub::SetCookie, request).status();
}

absl::StatusOr<int64_t> ExecutiveClient::Mutate(const v1::MutateRequest& request) {
  const auto response = impl_->CallAsWriter(&v1::Executive::Stub::Mutate, request);
  if (!response.ok()) return response.status();
  return response->sequence();
}

}  // namespace ctlstore::cli
