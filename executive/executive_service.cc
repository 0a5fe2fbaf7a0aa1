#include "executive/executive_service.h"

#include <glog/logging.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <functional>
#include <memory>
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
#include "executive/audit.h"
#include "executive/retries.h"

namespace ctlstore::executive {
namespace {

// The table of a request and its place there.
absl::StatusOr<TableSchema> TableOf(absl::string_view path, const v1::Table& proto) {
  absl::StatusOr<TableSchema> schema = rpc::FromProto(proto);
  if (!schema.ok()) return UnderField(absl::StrCat(path, "."), schema.status());
  return schema;
}

absl::StatusOr<Credentials> CredentialsOf(const grpc::ServerContextBase& context) {
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
  rpc::Caller caller;
  const grpc::ServerContextBase& context;
  absl::Time deadline;
};

class ExecutiveService : public v1::Executive::CallbackService {
 public:
  explicit ExecutiveService(const FaceParts& parts) : parts_(parts), executive_(parts.executive) {}

  grpc::ServerUnaryReactor* Mutate(grpc::CallbackServerContext* context,
                                   const v1::MutateRequest* request,
                                   v1::MutateResponse* response) override {
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    const absl::Time start = absl::Now();
    const auto finish = [this, start, reactor, response](absl::StatusOr<int64_t> sequence) {
      if (sequence.ok()) response->set_sequence(*sequence);
      Finish("Mutate", start, sequence.status(), reactor);
    };
    absl::Status valid = Executive::CheckRequestSize(request->ByteSizeLong());
    absl::StatusOr<Credentials> credentials = CredentialsOf(*context);
    if (valid.ok()) valid = credentials.status();
    absl::StatusOr<MutateRequest> mutate = MutateRequestOf(*request);
    if (valid.ok()) valid = mutate.status();
    if (!valid.ok()) {
      finish(valid);
      return reactor;
    }
    executive_->StartMutate(Executive::MutateCall{
        *std::move(credentials), rpc::HostOfPeer(context->peer()), *std::move(mutate),
        DeadlineOf(*context, start), [context] { return context->IsCancelled(); }, finish});
    return reactor;
  }

