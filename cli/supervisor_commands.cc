#include "cli/supervisor_commands.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <iostream>
#include <memory>
#include <string>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cli/command_result.h"
#include "cli/json_output.h"
#include "cli/server_errors.h"
#include "cli/shared_flags.h"
#include "cli/text_table.h"
#include "cli/value_text.h"
#include "common/rpc/client.h"
#include "common/rpc/client_flags.h"
#include "common/rpc/proto_conversion.h"
#include "common/rpc/status_conversion.h"
#include "ctlstore/v1/supervisor.grpc.pb.h"

namespace ctlstore::cli {
namespace {

using Arguments = std::vector<std::string>;

// A snapshot of 10 GB over a slow link.
constexpr char kSnapshotTimeoutMs[] = "3600000";

template <typename Request, typename Response>
absl::StatusOr<Response> Call(grpc::Status (v1::Supervisor::Stub::*method)(grpc::ClientContext*,
                                                                           const Request&,
                                                                           Response*),
                              const Request& request) {
  const std::string address = rpc::SupervisorAddressFromFlags();
  const rpc::ChannelOptions channel = rpc::ChannelOptionsFromFlags();
  const std::unique_ptr<v1::Supervisor::Stub> stub =
      v1::Supervisor::NewStub(rpc::NewChannel(address, channel));
  grpc::ClientContext context;
  rpc::SetDeadline(absl::Now() + CallTimeoutFromFlags(), &context);
  Response response;
  const absl::Status status =
      rpc::FromGrpcStatus((stub.get()->*method)(&context, request, &response));
  if (!status.ok()) return ExplainCallError(status, "supervisor", address, channel);
  return response;
}

std::string TimeText(const google::protobuf::Timestamp& time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E*SZ",
                          absl::FromUnixMillis(absl::ToUnixMillis(rpc::FromProto(time))),
                          absl::UTCTimeZone());
}

std::string FamiliesText(const v1::SnapshotInfo& snapshot) {
  return snapshot.families().empty() ? "all" : absl::StrJoin(snapshot.families(), ", ");
}

Json ToJson(const v1::SnapshotInfo& snapshot) {
  Json families = Json::array();
  for (const std::string& family : snapshot.families()) families.push_back(family);
  return Json::object({{"id", snapshot.id()},
                       {"sequence", snapshot.sequence()},
                       {"taken_at", TimeText(snapshot.taken_at())},
                       {"compression", snapshot.compression()},
                       {"object_bytes", snapshot.object_bytes()},
                       {"file_bytes", snapshot.file_bytes()},
                       {"object_sha256", snapshot.object_sha256()},
                       {"tables", snapshot.tables()},
                       {"rows", snapshot.rows()},
                       {"families", families}});
}

void Print(const v1::TakeSnapshotResponse& taken) {
  const v1::SnapshotInfo& snapshot = taken.snapshot();
  TextTable table({}, &std::cout);
  table.AddRow({"snapshot", snapshot.id()});
  table.AddRow({"sequence", absl::StrCat(snapshot.sequence())});
  table.AddRow({"families", FamiliesText(snapshot)});
  table.AddRow({"tables, rows", absl::StrCat(snapshot.tables(), ", ", snapshot.rows())});
  table.AddRow({"bytes", absl::StrCat(snapshot.object_bytes(), " (", snapshot.compression(),
                                      "), decompressed ", snapshot.file_bytes())});
  for (const v1::DestinationResult& destination : taken.destinations()) {
    table.AddRow({destination.error().empty() ? "is in" : "FAILED in",
                  destination.error().empty()
                      ? destination.url()
                      : absl::StrCat(destination.url(), ": ", EscapedText(destination.error()))});
  }
  table.Finish();
}

absl::Status SnapshotNow(const Arguments&) {
  const auto taken = Call(&v1::Supervisor::Stub::TakeSnapshot, v1::TakeSnapshotRequest());
  if (!taken.ok()) return taken.status();
  int failed = 0;
  Json destinations = Json::array();
  for (const v1::DestinationResult& destination : taken->destinations()) {
    Json json = Json::object({{"url", destination.url()}, {"ok", destination.error().empty()}});
    if (!destination.error().empty()) {
      json["error"] = destination.error();
      ++failed;
    }
    destinations.push_back(json);
  }
  if (absl::GetFlag(FLAGS_json)) {
    std::cout << Compact(Json::object(
                     {{"snapshot", ToJson(taken->snapshot())}, {"destinations", destinations}}))
              << "\n";
  } else {
    Print(*taken);
  }
  if (failed == 0) return absl::OkStatus();
  return absl::UnknownError(absl::StrCat("the snapshot is not in ", failed, " of ",
                                         taken->destinations_size(), " destinations"));
}

std::string StageName(const v1::GetSupervisorStatusResponse& status) {
  return absl::AsciiStrToLower(v1::GetSupervisorStatusResponse::Stage_Name(status.stage()));
}

Json ToJson(const v1::GetSupervisorStatusResponse& status) {
  Json destinations = Json::array();
  for (const v1::GetSupervisorStatusResponse::Destination& destination : status.destinations()) {
    Json json = Json::object(
        {{"url", destination.url()},
         {"last_success",
          destination.has_last_success() ? Json(TimeText(destination.last_success())) : Json()},
         {"last_snapshot",
          destination.has_last_snapshot() ? ToJson(destination.last_snapshot()) : Json()},
         {"failures", destination.failures()}});
    if (!destination.error().empty()) json["error"] = destination.error();
    destinations.push_back(json);
  }
  Json json =
      Json::object({{"instance", status.instance()},
                    {"stage", StageName(status)},
                    {"stage_seconds", absl::ToDoubleSeconds(rpc::FromProto(status.stage_age()))},
                    {"next_snapshot",
                     status.has_next_snapshot() ? Json(TimeText(status.next_snapshot())) : Json()},
                    {"applied_sequence", status.applied_sequence()},
                    {"ledger_sequence", status.ledger_sequence()},
                    {"ready", status.not_ready().empty()},
                    {"destinations", destinations}});
  if (!status.not_ready().empty()) json["not_ready"] = status.not_ready();
  return json;
}

void Print(const v1::GetSupervisorStatusResponse& status) {
  TextTable table({}, &std::cout);
  table.AddRow({"stage", absl::StrCat(StageName(status), " for ",
                                      absl::FormatDuration(absl::Trunc(
                                          rpc::FromProto(status.stage_age()), absl::Seconds(1))))});
  table.AddRow({"next snapshot",
                status.has_next_snapshot() ? TimeText(status.next_snapshot()) : "on demand"});
  if (!status.not_ready().empty()) table.AddRow({"not ready", EscapedText(status.not_ready())});
  table.AddRow({"applied sequence", absl::StrCat(status.applied_sequence())});
  table.AddRow({"ledger's sequence", absl::StrCat(status.ledger_sequence())});
  for (const v1::GetSupervisorStatusResponse::Destination& destination : status.destinations()) {
    table.AddRow({"destination", destination.url()});
    table.AddRow(
        {"  last snapshot", destination.has_last_snapshot()
                                ? absl::StrCat(destination.last_snapshot().id(), ", sequence ",
                                               destination.last_snapshot().sequence(), ", ",
                                               destination.last_snapshot().object_bytes(), " bytes")
                                : "none since the start"});
    if (destination.has_last_success()) {
      table.AddRow({"  put there at", TimeText(destination.last_success())});
    }
    if (destination.failures() != 0) {
      table.AddRow({"  failures", absl::StrCat(destination.failures())});
    }
    if (!destination.error().empty()) {
      table.AddRow({"  error", EscapedText(destination.error())});
    }
  }
  table.Finish();
}

absl::Status SupervisorStatus(const Arguments&) {
  const auto status = Call(&v1::Supervisor::Stub::GetStatus, v1::GetSupervisorStatusRequest());
  if (!status.ok()) return status.status();
  if (absl::GetFlag(FLAGS_json)) {
    std::cout << Compact(ToJson(*status)) << "\n";
  } else {
    Print(*status);
  }
  if (!status->not_ready().empty()) {
    return absl::UnavailableError(absl::StrCat("no snapshot can be taken: ", status->not_ready()));
  }
  int failing = 0;
  for (const auto& destination : status->destinations()) failing += !destination.error().empty();
  if (failing == 0) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("the last snapshot is not in ", failing, " of ",
                                             status->destinations_size(), " destinations"));
}

