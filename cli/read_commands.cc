#include "cli/read_commands.h"

#include <iostream>
#include <memory>
#include <string>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "cli/command_result.h"
#include "cli/executive_client.h"
#include "cli/exit_status.h"
#include "cli/json_output.h"
#include "cli/ldb_row_reader.h"
#include "cli/shared_flags.h"
#include "cli/sidecar_row_reader.h"
#include "cli/text_table.h"
#include "cli/value_text.h"
#include "common/ldb/ldb_flags.h"
#include "common/rpc/client_flags.h"

ABSL_FLAG(int64_t, limit, 0,
          "The most rows to list; 0 for all of a file's, or as many as the sidecar allows.");

namespace ctlstore::cli {
namespace {

using Arguments = std::vector<std::string>;

constexpr char kReadingDescription[] =
    "Reads from the sidecar at --sidecar, or with --ldb from a local database's file,\n"
    "which needs no server at all.";

std::unique_ptr<RowReader> ReaderFromFlags() {
  if (!absl::GetFlag(FLAGS_ldb).empty()) {
    return std::make_unique<LdbRowReader>(ldb::LdbPathFromFlags());
  }
  return std::make_unique<SidecarRowReader>(rpc::SidecarAddressFromFlags(),
                                            rpc::ChannelOptionsFromFlags(), CallTimeoutFromFlags());
}

std::vector<std::string> ReaderFlags() {
  return Joined({"ldb", "sidecar", "call_timeout_ms", "json"}, ChannelFlags());
}

Arguments From(const Arguments& arguments, size_t first) {
  return Arguments(arguments.begin() + first, arguments.end());
}

absl::Status Get(const Arguments& arguments) {
  absl::StatusOr<TableName> name = NormalizeName(arguments[0], arguments[1]);
  if (!name.ok()) return name.status();
  absl::StatusOr<absl::optional<NamedValues>> row =
      ReaderFromFlags()->Get(*name, From(arguments, 2));
  if (!row.ok()) return row.status();
  if (!row->has_value()) {
    return absl::NotFoundError(
        absl::StrCat(name->family, ".", name->table, " has no row with this key"));
  }
  if (absl::GetFlag(FLAGS_json)) {
    std::cout << Compact(ToJson(**row)) << "\n";
    return absl::OkStatus();
  }
  TextTable table({}, &std::cout);
  for (const NamedValue& item : **row) table.AddRow({item.name, DisplayText(item.value.view())});
  table.Finish();
  return absl::OkStatus();
}

// Writes rows as they come.
class ListOutput {
 public:
  explicit ListOutput(bool json) : json_(json) {}

  absl::Status Add(const NamedValues& row) {
    if (json_) {
      std::cout << (any_ ? ",\n " : "[") << Compact(ToJson(row));
    } else {
      if (!any_) {
        std::vector<std::string> header;
        for (const NamedValue& item : row) header.push_back(item.name);
        table_ = std::make_unique<TextTable>(std::move(header), &std::cout);
      }
      std::vector<std::string> cells;
      for (const NamedValue& item : row) cells.push_back(DisplayText(item.value.view()));
      table_->AddRow(std::move(cells));
    }
    any_ = true;
    if (!std::cout) return absl::InternalError("standard output cannot be written");
    return absl::OkStatus();
  }

  void Finish() {
    if (json_) std::cout << (any_ ? "]\n" : "[]\n");
    if (table_ != nullptr) table_->Finish();
  }

