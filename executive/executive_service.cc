#include "executive/executive_service.h"

#include <glog/logging.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/rpc/proto_conversion.h"
#include "common/rpc/status_conversion.h"
#include "common/rpc/writer_metadata.h"
#include "common/schema/errors.h"
#include "ctlstore/v1/executive.grpc.pb.h"

namespace ctlstore::executive {
namespace {

// The table of a request and its place there.
absl::StatusOr<TableSchema> TableOf(absl::string_view path, const v1::Table& proto) {
  absl::StatusOr<TableSchema> schema = rpc::FromProto(proto);
  if (!schema.ok()) return UnderField(absl::StrCat(path, "."), schema.status());
  return schema;
}

absl::StatusOr<Credentials> CredentialsOf(const grpc::ServerContext& context) {
  absl::StatusOr<rpc::WriterCredentials> credentials = rpc::GetWriterCredentials(context);
  if (!credentials.ok()) return credentials.status();
  return Credentials{std::move(credentials->writer), std::move(credentials->secret)};
}

// A view of the whole request.
absl::StatusOr<MutateRequest> MutateRequestOf(const v1::MutateRequest& proto) {
  MutateRequest request;
  request.family = proto.family();
  if (proto.has_cookie()) request.cookie = proto.cookie();
  if (proto.has_check_cookie()) request.check_cookie = proto.check_cookie();
  request.mutations.reserve(proto.mutations_size());
  for (int i = 0; i < proto.mutations_size(); ++i) {
    const v1::Mutation& mutation_proto = proto.mutations(i);
    Mutation mutation;
    mutation.table = mutation_proto.table();
    mutation.remove = mutation_proto.delete_();
    mutation.values.reserve(mutation_proto.values_size());
    for (const auto& [name, value_proto] : mutation_proto.values()) {
      absl::StatusOr<ValueView> value = rpc::FromProto(MutationValuePath(i, name), value_proto);
      if (!value.ok()) return value.status();
      mutation.values.emplace_back(name, *value);
    }
    // A map has no order of its own; of several errors always the same one is told.
    std::sort(mutation.values.begin(), mutation.values.end(),
              [](const auto& a, const auto& b) { return a.first < b.first; });
    request.mutations.push_back(std::move(mutation));
  }
  return request;
}

// What a call's logic gets besides its request.
struct Call {
  const grpc::ServerContext& context;
  absl::Time deadline;
};

class ExecutiveService : public v1::Executive::Service {
 public:
  ExecutiveService(Executive* executive, absl::Duration max_duration)
      : executive_(executive), max_duration_(max_duration) {}

  // Each method is one line; what they do is in the private functions of the same name.
  grpc::Status CreateFamily(grpc::ServerContext* context, const v1::CreateFamilyRequest* request,
                            v1::CreateFamilyResponse* response) override {
    return Handle(&ExecutiveService::DoCreateFamily, *context, *request, response);
  }
  grpc::Status CreateTable(grpc::ServerContext* context, const v1::CreateTableRequest* request,
                           v1::CreateTableResponse* response) override {
    return Handle(&ExecutiveService::DoCreateTable, *context, *request, response);
  }
  grpc::Status CreateTables(grpc::ServerContext* context, const v1::CreateTablesRequest* request,
                            v1::CreateTablesResponse* response) override {
    return Handle(&ExecutiveService::DoCreateTables, *context, *request, response);
  }
  grpc::Status AddFields(grpc::ServerContext* context, const v1::AddFieldsRequest* request,
                         v1::AddFieldsResponse* response) override {
    return Handle(&ExecutiveService::DoAddFields, *context, *request, response);
  }
  grpc::Status GetTable(grpc::ServerContext* context, const v1::GetTableRequest* request,
                        v1::GetTableResponse* response) override {
    return Handle(&ExecutiveService::DoGetTable, *context, *request, response);
  }
  grpc::Status ListTables(grpc::ServerContext* context, const v1::ListTablesRequest* request,
                          v1::ListTablesResponse* response) override {
    return Handle(&ExecutiveService::DoListTables, *context, *request, response);
  }
  grpc::Status ListFamilies(grpc::ServerContext* context, const v1::ListFamiliesRequest* request,
                            v1::ListFamiliesResponse* response) override {
    return Handle(&ExecutiveService::DoListFamilies, *context, *request, response);
  }
  grpc::Status RegisterWriter(grpc::ServerContext* context,
                              const v1::RegisterWriterRequest* request,
                              v1::RegisterWriterResponse* response) override {
    return Handle(&ExecutiveService::DoRegisterWriter, *context, *request, response);
  }
  grpc::Status GetCookie(grpc::ServerContext* context, const v1::GetCookieRequest* request,
                         v1::GetCookieResponse* response) override {
    return Handle(&ExecutiveService::DoGetCookie, *context, *request, response);
  }
  grpc::Status SetCookie(grpc::ServerContext* context, const v1::SetCookieRequest* request,
                         v1::SetCookieResponse* response) override {
    return Handle(&ExecutiveService::DoSetCookie, *context, *request, response);
  }
  grpc::Status Mutate(grpc::ServerContext* context, const v1::MutateRequest* request,
                      v1::MutateResponse* response) override {
    return Handle(&ExecutiveService::DoMutate, *context, *request, response);
  }

 private:
  template <typename Request, typename Response>
  using Logic = absl::Status (ExecutiveService::*)(const Call& call, const Request& request,
                                                   Response* response);

