#include "cli/limit_commands.h"

#include <cstdint>
#include <iostream>
#include <string>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cli/command_result.h"
#include "cli/executive_client.h"
#include "cli/exit_status.h"
#include "cli/json_output.h"
#include "cli/shared_flags.h"
#include "cli/text_table.h"
#include "cli/value_text.h"
#include "common/schema/names.h"

ABSL_FLAG(int64_t, warn_bytes, 0, "From which size on the table is warned about, in bytes.");
ABSL_FLAG(int64_t, max_bytes, 0, "From which size on the table takes no more rows, in bytes.");
ABSL_FLAG(int64_t, rows, 0, "How many rows the writer may change in a period.");
ABSL_FLAG(int64_t, period_ms, 60000, "The period, in milliseconds.");

namespace ctlstore::cli {
namespace {

using Arguments = std::vector<std::string>;

constexpr char kDefault[] = "(default)";

void Print(const std::string& text, const Json& json) {
  std::cout << (absl::GetFlag(FLAGS_json) ? Compact(json) : text) << "\n";
}

Json ToJson(const v1::TableSizeLimit& limit) {
  return Json::object({{"warn_bytes", limit.warn_bytes()}, {"max_bytes", limit.max_bytes()}});
}

absl::Duration PeriodOf(const v1::WriterRateLimit& limit) {
  return absl::Seconds(limit.period().seconds()) + absl::Nanoseconds(limit.period().nanos());
}

Json ToJson(const v1::WriterRateLimit& limit) {
  return Json::object(
      {{"rows", limit.rows()}, {"period_ms", absl::ToInt64Milliseconds(PeriodOf(limit))}});
}

absl::Status ListTableLimits(const Arguments&) {
  const auto limits = ExecutiveClient(ExecutiveOptionsFromFlags()).ListTableLimits();
  if (!limits.ok()) return limits.status();
  if (absl::GetFlag(FLAGS_json)) {
    Json tables = Json::array();
    for (const v1::TableLimit& limit : limits->tables()) {
      Json table = Json::object({{"family", limit.family()}, {"table", limit.table()}});
      table.update(ToJson(limit.limit()));
      tables.push_back(std::move(table));
    }
    std::cout << Compact(Json::object(
                     {{"default", ToJson(limits->default_limit())}, {"tables", tables}}))
              << "\n";
    return absl::OkStatus();
  }
  TextTable table({"FAMILY", "TABLE", "WARN BYTES", "MAX BYTES"}, &std::cout);
  table.AddRow({kDefault, kDefault, absl::StrCat(limits->default_limit().warn_bytes()),
                absl::StrCat(limits->default_limit().max_bytes())});
  for (const v1::TableLimit& limit : limits->tables()) {
    table.AddRow({limit.family(), limit.table(), absl::StrCat(limit.limit().warn_bytes()),
                  absl::StrCat(limit.limit().max_bytes())});
  }
  table.Finish();
  return absl::OkStatus();
}

absl::Status SetTableLimit(const Arguments& arguments) {
  absl::StatusOr<TableName> name = NormalizeName(arguments[0], arguments[1]);
  if (!name.ok()) return name.status();
  const int64_t warn_bytes = absl::GetFlag(FLAGS_warn_bytes);
  const int64_t max_bytes = absl::GetFlag(FLAGS_max_bytes);
  if (warn_bytes < 1 || max_bytes < warn_bytes) {
    return UsageError(
        "--warn_bytes and --max_bytes must both be given, as 1 or more, the maximum not below the "
        "warning");
  }
  v1::TableLimit limit;
  limit.set_family(name->family);
  limit.set_table(name->table);
  limit.mutable_limit()->set_warn_bytes(warn_bytes);
  limit.mutable_limit()->set_max_bytes(max_bytes);
  absl::Status set = ExecutiveClient(ExecutiveOptionsFromFlags()).SetTableLimit(limit);
  if (!set.ok()) return set;
  Json json = Json::object({{"family", name->family}, {"table", name->table}});
  json.update(ToJson(limit.limit()));
  Print(absl::StrCat(name->family, ".", name->table, " is warned about from ", warn_bytes,
                     " bytes on, and takes no more rows from ", max_bytes, " on"),
        json);
  return absl::OkStatus();
}

absl::Status DeleteTableLimit(const Arguments& arguments) {
  absl::StatusOr<TableName> name = NormalizeName(arguments[0], arguments[1]);
  if (!name.ok()) return name.status();
  absl::Status deleted = ExecutiveClient(ExecutiveOptionsFromFlags()).DeleteTableLimit(*name);
  if (!deleted.ok()) return deleted;
  Print(absl::StrCat(name->family, ".", name->table, " has the default limits again"),
        Json::object({{"family", name->family}, {"table", name->table}}));
  return absl::OkStatus();
}

absl::Status ListWriterLimits(const Arguments&) {
  const auto limits = ExecutiveClient(ExecutiveOptionsFromFlags()).ListWriterLimits();
  if (!limits.ok()) return limits.status();
  if (absl::GetFlag(FLAGS_json)) {
    Json writers = Json::array();
    for (const v1::WriterLimit& limit : limits->writers()) {
      Json writer = Json::object({{"writer", limit.writer()}});
      writer.update(ToJson(limit.limit()));
      writers.push_back(std::move(writer));
    }
    std::cout << Compact(Json::object(
                     {{"default",
                       limits->has_default_limit() ? ToJson(limits->default_limit()) : Json()},
                      {"writers", writers}}))
              << "\n";
    return absl::OkStatus();
  }
  TextTable table({"WRITER", "ROWS", "PERIOD"}, &std::cout);
  if (limits->has_default_limit()) {
    table.AddRow({kDefault, absl::StrCat(limits->default_limit().rows()),
                  absl::FormatDuration(PeriodOf(limits->default_limit()))});
  } else {
    table.AddRow({kDefault, "any number", ""});
  }
  for (const v1::WriterLimit& limit : limits->writers()) {
    table.AddRow({EscapedText(limit.writer()), absl::StrCat(limit.limit().rows()),
                  absl::FormatDuration(PeriodOf(limit.limit()))});
  }
  table.Finish();
  if (!limits->has_default_limit()) {
    std::cerr << "ctlstore: this executive does not limit writers, also not those with a limit of "
                 "their own\n";
  }
  return absl::OkStatus();
}

absl::Status SetWriterLimit(const Arguments& arguments) {
  absl::Status named = CheckWriterName("writer", arguments[0]);
  if (!named.ok()) return named;
  const int64_t rows = absl::GetFlag(FLAGS_rows);
  const int64_t period_ms = absl::GetFlag(FLAGS_period_ms);
  if (rows < 1) return UsageError("--rows must be given, as 1 or more");
  if (period_ms < 1) return UsageError("--period_ms must be 1 or more");
  v1::WriterLimit limit;
  limit.set_writer(arguments[0]);
  limit.mutable_limit()->set_rows(rows);
  limit.mutable_limit()->mutable_period()->set_seconds(period_ms / 1000);
  limit.mutable_limit()->mutable_period()->set_nanos(
      static_cast<int32_t>(period_ms % 1000 * 1000000));
  absl::Status set = ExecutiveClient(ExecutiveOptionsFromFlags()).SetWriterLimit(limit);
  if (!set.ok()) return set;
  Json json = Json::object({{"writer", arguments[0]}});
  json.update(ToJson(limit.limit()));
  Print(absl::StrCat("writer ", EscapedText(arguments[0]), " may change ", rows, " rows in ",
                     absl::FormatDuration(absl::Milliseconds(period_ms))),
        json);
  return absl::OkStatus();
}

absl::Status DeleteWriterLimit(const Arguments& arguments) {
  absl::Status named = CheckWriterName("writer", arguments[0]);
  if (!named.ok()) return named;
  absl::Status deleted =
      ExecutiveClient(ExecutiveOptionsFromFlags()).DeleteWriterLimit(arguments[0]);
  if (!deleted.ok()) return deleted;
  Print(absl::StrCat("writer ", EscapedText(arguments[0]), " has the default limit again"),
        Json::object({{"writer", arguments[0]}}));
  return absl::OkStatus();
}

}  // namespace

std::vector<Command> LimitCommands() {
  std::vector<Command> commands;
  {
    Command command;
    command.name = "limits table list";
    command.summary = "Lists how large tables may become";
    command.description =
        "The first line is the default, for tables that have no limits of their own.";
    command.flags = ExecutiveFlags();
    command.run = Returning(ListTableLimits);
    commands.push_back(command);
  }
  {
    Command command;
    command.name = "limits table set";
    command.arguments = "FAMILY TABLE --warn_bytes=N --max_bytes=N";
    command.summary = "Gives a table limits of its own";
    command.description =
        "  ctlstore limits table set geo countries --warn_bytes=50000000 \\\n"
        "      --max_bytes=100000000\n\n"
        "Sizes are those of the table in the ctldb. A table over its maximum takes no more\n"
        "rows, but rows can be deleted. The table need not exist yet.";
    command.min_arguments = command.max_arguments = 2;
    command.flags = Joined(ExecutiveFlags(), {"warn_bytes", "max_bytes"});
    command.run = Returning(SetTableLimit);
    commands.push_back(command);
  }
  {
    Command command;
    command.name = "limits table delete";
    command.arguments = "FAMILY TABLE";
    command.summary = "Gives a table the default limits again";
    command.description = "Without limits of its own the exit status is 3.";
    command.min_arguments = command.max_arguments = 2;
    command.flags = ExecutiveFlags();
    command.run = Returning(DeleteTableLimit);
    commands.push_back(command);
  }
  {
    Command command;
    command.name = "limits writer list";
    command.summary = "Lists how many rows writers may change";
    command.description =
        "The first line is the default, for writers that have no limit of their own.";
    command.flags = ExecutiveFlags();
    command.run = Returning(ListWriterLimits);
    commands.push_back(command);
  }
  {
    Command command;
    command.name = "limits writer set";
    command.arguments = "WRITER --rows=N [--period_ms=N]";
    command.summary = "Gives a writer a limit of its own";
    command.description =
        "  ctlstore limits writer set loader --rows=100000\n\n"
        "Writers over their limit are told when to come back. The limit is kept as rows a\n"
        "minute, rounded down. The writer need not be registered yet.";
    command.min_arguments = command.max_arguments = 1;
    command.flags = Joined(ExecutiveFlags(), {"rows", "period_ms"});
    command.run = Returning(SetWriterLimit);
    commands.push_back(command);
  }
  {
    Command command;
    command.name = "limits writer delete";
    command.arguments = "WRITER";
    command.summary = "Gives a writer the default limit again";
    command.description = "Without a limit of its own the exit status is 3.";
    command.min_arguments = command.max_arguments = 1;
    command.flags = ExecutiveFlags();
    command.run = Returning(DeleteWriterLimit);
    commands.push_back(command);
  }
  return commands;
}

}  // namespace ctlstore::cli