  // Each of the other methods is one line; what they do is in the private functions of the same
  // name.
  grpc::ServerUnaryReactor* CreateFamily(grpc::CallbackServerContext* context,
                                         const v1::CreateFamilyRequest* request,
                                         v1::CreateFamilyResponse* response) override {
    return Handle("CreateFamily", &ExecutiveService::DoCreateFamily, context, *request, response);
  }
  grpc::ServerUnaryReactor* CreateTable(grpc::CallbackServerContext* context,
                                        const v1::CreateTableRequest* request,
                                        v1::CreateTableResponse* response) override {
    return Handle("CreateTable", &ExecutiveService::DoCreateTable, context, *request, response);
  }
  grpc::ServerUnaryReactor* CreateTables(grpc::CallbackServerContext* context,
                                         const v1::CreateTablesRequest* request,
                                         v1::CreateTablesResponse* response) override {
    return Handle("CreateTables", &ExecutiveService::DoCreateTables, context, *request, response);
  }
  grpc::ServerUnaryReactor* AddFields(grpc::CallbackServerContext* context,
                                      const v1::AddFieldsRequest* request,
                                      v1::AddFieldsResponse* response) override {
    return Handle("AddFields", &ExecutiveService::DoAddFields, context, *request, response);
  }
  grpc::ServerUnaryReactor* DropTable(grpc::CallbackServerContext* context,
                                      const v1::DropTableRequest* request,
                                      v1::DropTableResponse* response) override {
    return Handle("DropTable", &ExecutiveService::DoDropTable, context, *request, response);
  }
  grpc::ServerUnaryReactor* ClearTable(grpc::CallbackServerContext* context,
                                       const v1::ClearTableRequest* request,
                                       v1::ClearTableResponse* response) override {
    return Handle("ClearTable", &ExecutiveService::DoClearTable, context, *request, response);
  }
  grpc::ServerUnaryReactor* ClearFamily(grpc::CallbackServerContext* context,
                                        const v1::ClearFamilyRequest* request,
                                        v1::ClearFamilyResponse* response) override {
    return Handle("ClearFamily", &ExecutiveService::DoClearFamily, context, *request, response);
  }
  grpc::ServerUnaryReactor* GetTable(grpc::CallbackServerContext* context,
                                     const v1::GetTableRequest* request,
                                     v1::GetTableResponse* response) override {
    return Handle("GetTable", &ExecutiveService::DoGetTable, context, *request, response);
  }
  grpc::ServerUnaryReactor* ListTables(grpc::CallbackServerContext* context,
                                       const v1::ListTablesRequest* request,
                                       v1::ListTablesResponse* response) override {
    return Handle("ListTables", &ExecutiveService::DoListTables, context, *request, response);
  }
  grpc::ServerUnaryReactor* ListFamilies(grpc::CallbackServerContext* context,
                                         const v1::ListFamiliesRequest* request,
                                         v1::ListFamiliesResponse* response) override {
    return Handle("ListFamilies", &ExecutiveService::DoListFamilies, context, *request, response);
  }
  grpc::ServerUnaryReactor* RegisterWriter(grpc::CallbackServerContext* context,
                                           const v1::RegisterWriterRequest* request,
                                           v1::RegisterWriterResponse* response) override {
    return Handle("RegisterWriter", &ExecutiveService::DoRegisterWriter, context, *request,
                  response);
  }
  grpc::ServerUnaryReactor* ListTableLimits(grpc::CallbackServerContext* context,
                                            const v1::ListTableLimitsRequest* request,
                                            v1::ListTableLimitsResponse* response) override {
    return Handle("ListTableLimits", &ExecutiveService::DoListTableLimits, context, *request,
                  response);
  }
  grpc::ServerUnaryReactor* SetTableLimit(grpc::CallbackServerContext* context,
                                          const v1::SetTableLimitRequest* request,
                                          v1::SetTableLimitResponse* response) override {
    return Handle("SetTableLimit", &ExecutiveService::DoSetTableLimit, context, *request, response);
  }
  grpc::ServerUnaryReactor* DeleteTableLimit(grpc::CallbackServerContext* context,
                                             const v1::DeleteTableLimitRequest* request,
                                             v1::DeleteTableLimitResponse* response) override {
    return Handle("DeleteTableLimit", &ExecutiveService::DoDeleteTableLimit, context, *request,
                  response);
  }
  grpc::ServerUnaryReactor* ListWriterLimits(grpc::CallbackServerContext* context,
                                             const v1::ListWriterLimitsRequest* request,
                                             v1::ListWriterLimitsResponse* response) override {
    return Handle("ListWriterLimits", &ExecutiveService::DoListWriterLimits, context, *request,
                  response);
  }
  grpc::ServerUnaryReactor* SetWriterLimit(grpc::CallbackServerContext* context,
                                           const v1::SetWriterLimitRequest* request,
                                           v1::SetWriterLimitResponse* response) override {
    return Handle("SetWriterLimit", &ExecutiveService::DoSetWriterLimit, context, *request,
                  response);
  }
  grpc::ServerUnaryReactor* DeleteWriterLimit(grpc::CallbackServerContext* context,
                                              const v1::DeleteWriterLimitRequest* request,
                                              v1::DeleteWriterLimitResponse* response) override {
    return Handle("DeleteWriterLimit", &ExecutiveService::DoDeleteWriterLimit, context, *request,
                  response);
  }
  grpc::ServerUnaryReactor* GetStatus(grpc::CallbackServerContext* context,
                                      const v1::GetExecutiveStatusRequest* request,
                                      v1::GetExecutiveStatusResponse* response) override {
    return Handle("GetStatus", &ExecutiveService::DoGetStatus, context, *request, response);
  }
  grpc::ServerUnaryReactor* PruneLedger(grpc::CallbackServerContext* context,
                                        const v1::PruneLedgerRequest* request,
                                        v1::PruneLedgerResponse* response) override {
    return Handle("PruneLedger", &ExecutiveService::DoPruneLedger, context, *request, response);
  }
  grpc::ServerUnaryReactor* GetCookie(grpc::CallbackServerContext* context,
                                      const v1::GetCookieRequest* request,
                                      v1::GetCookieResponse* response) override {
    return Handle("GetCookie", &ExecutiveService::DoGetCookie, context, *request, response,
                  Proof::kSecret);
  }
  grpc::ServerUnaryReactor* SetCookie(grpc::CallbackServerContext* context,
                                      const v1::SetCookieRequest* request,
                                      v1::SetCookieResponse* response) override {
    return Handle("SetCookie", &ExecutiveService::DoSetCookie, context, *request, response,
                  Proof::kSecret);
  }