  // What all calls have in common: the request's size, the deadline, and errors as gRPC has them.
  template <typename Request, typename Response>
  grpc::Status Handle(Logic<Request, Response> logic, const grpc::ServerContext& context,
                      const Request& request, Response* response) {
    absl::Status status = Executive::CheckRequestSize(request.ByteSizeLong());
    if (status.ok()) {
      const Call call{context,
                      std::min(absl::FromChrono(context.deadline()), absl::Now() + max_duration_)};
      status = (this->*logic)(call, request, response);
    }
    if (absl::IsInternal(status)) {
      LOG(ERROR) << "event=call_failed request=" << Request::descriptor()->name() << " error=\""
                 << status.message() << "\"";
    }
    return rpc::ToGrpcStatus(status);
  }

  absl::Status DoCreateFamily(const Call& call, const v1::CreateFamilyRequest& request,
                              v1::CreateFamilyResponse*) {
    return executive_->CreateFamily(request.family(), call.deadline);
  }

  absl::Status DoCreateTable(const Call& call, const v1::CreateTableRequest& request,
                             v1::CreateTableResponse* response) {
    absl::StatusOr<TableSchema> table = TableOf("table", request.table());
    if (!table.ok()) return table.status();
    absl::StatusOr<int64_t> sequence = executive_->CreateTables({*table}, call.deadline);
    if (!sequence.ok()) return sequence.status();
    response->set_sequence(*sequence);
    return absl::OkStatus();
  }

  absl::Status DoCreateTables(const Call& call, const v1::CreateTablesRequest& request,
                              v1::CreateTablesResponse* response) {
    std::vector<TableSchema> tables;
    for (int i = 0; i < request.tables_size(); ++i) {
      absl::StatusOr<TableSchema> table =
          TableOf(absl::StrCat("tables[", i, "]"), request.tables(i));
      if (!table.ok()) return table.status();
      tables.push_back(*std::move(table));
    }
    absl::StatusOr<int64_t> sequence = executive_->CreateTables(tables, call.deadline);
    if (!sequence.ok()) return sequence.status();
    response->set_sequence(*sequence);
    return absl::OkStatus();
  }

  absl::Status DoAddFields(const Call& call, const v1::AddFieldsRequest& request,
                           v1::AddFieldsResponse* response) {
    std::vector<Field> fields;
    for (int i = 0; i < request.fields_size(); ++i) {
      absl::StatusOr<Field> field =
          rpc::FromProto(absl::StrCat("fields[", i, "]"), request.fields(i));
      if (!field.ok()) return field.status();
      fields.push_back(*std::move(field));
    }
    absl::StatusOr<int64_t> sequence =
        executive_->AddFields(request.family(), request.table(), fields, call.deadline);
    if (!sequence.ok()) return sequence.status();
    response->set_sequence(*sequence);
    return absl::OkStatus();
  }

  absl::Status DoGetTable(const Call& call, const v1::GetTableRequest& request,
                          v1::GetTableResponse* response) {
    absl::StatusOr<TableSchema> table =
        executive_->GetTable(request.family(), request.table(), call.deadline);
    if (!table.ok()) return table.status();
    rpc::ToProto(*table, response->mutable_table());
    return absl::OkStatus();
  }

  absl::Status DoListTables(const Call& call, const v1::ListTablesRequest& request,
                            v1::ListTablesResponse* response) {
    absl::StatusOr<std::vector<TableSchema>> tables =
        executive_->ListTables(request.family(), call.deadline);
    if (!tables.ok()) return tables.status();
    for (const TableSchema& table : *tables) rpc::ToProto(table, response->add_tables());
    return absl::OkStatus();
  }

  absl::Status DoListFamilies(const Call& call, const v1::ListFamiliesRequest&,
                              v1::ListFamiliesResponse* response) {
    absl::StatusOr<std::vector<std::string>> families = executive_->ListFamilies(call.deadline);
    if (!families.ok()) return families.status();
    for (std::string& family : *families) response->add_families(std::move(family));
    return absl::OkStatus();
  }

  absl::Status DoRegisterWriter(const Call& call, const v1::RegisterWriterRequest& request,
                                v1::RegisterWriterResponse*) {
    return executive_->RegisterWriter(request.writer(), request.secret(), call.deadline);
  }

  absl::Status DoGetCookie(const Call& call, const v1::GetCookieRequest&,
                           v1::GetCookieResponse* response) {
    absl::StatusOr<Credentials> credentials = CredentialsOf(call.context);
    if (!credentials.ok()) return credentials.status();
    absl::StatusOr<std::string> cookie = executive_->GetCookie(*credentials, call.deadline);
    if (!cookie.ok()) return cookie.status();
    response->set_cookie(*std::move(cookie));
    return absl::OkStatus();
  }

  absl::Status DoSetCookie(const Call& call, const v1::SetCookieRequest& request,
                           v1::SetCookieResponse*) {
    absl::StatusOr<Credentials> credentials = CredentialsOf(call.context);
    if (!credentials.ok()) return credentials.status();
    return executive_->SetCookie(*credentials, request.cookie(), call.deadline);
  }

  absl::Status DoMutate(const Call& call, const v1::MutateRequest& request,
                        v1::MutateResponse* response) {
    absl::StatusOr<Credentials> credentials = CredentialsOf(call.context);
    if (!credentials.ok()) return credentials.status();
    absl::StatusOr<MutateRequest> mutate = MutateRequestOf(request);
    if (!mutate.ok()) return mutate.status();
    absl::StatusOr<int64_t> sequence = executive_->Mutate(*credentials, *mutate, call.deadline);
    if (!sequence.ok()) return sequence.status();
    response->set_sequence(*sequence);
    return absl::OkStatus();
  }

  Executive* const executive_;
  const absl::Duration max_duration_;
};

}  // namespace

std::unique_ptr<grpc::Service> NewExecutiveService(Executive* executive,
                                                   absl::Duration max_duration) {
  return std::make_unique<ExecutiveService>(executive, max_duration);
}

}  // namespace ctlstore::executive
