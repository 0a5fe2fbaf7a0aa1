#include "executive/http_api.h"

#include <glog/logging.h>

#include <array>
#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/rpc/http_errors.h"
#include "common/rpc/http_router.h"
#include "common/schema/errors.h"
#include "executive/json_limits.h"
#include "executive/json_mutation.h"
#include "executive/json_schema.h"
#include "executive/retries.h"

namespace ctlstore::executive {
namespace {

using rpc::HttpRequest;
using rpc::HttpResponse;

constexpr char kJson[] = "application/json";
// With the ledger sequence of what was changed, where something was.
constexpr char kSequenceHeader[] = "ctlstore-sequence";

// What a route's logic works with.
struct Call {
  const HttpRequest& request;
  // What stood where the route has "{...}", in order.
  std::vector<std::string> names;
  Executive* executive;
  rpc::Caller caller;
  absl::Time deadline;
};

using Logic = absl::Status (*)(const Call& call, HttpResponse* response);

// The answer to a change: no body, as clients of the Go executive expect it.
absl::Status Changed(const absl::StatusOr<int64_t>& sequence, HttpResponse* response) {
  if (!sequence.ok()) return sequence.status();
  if (*sequence > 0) response->headers.emplace_back(kSequenceHeader, absl::StrCat(*sequence));
  return absl::OkStatus();
}

absl::Status JsonAnswer(std::string json, HttpResponse* response) {
  response->content_type = kJson;
  response->body = std::move(json);
  return absl::OkStatus();
}

absl::StatusOr<Credentials> CredentialsOf(const HttpRequest& request) {
  const absl::optional<absl::string_view> writer = request.header("ctlstore-writer");
  const absl::optional<absl::string_view> secret = request.header("ctlstore-secret");
  if (!writer.has_value() || !secret.has_value()) {
    return ErrorWithReason(absl::StatusCode::kUnauthenticated, reason::kBadCredentials,
                           "the headers ctlstore-writer and ctlstore-secret have to name the "
                           "writer and its secret");
  }
  return Credentials{std::string(*writer), std::string(*secret)};
}

absl::Status CreateFamily(const Call& call, HttpResponse*) {
  return call.executive->CreateFamily(call.caller, call.names[0], call.deadline);
}

absl::Status CreateTable(const Call& call, HttpResponse* response) {
  absl::StatusOr<TableSchema> table = ParseTable(call.names[0], call.names[1], call.request.body());
  if (!table.ok()) return table.status();
  return Changed(call.executive->CreateTables(call.caller, {*table}, call.deadline), response);
}

absl::Status CreateTables(const Call& call, HttpResponse* response) {
  absl::StatusOr<std::vector<TableSchema>> tables = ParseTables(call.request.body());
  if (!tables.ok()) return tables.status();
  return Changed(call.executive->CreateTables(call.caller, *tables, call.deadline), response);
}

absl::Status AddFields(const Call& call, HttpResponse* response) {
  absl::StatusOr<std::vector<Field>> fields = ParseFields(call.request.body());
  if (!fields.ok()) return fields.status();
  return Changed(
      call.executive->AddFields(call.caller, call.names[0], call.names[1], *fields, call.deadline),
      response);
}

absl::Status DropTable(const Call& call, HttpResponse* response) {
  return Changed(
      call.executive->DropTable(call.caller, call.names[0], call.names[1], call.deadline),
      response);
}

absl::Status ClearFamily(const Call& call, HttpResponse* response) {
  return Changed(call.executive->ClearFamily(call.caller, call.names[0], call.deadline), response);
}

absl::Status ClearTable(const Call& call, HttpResponse* response) {
  return Changed(
      call.executive->ClearTable(call.caller, call.names[0], call.names[1], call.deadline),
      response);
}

absl::Status GetTable(const Call& call, HttpResponse* response) {
  absl::StatusOr<TableSchema> table =
      call.executive->GetTable(call.caller, call.names[0], call.names[1], call.deadline);
  if (!table.ok()) return table.status();
  return JsonAnswer(ToJson(*table), response);
}

absl::Status ListTables(const Call& call, HttpResponse* response) {
  absl::StatusOr<std::vector<TableSchema>> tables =
      call.executive->ListTables(call.caller, call.names[0], call.deadline);
  if (!tables.ok()) return tables.status();
  return JsonAnswer(ToJson(*tables), response);
}

absl::Status RegisterWriter(const Call& call, HttpResponse*) {
  return call.executive->RegisterWriter(
      call.caller, {call.names[0], std::string(call.request.body())}, call.deadline);
}

absl::Status GetCookie(const Call& call, HttpResponse* response) {
  absl::StatusOr<Credentials> credentials = CredentialsOf(call.request);
  if (!credentials.ok()) return credentials.status();
  absl::StatusOr<std::string> cookie =
      call.executive->GetCookie(*credentials, call.caller.peer, call.deadline);
  if (!cookie.ok()) return cookie.status();
  response->content_type = "application/octet-stream";
  response->body = *std::move(cookie);
  return absl::OkStatus();
}

absl::Status SetCookie(const Call& call, HttpResponse*) {
  absl::StatusOr<Credentials> credentials = CredentialsOf(call.request);
  if (!credentials.ok()) return credentials.status();
  return call.executive->SetCookie(*credentials, call.caller.peer, call.request.body(),
                                   call.deadline);
}

absl::Status ListTableLimits(const Call& call, HttpResponse* response) {
  absl::StatusOr<TableLimits> limits = call.executive->ListTableLimits(call.caller, call.deadline);
  if (!limits.ok()) return limits.status();
  return JsonAnswer(ToJson(*limits), response);
}

absl::Status SetTableLimit(const Call& call, HttpResponse*) {
  absl::StatusOr<ctldb::TableSizeLimit> limit = ParseTableSizeLimit(call.request.body());
  if (!limit.ok()) return limit.status();
  return call.executive->SetTableLimit(call.caller, call.names[0], call.names[1], *limit,
                                       call.deadline);
}

absl::Status DeleteTableLimit(const Call& call, HttpResponse*) {
  return call.executive->DeleteTableLimit(call.caller, call.names[0], call.names[1], call.deadline);
}

absl::Status ListWriterLimits(const Call& call, HttpResponse* response) {
  absl::StatusOr<WriterLimits> limits =
      call.executive->ListWriterLimits(call.caller, call.deadline);
  if (!limits.ok()) return limits.status();
  return JsonAnswer(ToJson(*limits), response);
}

absl::Status SetWriterLimit(const Call& call, HttpResponse*) {
  absl::StatusOr<RateLimit> limit = ParseRateLimit(call.request.body());
  if (!limit.ok()) return limit.status();
  return call.executive->SetWriterLimit(call.caller, call.names[0], *limit, call.deadline);
}

absl::Status DeleteWriterLimit(const Call& call, HttpResponse*) {
  return call.executive->DeleteWriterLimit(call.caller, call.names[0], call.deadline);
}

// Balancers and probes, which have no role, hear whether the executive is healthy; readers hear
// more.
absl::Status GetStatus(const Call& call, HttpResponse* response) {
  nlohmann::ordered_json json;
  absl::Status ctldb;
  if (call.caller.is_reader || call.caller.is_admin) {
    absl::StatusOr<Executive::State> state = call.executive->GetState(call.caller, call.deadline);
    if (!state.ok()) return state.status();
    ctldb = state->ctldb;
    json = {
        {"healthy", true},
        {"last-sequence", state->last_sequence},
        {"ledger-rows", state->ledger_rows},
        {"queue-length", state->queue_length},
        {"queue-capacity", state->queue_capacity},
        {"open-connections", state->open_connections},
        {"max-connections", state->max_connections},
        {"started-at", absl::FormatTime(absl::RFC3339_sec, state->started_at, absl::UTCTimeZone())},
        {"destructive-changes", state->destructive_changes}};
  } else {
    ctldb = call.executive->CheckCtldb(call.deadline);
    json = {{"healthy", true}};
  }
  if (!ctldb.ok()) return ctldb;
  return JsonAnswer(json.dump(), response);
}

struct Route {
  rpc::HttpRoute path;
  // Whether the caller's role matters; otherwise it proves to be a writer, or need not prove
  // anything.
  bool with_role;
  // Null for mutations.
  Logic logic;
};

constexpr bool kJsonBody = true;
constexpr char kMutationsPath[] = "/families/{family}/mutations";
constexpr char kTablePath[] = "/families/{family}/tables/{table}";
constexpr char kTableLimitPath[] = "/limits/tables/{family}/{table}";
constexpr char kWriterLimitPath[] = "/limits/writers/{writer}";

constexpr std::array<Route, 20> kRoutes = {{
    {{"POST", kMutationsPath, kJsonBody}, false, nullptr},
    {{"GET", "/cookie"}, false, GetCookie},
    {{"POST", "/cookie"}, false, SetCookie},
    {{"POST", "/families/{family}"}, true, CreateFamily},
    {{"POST", kTablePath, kJsonBody}, true, CreateTable},
    {{"PUT", kTablePath, kJsonBody}, true, AddFields},
    {{"DELETE", kTablePath}, true, DropTable},
    {{"POST", "/tables", kJsonBody}, true, CreateTables},
    {{"POST", "/writers/{writer}"}, true, RegisterWriter},
    {{"GET", "/schema/table/{family}/{table}"}, true, GetTable},
    {{"GET", "/schema/family/{family}"}, true, ListTables},
    {{"GET", "/limits/tables"}, true, ListTableLimits},
    {{"POST", kTableLimitPath, kJsonBody}, true, SetTableLimit},
    {{"DELETE", kTableLimitPath}, true, DeleteTableLimit},
    {{"GET", "/limits/writers"}, true, ListWriterLimits},
    {{"POST", kWriterLimitPath, kJsonBody}, true, SetWriterLimit},
    {{"DELETE", kWriterLimitPath}, true, DeleteWriterLimit},
    {{"DELETE", "/clear-rows/families/{family}"}, true, ClearFamily},
    {{"DELETE", "/clear-rows/families/{family}/tables/{table}"}, true, ClearTable},
    {{"GET", "/status"}, true, GetStatus},
}};

const rpc::HttpRouter& Router() {
  static const auto* const router = [] {
    std::vector<rpc::HttpRoute> paths;
    for (const Route& route : kRoutes) paths.push_back(route.path);
    return new rpc::HttpRouter(paths);
  }();
  return *router;
}

// One request, from its beginning to its answer. Lives on in whatever will answer.
class Exchange {
 public:
  Exchange(const FaceParts& parts, const HttpRequest& request, rpc::HttpServer::Respond respond)
      : parts_(parts), request_(request), respond_(std::move(respond)) {}
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  static void Run(std::shared_ptr<Exchange> self) {
    rpc::HttpRouter::Match& match = self->match_;
    match = Router().Find(self->request_);
    if (match.refusal.has_value()) return self->Respond(match.code, *std::move(match.refusal));
    self->route_ = &kRoutes[match.route];
    if (self->route_->logic == nullptr) return Mutate(std::move(self));
    if (!self->parts_.workers->TrySubmit([self] { self->Work(); })) self->Finish(TooManyCalls());
  }