 private:
  const bool json_;
  bool any_ = false;
  std::unique_ptr<TextTable> table_;
};

absl::Status List(const Arguments& arguments) {
  absl::StatusOr<TableName> name = NormalizeName(arguments[0], arguments[1]);
  if (!name.ok()) return name.status();
  const int64_t limit = absl::GetFlag(FLAGS_limit);
  if (limit < 0) return UsageError("--limit must not be negative");
  ListOutput output(absl::GetFlag(FLAGS_json));
  absl::StatusOr<bool> more =
      ReaderFromFlags()->List(*name, From(arguments, 2), limit,
                              [&output](const NamedValues& row) { return output.Add(row); });
  if (!more.ok()) return more.status();
  output.Finish();
  if (*more) std::cerr << "ctlstore: there are more rows than these\n";
  return absl::OkStatus();
}

std::string TimeText(const absl::optional<absl::Time>& time) {
  return time.has_value() ? absl::FormatTime("%Y-%m-%dT%H:%M:%E*SZ", *time, absl::UTCTimeZone())
                          : "none yet";
}

Json TimeJson(const absl::optional<absl::Time>& time) {
  return time.has_value() ? Json(TimeText(time)) : Json();
}

absl::Status Status(const Arguments&) {
  absl::StatusOr<CopyStatus> status = ReaderFromFlags()->GetStatus();
  if (!status.ok()) return status.status();
  if (absl::GetFlag(FLAGS_json)) {
    Json json = Json::object(
        {{"applied_sequence", status->applied_sequence},
         {"applied_entry_time", TimeJson(status->applied_entry_time)},
         {"heartbeat_time", TimeJson(status->heartbeat_time)},
         {"lag_seconds",
          status->lag.has_value() ? Json(absl::ToDoubleSeconds(*status->lag)) : Json()},
         {"ldb_path", status->ldb_path}});
    if (!status->instance.empty()) json["instance"] = status->instance;
    std::cout << Compact(json) << "\n";
    return absl::OkStatus();
  }
  TextTable table({}, &std::cout);
  table.AddRow({"applied sequence", absl::StrCat(status->applied_sequence)});
  table.AddRow({"applied entry's time", TimeText(status->applied_entry_time)});
  table.AddRow({"heartbeat's time", TimeText(status->heartbeat_time)});
  table.AddRow({"lag, at most", status->lag.has_value() ? absl::FormatDuration(absl::Trunc(
                                                              *status->lag, absl::Milliseconds(1)))
                                                        : "not known yet"});
  table.AddRow({"local database", status->ldb_path});
  if (!status->instance.empty()) table.AddRow({"sidecar", status->instance});
  table.Finish();
  return absl::OkStatus();
}

absl::Status ExecutiveStatus(const Arguments&) {
  const absl::StatusOr<v1::GetExecutiveStatusResponse> status =
      ExecutiveClient(ExecutiveOptionsFromFlags()).GetStatus();
  if (!status.ok()) return status.status();
  absl::optional<absl::Time> started_at;
  if (status->has_started_at()) {
    started_at = absl::FromUnixSeconds(status->started_at().seconds()) +
                 absl::Nanoseconds(status->started_at().nanos());
  }
  if (absl::GetFlag(FLAGS_json)) {
    Json json =
        Json::object({{"ctldb_available", status->ctldb_available()},
                      {"last_sequence", status->last_sequence()},
                      {"ledger_rows", status->ledger_rows()},
                      {"queue_length", status->queue_length()},
                      {"queue_capacity", status->queue_capacity()},
                      {"open_connections", status->open_connections()},
                      {"max_connections", status->max_connections()},
                      {"started_at", TimeJson(started_at)},
                      {"destructive_changes_enabled", status->destructive_changes_enabled()}});
    if (!status->ctldb_available()) json["ctldb_error"] = status->ctldb_error();
    std::cout << Compact(json) << "\n";
  } else {
    TextTable table({}, &std::cout);
    table.AddRow({"ctldb", status->ctldb_available() ? "answers" : "does not answer"});
    table.AddRow({"last sequence", absl::StrCat(status->last_sequence())});
    table.AddRow({"ledger rows, about", absl::StrCat(status->ledger_rows())});
    table.AddRow({"queue", absl::StrCat(status->queue_length(), " of ", status->queue_capacity())});
    table.AddRow({"ctldb connections",
                  absl::StrCat(status->open_connections(), " of ", status->max_connections())});
    table.AddRow({"started", TimeText(started_at)});
    table.AddRow(
        {"destructive changes", status->destructive_changes_enabled() ? "enabled" : "not enabled"});
    table.Finish();
  }
  if (status->ctldb_available()) return absl::OkStatus();
  return absl::UnavailableError(
      absl::StrCat("the executive's ctldb does not answer: ", status->ctldb_error()));
}

}  // namespace

std::vector<Command> ReadCommands() {
  std::vector<Command> commands;
  {
    Command command;
    command.name = "get";
    command.arguments = "FAMILY TABLE KEY...";
    command.summary = "Shows the row with this key";
    command.description = absl::StrCat(
        "  ctlstore get geo countries NZ\n\n", kReadingDescription,
        "\n\nA key of several fields is given in the order of the table's key; bytes as 0x\n"
        "and hex digits or as base64: and base64. Without such a row the exit status is 3.");
    command.min_arguments = 3;
    command.max_arguments = Command::kAnyNumber;
    command.flags = ReaderFlags();
    command.run = Returning(Get);
    commands.push_back(command);
  }
  {
    Command command;
    command.name = "list";
    command.arguments = "FAMILY TABLE [KEYPREFIX...]";
    command.summary = "Lists rows in the order of their keys";
    command.description = absl::StrCat(
        "  ctlstore list geo countries --limit=10\n\n", kReadingDescription,
        "\n\nWith values for the first fields of the key, lists the rows that have them.");
    command.min_arguments = 2;
    command.max_arguments = Command::kAnyNumber;
    command.flags = Joined(ReaderFlags(), {"limit"});
    command.run = Returning(List);
    commands.push_back(command);
  }
  {
    Command command;
    command.name = "status";
    command.summary = "Shows how current this host's copy is";
    command.description = kReadingDescription;
    command.flags = ReaderFlags();
    command.run = Returning(Status);
    commands.push_back(command);
  }
  {
    Command command;
    command.name = "status executive";
    command.summary = "Shows how the executive and its ctldb are";
    command.description =
        "Asks the executive at --executive. Where its ctldb does not answer, what is shown\n"
        "is what was last known, and the exit status is 5.";
    command.flags = ExecutiveFlags();
    command.run = Returning(ExecutiveStatus);
    commands.push_back(command);
  }
  return commands;
}

}  // namespace ctlstore::cli