std::vector<std::string> SupervisorFlags() {
  return Joined({"supervisor", "call_timeout_ms", "json"}, ChannelFlags());
}

}  // namespace

std::vector<Command> SupervisorCommands() {
  std::vector<Command> commands;
  {
    Command command;
    command.name = "status supervisor";
    command.summary = "Shows how snapshots are taken and where they came to";
    command.description =
        "Asks the supervisor at --supervisor: what it does, when the next snapshot comes, and\n"
        "for each destination the last one that came there, or the error. Where no snapshot\n"
        "can be taken, or one did not come to a destination, the exit status is 5.";
    command.flags = SupervisorFlags();
    command.run = Returning(SupervisorStatus);
    commands.push_back(command);
  }
  {
    Command command;
    command.name = "snapshot now";
    command.summary = "Takes a snapshot now";
    command.description =
        "Asks the supervisor at --supervisor, and returns when the snapshot is in every\n"
        "destination or has failed there; where it failed in one, the exit status is 1.\n"
        "A snapshot that is being taken is not waited for alone: it may be older than the\n"
        "call. Needs the role admin.";
    command.flags = SupervisorFlags();
    command.flag_defaults = {{"call_timeout_ms", kSnapshotTimeoutMs}};
    command.run = Returning(SnapshotNow);
    commands.push_back(command);
  }
  return commands;
}

}  // namespace ctlstore::cli
