#include "cli/reflector_commands.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <cstdint>
#include <iostream>
#include <memory>
#include <string>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cli/command_result.h"
#include "cli/exit_status.h"
#include "cli/json_output.h"
#include "cli/server_errors.h"
#include "cli/shared_flags.h"
#include "cli/text_table.h"
#include "cli/value_text.h"
#include "common/rpc/client.h"
#include "common/rpc/client_flags.h"
#include "common/rpc/proto_conversion.h"
#include "common/rpc/status_conversion.h"
#include "ctlstore/v1/reflector.grpc.pb.h"

namespace ctlstore::cli {
namespace {

using Arguments = std::vector<std::string>;

template <typename Request, typename Response>
absl::StatusOr<Response> Call(grpc::Status (v1::Reflector::Stub::*method)(grpc::ClientContext*,
                                                                          const Request&,
                                                                          Response*),
                              const Request& request) {
  const std::string address = rpc::ReflectorAddressFromFlags();
  const rpc::ChannelOptions channel = rpc::ChannelOptionsFromFlags();
  const std::unique_ptr<v1::Reflector::Stub> stub =
      v1::Reflector::NewStub(rpc::NewChannel(address, channel));
  grpc::ClientContext context;
  rpc::SetDeadline(absl::Now() + CallTimeoutFromFlags(), &context);
  Response response;
  const absl::Status status =
      rpc::FromGrpcStatus((stub.get()->*method)(&context, request, &response));
  if (!status.ok()) return ExplainCallError(status, "reflector", address, channel);
  return response;
}

std::string StateName(v1::ReflectorState state) {
  return absl::AsciiStrToLower(v1::ReflectorState_Name(state));
}

std::string DurationText(const google::protobuf::Duration& duration) {
  return absl::FormatDuration(absl::Trunc(rpc::FromProto(duration), absl::Milliseconds(1)));
}

std::string TimeText(const google::protobuf::Timestamp& time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E*SZ", rpc::FromProto(time), absl::UTCTimeZone());
}

std::string StageName(v1::SnapshotFetch::Stage stage) {
  return absl::AsciiStrToLower(v1::SnapshotFetch::Stage_Name(stage));
}

Json ToJson(const v1::SnapshotFetch& fetch) {
  Json json = Json::object({{"stage", StageName(fetch.stage())},
                            {"url", fetch.url()},
                            {"snapshot", fetch.snapshot_id()},
                            {"sequence", fetch.sequence()},
                            {"bytes_done", fetch.bytes_done()},
                            {"bytes_total", fetch.bytes_total()},
                            {"bytes_per_second", fetch.bytes_per_second()}});
  if (fetch.has_time_left()) {
    json["seconds_left"] = absl::ToDoubleSeconds(rpc::FromProto(fetch.time_left()));
  }
  return json;
}

// "fetching <id> from <url>: 34 % of 1234567 bytes, 1000000 bytes/s, 1s left".
std::string FetchText(const v1::SnapshotFetch& fetch) {
  std::string text = StageName(fetch.stage());
  if (fetch.snapshot_id().empty()) return text;
  absl::StrAppend(&text, " ", fetch.snapshot_id(), " from ", fetch.url());
  if (fetch.bytes_total() > 0) {
    absl::StrAppend(&text, ": ", fetch.bytes_done() * 100 / fetch.bytes_total(), " % of ",
                    fetch.bytes_total(), " bytes");
  }
  if (fetch.bytes_per_second() > 0) {
    absl::StrAppend(&text, ", ", fetch.bytes_per_second(), " bytes/s");
  }
  if (fetch.has_time_left()) absl::StrAppend(&text, ", ", DurationText(fetch.time_left()), " left");
  return text;
}

Json ToJson(const v1::LdbStatus& status) {
  Json families = Json::array();
  for (const std::string& family : status.families()) families.push_back(family);
  Json json = Json::object(
      {{"path", status.path()},
       {"state", StateName(status.state())},
       {"ready", status.not_ready().empty()},
       {"applied_sequence", status.applied_sequence()},
       {"ledger_sequence", status.ledger_sequence()},
       {"behind_seconds", status.has_behind()
                              ? Json(absl::ToDoubleSeconds(rpc::FromProto(status.behind())))
                              : Json()},
       {"last_caught_up",
        status.has_last_caught_up() ? Json(TimeText(status.last_caught_up())) : Json()},
       {"upstream", status.upstream()},
       {"families", families},
       {"wal_bytes", status.wal_bytes()},
       {"skipped_entries", status.skipped_entries()}});
  if (!status.error().empty()) json["error"] = status.error();
  if (!status.not_ready().empty()) json["not_ready"] = status.not_ready();
  if (status.has_checkpoint_blocked()) {
    json["checkpoint_blocked_seconds"] =
        absl::ToDoubleSeconds(rpc::FromProto(status.checkpoint_blocked()));
    json["checkpoint_blocked_by_pid"] = status.checkpoint_blocked_by_pid();
  }
  if (status.failed_sequence() != 0) json["failed_sequence"] = status.failed_sequence();
  if (status.state() == v1::REBUILDING) {
    json["rebuild_sequence"] = status.rebuild_sequence();
    json["rebuild_reason"] = status.rebuild_reason();
  }
  if (status.has_snapshot_fetch()) json["snapshot_fetch"] = ToJson(status.snapshot_fetch());
  if (!status.snapshot_id().empty()) json["snapshot_id"] = status.snapshot_id();
  if (!status.changelog_path().empty()) json["changelog_path"] = status.changelog_path();
  return json;
}

void Print(const v1::LdbStatus& status) {
  TextTable table({}, &std::cout);
  table.AddRow({"local database", status.path()});
  table.AddRow({"state", StateName(status.state())});
  if (!status.error().empty()) table.AddRow({"error", EscapedText(status.error())});
  if (!status.not_ready().empty()) table.AddRow({"not ready", EscapedText(status.not_ready())});
  table.AddRow({"applied sequence", absl::StrCat(status.applied_sequence())});
  table.AddRow({"ledger's sequence", absl::StrCat(status.ledger_sequence())});
  if (status.has_behind()) table.AddRow({"behind for", DurationText(status.behind())});
  if (status.has_last_caught_up()) {
    table.AddRow({"last caught up", TimeText(status.last_caught_up())});
  }
  table.AddRow({"upstream", status.upstream().empty() ? "none" : status.upstream()});
  table.AddRow(
      {"families", status.families().empty() ? "all" : absl::StrJoin(status.families(), ", ")});
  table.AddRow({"WAL bytes", absl::StrCat(status.wal_bytes())});
  if (status.has_checkpoint_blocked()) {
    table.AddRow(
        {"WAL held by a reader for",
         absl::StrCat(DurationText(status.checkpoint_blocked()),
                      status.checkpoint_blocked_by_pid() == 0
                          ? std::string()
                          : absl::StrCat(", process ", status.checkpoint_blocked_by_pid()))});
  }
  if (status.failed_sequence() != 0) {
    table.AddRow({"entry that fails", absl::StrCat(status.failed_sequence())});
  }
  if (status.skipped_entries() != 0) {
    table.AddRow({"skipped entries", absl::StrCat(status.skipped_entries(),
                                                  ": this copy is not the same as the ctldb")});
  }
  if (status.state() == v1::REBUILDING) {
    table.AddRow(
        {"being built anew", absl::StrCat("up to ", status.rebuild_sequence(), ", because ",
                                          EscapedText(status.rebuild_reason()))});
  }
  if (status.has_snapshot_fetch()) {
    table.AddRow({"snapshot", EscapedText(FetchText(status.snapshot_fetch()))});
  } else if (!status.snapshot_id().empty()) {
    table.AddRow({"began from snapshot", EscapedText(status.snapshot_id())});
  }
  if (!status.changelog_path().empty()) table.AddRow({"changelog", status.changelog_path()});
  table.Finish();
}

absl::Status ReflectorStatus(const Arguments&) {
  const auto status = Call(&v1::Reflector::Stub::GetStatus, v1::GetReflectorStatusRequest());
  if (!status.ok()) return status.status();
  if (absl::GetFlag(FLAGS_json)) {
    Json ldbs = Json::array();
    for (const v1::LdbStatus& ldb : status->ldbs()) ldbs.push_back(ToJson(ldb));
    std::cout << Compact(Json::object({{"instance", status->instance()}, {"ldbs", ldbs}})) << "\n";
  } else {
    for (const v1::LdbStatus& ldb : status->ldbs()) {
      if (&ldb != &status->ldbs(0)) std::cout << "\n";
      Print(ldb);
    }
  }
  for (const v1::LdbStatus& ldb : status->ldbs()) {
    if (ldb.not_ready().empty()) continue;
    return absl::UnavailableError(absl::StrCat(ldb.path(), " is not ready: ", ldb.not_ready()));
  }
  return absl::OkStatus();
}

void Say(const std::string& text, const Json& json) {
  std::cout << (absl::GetFlag(FLAGS_json) ? Compact(json) : text) << "\n";
}

absl::Status SkipEntry(const Arguments& arguments) {
  v1::SkipEntryRequest request;
  int64_t sequence = 0;
  if (!absl::SimpleAtoi(arguments[0], &sequence) || sequence < 1) {
    return UsageError(
        absl::StrCat("SEQUENCE must be a number of at least 1, not \"", arguments[0], "\""));
  }
  request.set_sequence(sequence);
  if (arguments.size() > 1) request.set_ldb_path(arguments[1]);
  const auto response = Call(&v1::Reflector::Stub::SkipEntry, request);
  if (!response.ok()) return response.status();
  Say(absl::StrCat("ledger entry ", sequence,
                   " is gone over; the local database is not the same as the ctldb until it is "
                   "built anew (ctlstore reflector rebuild)"),
      Json::object({{"skipped_sequence", sequence}}));
  return absl::OkStatus();
}

absl::Status Rebuild(const Arguments& arguments) {
  v1::RebuildRequest request;
  if (!arguments.empty()) request.set_ldb_path(arguments[0]);
  const auto response = Call(&v1::Reflector::Stub::Rebuild, request);
  if (!response.ok()) return response.status();
  Say("a new local database is being built; ctlstore status reflector shows how far it is",
      Json::object({{"rebuilding", true}}));
  return absl::OkStatus();
}

std::vector<std::string> ReflectorFlags() {
  return Joined({"reflector", "call_timeout_ms", "json"}, ChannelFlags());
}

}  // namespace

std::vector<Command> ReflectorCommands() {
  std::vector<Command> commands;
  {
    Command command;
    command.name = "status reflector";
    command.summary = "Shows how this host's copies are kept up";
    command.description =
        "Asks the reflector at --reflector: for each local database its state, how far it\n"
        "is, where the ledger comes from, and what is in the way. Where one is not ready,\n"
        "the exit status is 5.";
    command.flags = ReflectorFlags();
    command.run = Returning(ReflectorStatus);
    commands.push_back(command);
  }
  {
    Command command;
    command.name = "reflector skip";
    command.arguments = "SEQUENCE [LDB]";
    command.summary = "Goes over a ledger entry that cannot be applied";
    command.description =
        "Only the entry that stands in the way (state entry_failed) can be skipped. The\n"
        "local database is then no longer the same as the ctldb, until it is built anew.\n"
        "LDB is its path, where the reflector keeps several.";
    command.min_arguments = 1;
    command.max_arguments = 2;
    command.flags = ReflectorFlags();
    command.run = Returning(SkipEntry);
    commands.push_back(command);
  }
  {
    Command command;
    command.name = "reflector rebuild";
    command.arguments = "[LDB]";
    command.summary = "Builds a local database anew from the ledger";
    command.description =
        "Readers keep the old one until the new one is as far as that was. LDB is its\n"
        "path, where the reflector keeps several.";
    command.max_arguments = 1;
    command.flags = ReflectorFlags();
    command.run = Returning(Rebuild);
    commands.push_back(command);
  }
  return commands;
}

}  // namespace ctlstore::cli
