#include "cli/watch_command.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <algorithm>
#include <cstdint>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cli/command_result.h"
#include "cli/exit_status.h"
#include "cli/json_output.h"
#include "cli/server_errors.h"
#include "cli/shared_flags.h"
#include "common/base/backoff.h"
#include "common/rpc/client.h"
#include "common/rpc/client_flags.h"
#include "common/rpc/proto_conversion.h"
#include "common/rpc/status_conversion.h"
#include "common/schema/errors.h"
#include "common/schema/names.h"
#include "ctlstore/v1/sidecar.grpc.pb.h"

ABSL_FLAG(int64_t, after_sequence, -1,
          "Tell what ledger entries after this sequence have changed. -1: from now on.");
ABSL_FLAG(bool, with_rows, false, "Show the rows that were written, too.");

namespace ctlstore::cli {
namespace {

using Arguments = std::vector<std::string>;

constexpr absl::Duration kFirstPause = absl::Milliseconds(100);
constexpr absl::Duration kLongestPause = absl::Seconds(5);

absl::StatusOr<v1::WatchRequest> RequestFor(const Arguments& arguments) {
  v1::WatchRequest request;
  for (const std::string& argument : arguments) {
    const std::vector<std::string> names = absl::StrSplit(argument, absl::MaxSplits('.', 1));
    absl::StatusOr<std::string> family = NormalizeFamilyName("family", names[0]);
    if (!family.ok()) return family.status();
    v1::WatchSelector* selector = request.add_selectors();
    selector->set_family(*std::move(family));
    if (names.size() == 1) continue;
    absl::StatusOr<std::string> table = NormalizeTableName("table", names[1]);
    if (!table.ok()) return table.status();
    selector->set_table(*std::move(table));
  }
  const int64_t after_sequence = absl::GetFlag(FLAGS_after_sequence);
  if (after_sequence < -1) {
    return UsageError("--after_sequence must be 0 or more, or -1 for what comes from now on");
  }
  if (after_sequence >= 0) request.set_after_sequence(after_sequence);
  request.set_with_rows(absl::GetFlag(FLAGS_with_rows));
  return request;
}

absl::StatusOr<Json> RowJson(const v1::Row& row) {
  const std::map<std::string, v1::Value> sorted(row.values().begin(), row.values().end());
  Json json = Json::object();
  for (const auto& [name, proto] : sorted) {
    const absl::StatusOr<ValueView> value = rpc::FromProto(name, proto);
    if (!value.ok()) return value.status();
    json[name] = ToJson(*value);
  }
  return json;
}

absl::StatusOr<Json> ChangeJson(const v1::RowChange& change, bool with_rows) {
  Json json = Json::object(
      {{"sequence", change.sequence()}, {"family", change.family()}, {"table", change.table()}});
  if (change.key().empty()) return json;
  const absl::StatusOr<std::vector<ValueView>> values = rpc::FromProto("key", change.key());
  if (!values.ok()) return values.status();
  Json key = Json::array();
  for (const ValueView& value : *values) key.push_back(ToJson(value));
  json["key"] = std::move(key);
  if (!with_rows) return json;
  json["row"] = nullptr;
  if (change.has_row()) {
    absl::StatusOr<Json> row = RowJson(change.row());
    if (!row.ok()) return row.status();
    json["row"] = *std::move(row);
  }
  return json;
}

absl::Status Print(const v1::WatchResponse& message, bool with_rows) {
  for (const v1::RowChange& change : message.changes()) {
    const absl::StatusOr<Json> json = ChangeJson(change, with_rows);
    if (!json.ok()) return json.status();
    std::cout << Compact(*json) << "\n";
  }
  if (message.everything_changed()) {
    std::cout << Compact(
                     Json::object({{"sequence", message.sequence()}, {"everything_changed", true}}))
              << "\n";
  } else if (message.changes().empty()) {
    std::cout << Compact(Json::object({{"sequence", message.sequence()}})) << "\n";
  }
  std::cout.flush();
  if (!std::cout) return absl::InternalError("standard output cannot be written");
  return absl::OkStatus();
}

// Whether a call that has ended so may go well when it is begun again.
bool MayPass(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kUnimplemented:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kDataLoss:
      return false;
    default:
      return true;
  }
}

// Goes on for as long as something is told, in one call after the other.
class Watching {
 public:
  explicit Watching(v1::WatchRequest request)
      : address_(rpc::SidecarAddressFromFlags()),
        channel_(rpc::ChannelOptionsFromFlags()),
        stub_(v1::Sidecar::NewStub(rpc::NewChannel(address_, channel_))),
        request_(std::move(request)) {}

  // Returns why it cannot go on. Where nothing was ever told, that is any error: the address may be
  // wrong.
  absl::Status Run() {
    while (true) {
      absl::Status output;
      const absl::Status end = Call(&output);
      if (!output.ok()) return output;
      if (!told_ || !MayPass(end)) {
        return ExplainCallError(end, "sidecar", address_, channel_);
      }
      if (!away_) {
        away_ = true;
        std::cerr << "ctlstore: the sidecar does not go on (" << end.message()
                  << "); trying again, after sequence " << request_.after_sequence() << "\n";
      }
      absl::SleepFor(std::max(backoff_.Next(), RetryDelay(end).value_or(absl::ZeroDuration())));
    }
  }

 private:
  // Returns the call's end, or in `*output` why nothing can be shown.
  absl::Status Call(absl::Status* output) {
    grpc::ClientContext context;
    const auto messages = stub_->Watch(&context, request_);
    v1::WatchResponse message;
    while (messages->Read(&message)) {
      told_ = true;
      away_ = false;
      backoff_.Reset();
      request_.set_after_sequence(message.sequence());
      *output = Print(message, request_.with_rows());
      if (!output->ok()) context.TryCancel();
    }
    return rpc::FromGrpcStatus(messages->Finish());
  }

  const std::string address_;
  const rpc::ChannelOptions channel_;
  const std::unique_ptr<v1::Sidecar::Stub> stub_;
  // What is to be asked for next.
  v1::WatchRequest request_;
  Backoff backoff_{kFirstPause, kLongestPause};
  bool told_ = false;
  bool away_ = false;
};

absl::Status Watch(const Arguments& arguments) {
  absl::StatusOr<v1::WatchRequest> request = RequestFor(arguments);
  if (!request.ok()) return request.status();
  return Watching(*std::move(request)).Run();
}

}  // namespace

Command WatchCommand() {
  Command command;
  command.name = "watch";
  command.arguments = "[FAMILY[.TABLE]...]";
  command.summary = "Shows what changes, as it changes";
  command.description =
      "  ctlstore watch geo shop.prices --with_rows\n\n"
      "Asks the sidecar at --sidecar, and goes on until it is stopped, also when the\n"
      "sidecar is away for a while. Without names it shows all tables' changes. Each line\n"
      "is JSON, and has one of:\n"
      "  sequence, family, table, key   the row with this key was written or deleted;\n"
      "                                 with --with_rows and row, which is null for no row\n"
      "  sequence, family, table        any row of the table may have changed\n"
      "  sequence, everything_changed   any row at all may have changed\n"
      "  sequence                       there is nothing else up to there\n"
      "After a line's sequence one can go on with --after_sequence.";
  command.max_arguments = Command::kAnyNumber;
  command.flags = Joined({"sidecar", "after_sequence", "with_rows"}, ChannelFlags());
  command.run = Returning(Watch);
  return command;
}

}  // namespace ctlstore::cli
