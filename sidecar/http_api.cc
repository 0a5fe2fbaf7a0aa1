#include "sidecar/http_api.h"

#include <glog/logging.h>

#include <algorithm>
#include <array>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/types/optional.h"
#include "common/rpc/caller.h"
#include "common/rpc/http_errors.h"
#include "common/rpc/http_router.h"
#include "common/rpc/json_writer.h"
#include "common/schema/errors.h"
#include "common/schema/names.h"
#include "sidecar/json_key.h"

namespace ctlstore::sidecar {
namespace {

using rpc::HttpRequest;
using rpc::HttpResponse;

constexpr char kJson[] = "application/json";
// By which clients of the Go sidecar know that it is the row that is not there.
constexpr char kNotFoundHeader[] = "X-Ctlstore";
constexpr char kNotFoundText[] = "Not Found";
constexpr char kMinSequence[] = "min_sequence";
// What a server's own thread reads of a list before it leaves it to the workers.
constexpr int64_t kShortListRows = 100;
constexpr size_t kShortListBytes = size_t{64} << 10;

enum class Endpoint { kRow, kRows, kLatency, kHealth, kPing };

struct Route {
  rpc::HttpRoute path;
  Endpoint endpoint;
  bool needs_role;
};

constexpr bool kJsonBody = true;

constexpr std::array<Route, 5> kRoutes = {{
    {{"POST", "/get-row-by-key/{family}/{table}", kJsonBody}, Endpoint::kRow, true},
    {{"POST", "/get-rows-by-key-prefix/{family}/{table}", kJsonBody}, Endpoint::kRows, true},
    {{"GET", "/get-ledger-latency"}, Endpoint::kLatency, true},
    {{"GET", "/healthcheck"}, Endpoint::kHealth, false},
    {{"GET", "/ping"}, Endpoint::kPing, false},
}};

const rpc::HttpRouter& Router() {
  static const auto* const router = [] {
    std::vector<rpc::HttpRoute> paths;
    for (const Route& route : kRoutes) paths.push_back(route.path);
    return new rpc::HttpRouter(paths);
  }();
  return *router;
}

void AppendRow(const ldb::RowView& row, std::string* json) {
  json->push_back('{');
  for (size_t i = 0; i < row.size(); ++i) {
    if (i > 0) json->push_back(',');
    rpc::AppendJsonString(row.name(i), json);
    json->push_back(':');
    rpc::AppendJson(row.value(i), json);
  }
  json->push_back('}');
}

// What a request asks for.
struct Call {
  size_t route = rpc::HttpRouter::kNone;
  absl::Time start;
  TableName table;
  std::vector<Value> key;
  // 0 where none is asked for.
  int64_t min_sequence = 0;

  std::vector<ValueView> key_views() const { return {key.begin(), key.end()}; }
};

absl::StatusOr<int64_t> MinSequence(const HttpRequest& request) {
  int64_t sequence = 0;
  bool given = false;
  for (const auto& [name, value] : request.query()) {
    if (name != kMinSequence) {
      return InvalidField("query", reason::kUnknownField,
                          absl::StrCat("only ", kMinSequence, " is known in a query"));
    }
    if (given) return InvalidField(kMinSequence, reason::kInvalidRequest, "is there twice");
    given = true;
    if (!absl::SimpleAtoi(value, &sequence) || sequence < 0) {
      return InvalidField(kMinSequence, reason::kInvalidRequest,
                          "has to be a whole number of 64 bits that is not negative");
    }
  }
  return sequence;
}

// Answers calls. Copied into whatever answers later.
class Handler {
 public:
  Handler(const HttpApi::Parts& parts, const HttpApi::Options& options)
      : parts_(parts), options_(options) {}

  void Handle(const HttpRequest& request, rpc::HttpServer::Respond respond) const {
    rpc::HttpRouter::Match match = Router().Find(request);
    Call call;
    call.route = match.route;
    call.start = absl::Now();
    if (match.refusal.has_value()) {
      return Respond(call, match.code, *std::move(match.refusal), respond);
    }
    const Route& route = kRoutes[match.route];
    absl::Status status = route.needs_role ? CheckRole(request) : absl::OkStatus();
    if (status.ok() && route.path.json) status = ReadRequest(request, match, &call);
    if (!status.ok()) return Fail(call, status, respond);
    if (call.min_sequence > 0) return WaitAndRead(request, std::move(call), std::move(respond));
    Read(request, std::move(call), std::move(respond));
  }