 private:
  // By a worker.
  void Work() {
    if (request_.cancelled()) return Finish(absl::CancelledError("the client has gone away"));
    absl::StatusOr<rpc::Caller> caller = rpc::Caller{};
    if (route_->with_role) {
      caller = parts_.access->Identify(request_.header("authorization"),
                                       request_.client_identities(), request_.peer());
      if (!caller.ok()) return Finish(caller.status());
    }
    caller->peer = std::string(request_.peer());
    const Call call{request_, std::move(match_.names), parts_.executive, *std::move(caller),
                    start_ + parts_.max_call_duration};
    HttpResponse response;
    const absl::Status status = route_->logic(call, &response);
    Finish(status, std::move(response));
  }

  static void Mutate(std::shared_ptr<Exchange> self) {
    absl::StatusOr<Credentials> credentials = CredentialsOf(self->request_);
    if (!credentials.ok()) return self->Finish(credentials.status());
    absl::StatusOr<std::unique_ptr<const JsonMutation>> mutation =
        JsonMutation::Parse(self->match_.names[0], self->request_.body());
    if (!mutation.ok()) return self->Finish(mutation.status());
    self->mutation_ = *std::move(mutation);
    Executive::MutateCall call;
    call.credentials = *std::move(credentials);
    call.peer = std::string(self->request_.peer());
    call.request = self->mutation_->request();
    call.deadline = self->start_ + self->parts_.max_call_duration;
    call.cancelled = [self] { return self->request_.cancelled(); };
    call.done = [self](const absl::StatusOr<int64_t>& sequence) {
      HttpResponse response;
      const absl::Status status = Changed(sequence, &response);
      self->Finish(status, std::move(response));
    };
    Executive* const executive = self->parts_.executive;
    executive->StartMutate(std::move(call));
  }