 private:
  template <typename Request, typename Response>
  using Logic = absl::Status (ExecutiveService::*)(const Call& call, const Request& request,
                                                   Response* response);

  // What a caller has to prove: a role, or that it is a writer, whatever token it sends besides.
  enum class Proof { kRole, kSecret };

  static rpc::Caller WriterAt(const grpc::ServerContextBase& context) {
    rpc::Caller caller;
    caller.peer = rpc::HostOfPeer(context.peer());
    return caller;
  }

  absl::Time DeadlineOf(const grpc::ServerContextBase& context, absl::Time start) const {
    return std::min(absl::FromChrono(context.deadline()), start + parts_.max_call_duration);
  }

  // What all calls but Mutate have in common: the request's size, the caller, the deadline, and a
  // thread of their own while they last.
  template <typename Request, typename Response>
  grpc::ServerUnaryReactor* Handle(absl::string_view method, Logic<Request, Response> logic,
                                   grpc::CallbackServerContext* context, const Request& request,
                                   Response* response, Proof proof = Proof::kRole) {
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    const absl::Time start = absl::Now();
    const auto work = [=, &request] {
      absl::Status status = Executive::CheckRequestSize(request.ByteSizeLong());
      absl::StatusOr<rpc::Caller> caller =
          proof == Proof::kRole ? parts_.access->Identify(*context) : WriterAt(*context);
      if (status.ok()) status = caller.status();
      if (status.ok()) {
        status = (this->*logic)({*std::move(caller), *context, DeadlineOf(*context, start)},
                                request, response);
      }
      Finish(method, start, status, reactor);
    };
    if (!parts_.workers->TrySubmit(work)) Finish(method, start, TooManyCalls(), reactor);
    return reactor;
  }

  void Finish(absl::string_view method, absl::Time start, const absl::Status& status,
              grpc::ServerUnaryReactor* reactor) {
    if (absl::IsInternal(status)) {
      LOG(ERROR) << "event=call_failed method=" << method << " error=\"" << status.message()
                 << "\"";
    }
    parts_.metrics->Record(method, status.code(), absl::Now() - start);
    // After this the call's context is gone.
    reactor->Finish(rpc::ToGrpcStatus(status));
  }

  absl::Status DoCreateFamily(const Call& call, const v1::CreateFamilyRequest& request,
                              v1::CreateFamilyResponse*) {
    return executive_->CreateFamily(call.caller, request.family(), call.deadline);
  }

  absl::Status DoCreateTable(const Call& call, const v1::CreateTableRequest& request,
                             v1::CreateTableResponse* response) {
    absl::StatusOr<TableSchema> table = TableOf("table", request.table());
    if (!table.ok()) return table.status();
    return Answer(executive_->CreateTables(call.caller, {*table}, call.deadline), response);
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
    return Answer(executive_->CreateTables(call.caller, tables, call.deadline), response);
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
    return Answer(executive_->AddFields(call.caller, request.family(), request.table(), fields,
                                        call.deadline),
                  response);
  }

  absl::Status DoDropTable(const Call& call, const v1::DropTableRequest& request,
                           v1::DropTableResponse* response) {
    return Answer(
        executive_->DropTable(call.caller, request.family(), request.table(), call.deadline),
        response);
  }

  absl::Status DoClearTable(const Call& call, const v1::ClearTableRequest& request,
                            v1::ClearTableResponse* response) {
    return Answer(
        executive_->ClearTable(call.caller, request.family(), request.table(), call.deadline),
        response);
  }

  absl::Status DoClearFamily(const Call& call, const v1::ClearFamilyRequest& request,
                             v1::ClearFamilyResponse* response) {
    return Answer(executive_->ClearFamily(call.caller, request.family(), call.deadline), response);
  }

  absl::Status DoGetTable(const Call& call, const v1::GetTableRequest& request,
                          v1::GetTableResponse* response) {
    absl::StatusOr<TableSchema> table =
        executive_->GetTable(call.caller, request.family(), request.table(), call.deadline);
    if (!table.ok()) return table.status();
    rpc::ToProto(*table, response->mutable_table());
    return absl::OkStatus();
  }

  absl::Status DoListTables(const Call& call, const v1::ListTablesRequest& request,
                            v1::ListTablesResponse* response) {
    absl::StatusOr<std::vector<TableSchema>> tables =
        executive_->ListTables(call.caller, request.family(), call.deadline);
    if (!tables.ok()) return tables.status();
    for (const TableSchema& table : *tables) rpc::ToProto(table, response->add_tables());
    return absl::OkStatus();
  }