 private:
  absl::Status CheckRole(const HttpRequest& request) const {
    if (parts_.access == nullptr || !parts_.access->has_roles()) return absl::OkStatus();
    const absl::StatusOr<rpc::Caller> caller = parts_.access->Identify(
        request.header("authorization"), request.client_identities(), request.peer());
    if (!caller.ok()) return caller.status();
    return rpc::RequireRole(*caller, rpc::Role::kReader);
  }

  static absl::Status ReadRequest(const HttpRequest& request, const rpc::HttpRouter::Match& match,
                                  Call* call) {
    absl::StatusOr<TableName> table = NormalizeName(match.names[0], match.names[1]);
    if (!table.ok()) return table.status();
    call->table = *std::move(table);
    absl::StatusOr<std::vector<Value>> key = ParseJsonKey(request.body());
    if (!key.ok()) return key.status();
    call->key = *std::move(key);
    const absl::StatusOr<int64_t> min_sequence = MinSequence(request);
    if (!min_sequence.ok()) return min_sequence.status();
    call->min_sequence = *min_sequence;
    return absl::OkStatus();
  }

  // Goes on with a worker once the sequence is applied.
  void WaitAndRead(const HttpRequest& request, Call call, rpc::HttpServer::Respond respond) const {
    const absl::StatusOr<int64_t> applied = parts_.reader->GetSequence();
    if (applied.ok() && *applied >= call.min_sequence) {
      return Read(request, std::move(call), std::move(respond));
    }
    const int64_t sequence = call.min_sequence;
    const absl::Time deadline = absl::Now() + options_.max_wait;
    const auto shared = std::make_shared<Call>(std::move(call));
    const absl::StatusOr<uint64_t> wait = parts_.waiter->Wait(
        sequence, deadline,
        [handler = *this, shared, &request, respond](const absl::StatusOr<int64_t>& reached) {
          if (!reached.ok()) return handler.Fail(*shared, reached.status(), respond);
          handler.Submit([handler, shared, &request,
                          respond] { handler.ReadInWorker(request, *shared, respond); },
                         *shared, respond);
        });
    if (!wait.ok()) Fail(*shared, wait.status(), respond);
  }

  // By a server's thread.
  void Read(const HttpRequest& request, Call call, rpc::HttpServer::Respond respond) const {
    if (kRoutes[call.route].endpoint != Endpoint::kRows) return ReadOne(call, respond);
    std::string json;
    const absl::StatusOr<bool> complete =
        ReadRows(call, std::min(kShortListRows, options_.max_list_rows),
                 std::min(kShortListBytes, options_.max_list_bytes), &json);
    if (!complete.ok()) return Fail(call, complete.status(), respond);
    if (*complete) return Succeed(call, std::move(json), respond);
    // From its beginning, so that no state of the database is held by what waits for a worker.
    const auto shared = std::make_shared<const Call>(std::move(call));
    Submit([handler = *this, shared, &request,
            respond] { handler.ReadInWorker(request, *shared, respond); },
           *shared, respond);
  }

  void ReadInWorker(const HttpRequest& request, const Call& call,
                    const rpc::HttpServer::Respond& respond) const {
    if (request.cancelled()) {
      return Fail(call, absl::CancelledError("the client has gone away"), respond);
    }
    if (kRoutes[call.route].endpoint != Endpoint::kRows) return ReadOne(call, respond);
    std::string json;
    const absl::StatusOr<bool> complete =
        ReadRows(call, options_.max_list_rows, options_.max_list_bytes, &json);
    if (!complete.ok()) return Fail(call, complete.status(), respond);
    if (!*complete) return Fail(call, TooLong(), respond);
    Succeed(call, std::move(json), respond);
  }

  void Submit(WorkerPool::Task task, const Call& call,
              const rpc::HttpServer::Respond& respond) const {
    if (parts_.workers->TrySubmit(std::move(task))) return;
    Fail(call,
         WithRetryDelay(ErrorWithReason(absl::StatusCode::kResourceExhausted, reason::kQueueFull,
                                        "too many lists are waiting to be read"),
                        absl::Seconds(1)),
         respond);
  }

  void ReadOne(const Call& call, const rpc::HttpServer::Respond& respond) const {
    switch (kRoutes[call.route].endpoint) {
      case Endpoint::kRow:
        return ReadRow(call, respond);
      case Endpoint::kLatency:
        return ReadLatency(call, respond);
      case Endpoint::kHealth: {
        const absl::Status status = parts_.reader->GetSequence().status();
        return status.ok() ? Respond(call, status.code(), HttpResponse(), respond)
                           : Fail(call, status, respond);
      }
      case Endpoint::kPing:
      case Endpoint::kRows:
        return Respond(call, absl::StatusCode::kOk, HttpResponse(), respond);
    }
  }