  void Finish(const absl::Status& status, HttpResponse response = {}) {
    if (absl::IsInternal(status)) {
      LOG(ERROR) << "event=call_failed request=\"" << Name() << "\" error=\"" << status.message()
                 << "\"";
    }
    Respond(status.code(), status.ok() ? std::move(response) : rpc::ErrorResponse(status));
  }

  void Respond(absl::StatusCode code, HttpResponse response) {
    if (parts_.metrics != nullptr) parts_.metrics->Record(Name(), code, absl::Now() - start_);
    // After this the request is gone.
    respond_(std::move(response));
  }

  absl::string_view Name() const { return Router().name(match_.route); }

  const FaceParts parts_;
  const HttpRequest& request_;
  const rpc::HttpServer::Respond respond_;
  const absl::Time start_ = absl::Now();
  rpc::HttpRouter::Match match_;
  const Route* route_ = nullptr;
  std::unique_ptr<const JsonMutation> mutation_;
};

}  // namespace

void HttpApi::Handle(const rpc::HttpRequest& request, rpc::HttpServer::Respond respond) const {
  Exchange::Run(std::make_shared<Exchange>(parts_, request, std::move(respond)));
}

rpc::HttpResponse HttpApi::ServerError(int status, absl::string_view message) {
  return rpc::ErrorResponse(status, message);
}

}  // namespace ctlstore::executive