  absl::Status DoListFamilies(const Call& call, const v1::ListFamiliesRequest&,
                              v1::ListFamiliesResponse* response) {
    absl::StatusOr<std::vector<std::string>> families =
        executive_->ListFamilies(call.caller, call.deadline);
    if (!families.ok()) return families.status();
    for (std::string& family : *families) response->add_families(std::move(family));
    return absl::OkStatus();
  }

  absl::Status DoRegisterWriter(const Call& call, const v1::RegisterWriterRequest& request,
                                v1::RegisterWriterResponse*) {
    return executive_->RegisterWriter(call.caller, {request.writer(), request.secret()},
                                      call.deadline);
  }

  absl::Status DoListTableLimits(const Call& call, const v1::ListTableLimitsRequest&,
                                 v1::ListTableLimitsResponse* response) {
    absl::StatusOr<TableLimits> limits = executive_->ListTableLimits(call.caller, call.deadline);
    if (!limits.ok()) return limits.status();
    ToProto(limits->default_limit, response->mutable_default_limit());
    for (const ctldb::TableLimit& limit : limits->tables) {
      v1::TableLimit* proto = response->add_tables();
      proto->set_family(limit.table.family);
      proto->set_table(limit.table.table);
      ToProto(limit.limit, proto->mutable_limit());
    }
    return absl::OkStatus();
  }

  absl::Status DoSetTableLimit(const Call& call, const v1::SetTableLimitRequest& request,
                               v1::SetTableLimitResponse*) {
    const v1::TableLimit& limit = request.limit();
    absl::Status status = executive_->SetTableLimit(
        call.caller, limit.family(), limit.table(),
        {limit.limit().warn_bytes(), limit.limit().max_bytes()}, call.deadline);
    return UnderField("limit.", status);
  }

  absl::Status DoDeleteTableLimit(const Call& call, const v1::DeleteTableLimitRequest& request,
                                  v1::DeleteTableLimitResponse*) {
    return executive_->DeleteTableLimit(call.caller, request.family(), request.table(),
                                        call.deadline);
  }

  absl::Status DoListWriterLimits(const Call& call, const v1::ListWriterLimitsRequest&,
                                  v1::ListWriterLimitsResponse* response) {
    absl::StatusOr<WriterLimits> limits = executive_->ListWriterLimits(call.caller, call.deadline);
    if (!limits.ok()) return limits.status();
    if (limits->default_limit.has_value()) {
      ToProto(*limits->default_limit, response->mutable_default_limit());
    }
    for (const ctldb::WriterLimit& limit : limits->writers) {
      v1::WriterLimit* proto = response->add_writers();
      proto->set_writer(limit.writer);
      ToProto(RateLimit{limit.rows_per_minute, absl::Minutes(1)}, proto->mutable_limit());
    }
    return absl::OkStatus();
  }

  absl::Status DoSetWriterLimit(const Call& call, const v1::SetWriterLimitRequest& request,
                                v1::SetWriterLimitResponse*) {
    const v1::WriterRateLimit& limit = request.limit().limit();
    const absl::Duration period =
        absl::Seconds(limit.period().seconds()) + absl::Nanoseconds(limit.period().nanos());
    return UnderField("limit.", executive_->SetWriterLimit(call.caller, request.limit().writer(),
                                                           {limit.rows(), period}, call.deadline));
  }

  absl::Status DoDeleteWriterLimit(const Call& call, const v1::DeleteWriterLimitRequest& request,
                                   v1::DeleteWriterLimitResponse*) {
    return executive_->DeleteWriterLimit(call.caller, request.writer(), call.deadline);
  }

  absl::Status DoGetStatus(const Call& call, const v1::GetExecutiveStatusRequest&,
                           v1::GetExecutiveStatusResponse* response) {
    absl::StatusOr<Executive::State> state = executive_->GetState(call.caller, call.deadline);
    if (!state.ok()) return state.status();
    response->set_ctldb_available(state->ctldb.ok());
    response->set_ctldb_error(std::string(state->ctldb.message()));
    response->set_last_sequence(state->last_sequence);
    response->set_ledger_rows(state->ledger_rows);
    response->set_queue_length(static_cast<int64_t>(state->queue_length));
    response->set_queue_capacity(static_cast<int64_t>(state->queue_capacity));
    response->set_open_connections(static_cast<int64_t>(state->open_connections));
    response->set_max_connections(static_cast<int64_t>(state->max_connections));
    response->mutable_started_at()->set_seconds(absl::ToUnixSeconds(state->started_at));
    response->set_destructive_changes_enabled(state->destructive_changes);
    return absl::OkStatus();
  }