  void ReadRow(const Call& call, const rpc::HttpServer::Respond& respond) const {
    const absl::StatusOr<ldb::Row> row =
        parts_.reader->GetRow(call.table.family, call.table.table, call.key_views());
    if (!row.ok()) return Fail(call, row.status(), respond);
    if (!row->exists()) {
      HttpResponse response = rpc::ErrorResponse(ErrorWithReason(
          absl::StatusCode::kNotFound, reason::kRowNotFound, "there is no row with this key"));
      response.headers.emplace_back(kNotFoundHeader, kNotFoundText);
      // No mistake of anybody's.
      return Respond(call, absl::StatusCode::kOk, std::move(response), respond);
    }
    std::string json;
    AppendRow(*row, &json);
    Succeed(call, std::move(json), respond);
  }

  // False where there is more than the limits allow.
  absl::StatusOr<bool> ReadRows(const Call& call, int64_t max_rows, size_t max_bytes,
                                std::string* json) const {
    const absl::Time deadline = absl::Now() + options_.max_list_duration;
    // One more tells whether there are more.
    ldb::ListOptions list;
    list.limit = max_rows < std::numeric_limits<int64_t>::max() ? max_rows + 1 : ldb::kNoLimit;
    const std::vector<ValueView> key = call.key_views();
    ldb::RowIterator rows = parts_.reader->ListRows(call.table.family, call.table.table, key, list);
    json->push_back('[');
    int64_t count = 0;
    while (rows.Next()) {
      if (++count > max_rows) return false;
      if (count > 1) json->push_back(',');
      AppendRow(rows.row(), json);
      // The bracket at the end counts as well.
      if (json->size() >= max_bytes) return false;
      if (absl::Now() > deadline) {
        return absl::DeadlineExceededError(
            absl::StrCat("the list could not be read within ",
                         absl::FormatDuration(options_.max_list_duration)));
      }
    }
    if (!rows.status().ok()) return rows.status();
    json->push_back(']');
    return true;
  }

  absl::Status TooLong() const {
    return ErrorWithReason(
        absl::StatusCode::kOutOfRange, reason::kListTooLong,
        absl::StrCat("there are more than ", options_.max_list_rows,
                     " rows (--max_list_rows), or more than ", options_.max_list_bytes,
                     " bytes of them (--max_http_list_bytes); ask for a longer key prefix"));
  }

  void ReadLatency(const Call& call, const rpc::HttpServer::Respond& respond) const {
    const absl::StatusOr<ldb::Position> position = parts_.reader->GetPosition();
    if (!position.ok()) return Fail(call, position.status(), respond);
    const absl::optional<absl::Duration> lag = position->Lag(parts_.clock->Now());
    if (!lag.has_value()) {
      return Fail(call,
                  ErrorWithReason(absl::StatusCode::kUnavailable, reason::kLdbUnavailable,
                                  "nothing has arrived in the local database yet"),
                  respond);
    }
    std::string json = "{\"value\":";
    rpc::AppendJson(absl::ToDoubleSeconds(*lag), &json);
    absl::StrAppend(&json, ",\"unit\":\"seconds\"}");
    Succeed(call, std::move(json), respond);
  }

  void Succeed(const Call& call, std::string json, const rpc::HttpServer::Respond& respond) const {
    HttpResponse response;
    response.content_type = kJson;
    response.body = std::move(json);
    Respond(call, absl::StatusCode::kOk, std::move(response), respond);
  }

  void Fail(const Call& call, const absl::Status& status,
            const rpc::HttpServer::Respond& respond) const {
    if (absl::IsInternal(status) || absl::IsDataLoss(status)) {
      LOG(ERROR) << "event=call_failed request=\"" << Router().name(call.route) << "\" error=\""
                 << status.message() << "\"";
    }
    Respond(call, status.code(), rpc::ErrorResponse(status), respond);
  }

  void Respond(const Call& call, absl::StatusCode code, HttpResponse response,
               const rpc::HttpServer::Respond& respond) const {
    if (parts_.metrics != nullptr) {
      parts_.metrics->Record(Router().name(call.route), code, absl::Now() - call.start);
    }
    respond(std::move(response));
  }

  const HttpApi::Parts parts_;
  const HttpApi::Options options_;
};

}  // namespace

void HttpApi::Handle(const rpc::HttpRequest& request, rpc::HttpServer::Respond respond) const {
  Handler(parts_, options_).Handle(request, std::move(respond));
}

rpc::HttpResponse HttpApi::ServerError(int status, absl::string_view message) {
  return rpc::ErrorResponse(status, message);
}

}  // namespace ctlstore::sidecar