  // May take as long as the caller's patience lasts: snapshots are read as a whole.
  absl::Status DoPruneLedger(const Call& call, const v1::PruneLedgerRequest& request,
                             v1::PruneLedgerResponse* response) {
    const absl::Time deadline = absl::FromChrono(call.context.deadline());
    const auto given_up = [&call, deadline] {
      return call.context.IsCancelled() || absl::Now() >= deadline;
    };
    const absl::Status status = [&]() -> absl::Status {
      absl::Status allowed = rpc::RequireRole(call.caller, rpc::Role::kAdmin);
      if (!allowed.ok()) return allowed;
      if (parts_.pruner == nullptr) {
        return ErrorWithReason(absl::StatusCode::kFailedPrecondition, reason::kPruningDisabled,
                               "this executive does not prune");
      }
      const absl::StatusOr<LedgerPruner::Report> report =
          parts_.pruner->Prune(request.dry_run(), given_up);
      if (!report.ok()) return report.status();
      ToProto(*report, response);
      return absl::OkStatus();
    }();
    Audit(call.caller, "prune_ledger",
          request.dry_run() ? "dry run"
                            : absl::StrCat("through ", response->pruned_through_sequence()),
          status, 0);
    return status;
  }

  absl::Status DoGetCookie(const Call& call, const v1::GetCookieRequest&,
                           v1::GetCookieResponse* response) {
    absl::StatusOr<Credentials> credentials = CredentialsOf(call.context);
    if (!credentials.ok()) return credentials.status();
    absl::StatusOr<std::string> cookie =
        executive_->GetCookie(*credentials, call.caller.peer, call.deadline);
    if (!cookie.ok()) return cookie.status();
    response->set_cookie(*std::move(cookie));
    return absl::OkStatus();
  }

  absl::Status DoSetCookie(const Call& call, const v1::SetCookieRequest& request,
                           v1::SetCookieResponse*) {
    absl::StatusOr<Credentials> credentials = CredentialsOf(call.context);
    if (!credentials.ok()) return credentials.status();
    return executive_->SetCookie(*credentials, call.caller.peer, request.cookie(), call.deadline);
  }

  template <typename Response>
  static absl::Status Answer(const absl::StatusOr<int64_t>& sequence, Response* response) {
    if (!sequence.ok()) return sequence.status();
    response->set_sequence(*sequence);
    return absl::OkStatus();
  }

  static void ToProto(const LedgerPruner::Report& report, v1::PruneLedgerResponse* proto) {
    proto->set_first_sequence(report.first_sequence);
    proto->set_last_sequence(report.last_sequence);
    proto->set_old_through_sequence(report.old_through);
    proto->set_covered_through_sequence(report.covered_through);
    proto->set_pruned_through_sequence(report.pruned_through);
    proto->set_pruned_entries(report.pruned_entries);
    for (const LedgerPruner::Place& place : report.places) {
      v1::PruneLedgerResponse::Place* place_proto = proto->add_places();
      place_proto->set_url(place.url);
      place_proto->set_snapshot_id(place.snapshot_id);
      place_proto->set_sequence(place.sequence);
      place_proto->set_error(std::string(place.error.message()));
    }
  }

  static void ToProto(const ctldb::TableSizeLimit& limit, v1::TableSizeLimit* proto) {
    proto->set_warn_bytes(limit.warn_bytes);
    proto->set_max_bytes(limit.max_bytes);
  }

  static void ToProto(const RateLimit& limit, v1::WriterRateLimit* proto) {
    proto->set_rows(limit.rows);
    absl::Duration rest;
    proto->mutable_period()->set_seconds(absl::IDivDuration(limit.period, absl::Seconds(1), &rest));
    proto->mutable_period()->set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(rest)));
  }

  const FaceParts parts_;
  Executive* const executive_;
};

}  // namespace

std::unique_ptr<grpc::Service> NewExecutiveService(const FaceParts& parts) {
  return std::make_unique<ExecutiveService>(parts);
}

}  // namespace ctlstore::executive
