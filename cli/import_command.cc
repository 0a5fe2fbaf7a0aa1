#include "cli/import_command.h"

#include <unistd.h>

#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "cli/command_result.h"
#include "cli/executive_client.h"
#include "cli/exit_status.h"
#include "cli/field_list.h"
#include "cli/import/column_names.h"
#include "cli/import/csv_rows.h"
#include "cli/import/importer.h"
#include "cli/import/json_rows.h"
#include "cli/import/source_file.h"
#include "cli/import_progress.h"
#include "cli/json_output.h"
#include "cli/shared_flags.h"
#include "cli/text_table.h"
#include "common/base/clock.h"

ABSL_FLAG(std::string, types, "",
          "Types for some columns of what is created, as name:type,..., instead of those that the "
          "file's content suggests.");
ABSL_FLAG(bool, add_fields, false, "Add columns of the file that the table lacks to the table.");
ABSL_FLAG(bool, skip_bad_rows, false,
          "Report rows that do not fit the table and go on; the exit status is 4 then.");
ABSL_FLAG(std::string, format, "",
          "The file's format: json or csv. Empty: by the file's name, .csv and .tsv being csv and "
          "everything else json.");
ABSL_FLAG(std::string, json_member, "",
          "The member that has the rows, in a JSON file that is an object. Empty: the only one "
          "that is an array.");
ABSL_FLAG(std::string, csv_delimiter, "",
          "The character between fields. Empty: a comma, or a tab in a file named .tsv.");
ABSL_FLAG(std::string, csv_null, "",
          "The text that means null. Empty: an empty field without quotes is null, except in a "
          "key of text, where it is an empty text.");
ABSL_FLAG(int64_t, retry_seconds, 60,
          "How long each request is tried again while the executive is unavailable.");

ABSL_FLAG(int64_t, wait_seconds, 600,
          "How long each request waits, all in all, where the executive asks to wait: its queue is "
          "full, or the writer has used up its rows for now.");

namespace ctlstore::cli {
namespace {

using Arguments = std::vector<std::string>;

absl::StatusOr<std::unique_ptr<RowSource>> MakeSource(SourceFile* file) {
  const std::string name = absl::AsciiStrToLower(file->name());
  const bool tab_separated = absl::EndsWith(name, ".tsv");
  std::string format = absl::GetFlag(FLAGS_format);
  if (format.empty()) format = tab_separated || absl::EndsWith(name, ".csv") ? "csv" : "json";
  if (format == "json") {
    return std::make_unique<JsonRows>(file, absl::GetFlag(FLAGS_json_member));
  }
  if (format != "csv") return UsageError("--format must be json or csv");
  CsvRows::Options options;
  options.null_text = absl::GetFlag(FLAGS_csv_null);
  std::string delimiter = absl::GetFlag(FLAGS_csv_delimiter);
  if (delimiter.empty()) delimiter = tab_separated ? "\t" : ",";
  if (delimiter == "\\t") delimiter = "\t";
  if (delimiter.size() != 1 || delimiter == "\"" || delimiter == "\n" || delimiter == "\r") {
    return UsageError("--csv_delimiter must be one character, and neither a quote nor a line end");
  }
  options.delimiter = delimiter[0];
  return std::make_unique<CsvRows>(file, options);
}

absl::StatusOr<Importer::Options> OptionsFromFlags(const Arguments& arguments) {
  Importer::Options options;
  absl::StatusOr<TableName> name = NormalizeName(arguments[0], arguments[1]);
  if (!name.ok()) return name.status();
  options.name = *std::move(name);
  for (const std::string& column : ParseNameList(absl::GetFlag(FLAGS_key))) {
    absl::StatusOr<std::string> field = FieldNameForColumn(column);
    if (!field.ok()) return field.status();
    options.key.push_back(*std::move(field));
  }
  absl::StatusOr<std::vector<Field>> types = ParseFieldList(absl::GetFlag(FLAGS_types));
  if (!types.ok()) return types.status();
  for (Field& field : *types) {
    absl::StatusOr<std::string> field_name = FieldNameForColumn(field.name);
    if (!field_name.ok()) return field_name.status();
    options.types.push_back(Field{*std::move(field_name), field.type});
  }
  options.add_fields = absl::GetFlag(FLAGS_add_fields);
  options.skip_bad_rows = absl::GetFlag(FLAGS_skip_bad_rows);
  options.retry_for = absl::Seconds(absl::GetFlag(FLAGS_retry_seconds));
  options.wait_for = absl::Seconds(absl::GetFlag(FLAGS_wait_seconds));
  return options;
}

void ShowFields(const TableSchema& schema, const std::vector<Field>& fields) {
  TextTable table({}, &std::cerr);
  for (const Field& field : fields) {
    const bool key = schema.is_key(*schema.FindField(field.name));
    table.AddRow(
        {absl::StrCat("  ", field.name), std::string(FieldTypeName(field.type)), key ? "key" : ""});
  }
  table.Finish();
}

void ShowPlan(const Importer::Plan& plan) {
  const std::string name = absl::StrCat(plan.schema.name().family, ".", plan.schema.name().table);
  if (plan.create) {
    std::cerr << "creating " << name << " for " << plan.rows << " rows:\n";
    ShowFields(plan.schema, plan.schema.fields());
  } else if (!plan.added.empty()) {
    std::cerr << "adding to " << name << ":\n";
    ShowFields(plan.schema, plan.added);
  }
  if (!plan.missing.empty()) {
    std::cerr << "null in all rows, because the file lacks them: "
              << absl::StrJoin(plan.missing, ", ") << "\n";
  }
}

void ShowResult(const Importer::Plan& plan, const Importer::Result& result, bool dry_run) {
  const TableName& name = plan.schema.name();
  if (absl::GetFlag(FLAGS_json)) {
    Json json = Json::object({{"table", ToJson(plan.schema)},
                              {"created", plan.create},
                              {"rows_read", plan.rows},
                              {"rows_written", result.rows_written},
                              {"bad_rows", result.bad_rows},
                              {"sequence", result.sequence}});
    if (dry_run) json["dry_run"] = true;
    std::cout << Compact(json) << "\n";
    return;
  }
  std::cout << name.family << "." << name.table << ": ";
  if (dry_run) {
    std::cout << plan.rows << " rows would be written\n";
    return;
  }
  std::cout << result.rows_written << " rows written";
  if (result.bad_rows > 0) std::cout << ", " << result.bad_rows << " left out";
  if (result.sequence > 0) std::cout << ", the last at sequence " << result.sequence;
  std::cout << "\n";
}

absl::Status Import(const Arguments& arguments) {
  absl::StatusOr<Importer::Options> options = OptionsFromFlags(arguments);
  if (!options.ok()) return options.status();
  const bool dry_run = absl::GetFlag(FLAGS_dry_run);
  ExecutiveClient::Options client_options = ExecutiveOptionsFromFlags();
  if (!dry_run) {
    absl::StatusOr<ExecutiveClient::Options> writer = WriterOptionsFromFlags();
    if (!writer.ok()) return writer.status();
    client_options = *std::move(writer);
  }
  absl::StatusOr<std::unique_ptr<SourceFile>> file = SourceFile::Open(arguments[2]);
  if (!file.ok()) return file.status();
  absl::StatusOr<std::unique_ptr<RowSource>> source = MakeSource(file->get());
  if (!source.ok()) return source.status();

  ExecutiveClient client(std::move(client_options));
  ImportProgress progress(file->get(), Clock::Real(), isatty(STDERR_FILENO) != 0, &std::cerr);
  Importer importer((*file)->name(), source->get(), &client, Clock::Real(), &progress,
                    *std::move(options));
  absl::StatusOr<Importer::Plan> plan = importer.Prepare();
  if (!plan.ok()) return plan.status();
  ShowPlan(*plan);
  Importer::Result result;
  if (!dry_run) {
    absl::StatusOr<Importer::Result> done = importer.Run(*plan);
    progress.Finish();
    if (!done.ok()) return done.status();
    result = *done;
  }
  ShowResult(*plan, result, dry_run);
  if (result.bad_rows > 0) {
    return absl::InvalidArgumentError(absl::StrCat(result.bad_rows, " rows were left out"));
  }
  return absl::OkStatus();
}

}  // namespace

Command ImportCommand() {
  Command command;
  command.name = "import";
  command.arguments = "FAMILY TABLE FILE";
  command.summary = "Loads a JSON or CSV file into a table, creating it if told the key";
  command.description =
      "  ctlstore import geo countries /usr/share/iso-codes/json/iso_3166-1.json \\\n"
      "      --key=alpha_2\n\n"
      "FILE is an array of objects in JSON, or an object with such an array; or CSV with\n"
      "a header. \"-\" is standard input. Column names become field names: lower case,\n"
      "with _ for what a field name cannot hold.\n\n"
      "The file is read twice. The first time nothing is written: a broken file, or\n"
      "columns that the table lacks, end the import here. With --key a family and table\n"
      "that are not there are created. A new field's type is the narrowest that holds all\n"
      "values exactly: integer (also for booleans), decimal, string, and text for more\n"
      "than 191 characters and for objects and arrays, which are kept as their JSON. In\n"
      "CSV, digits with zeros in front (007) are text. Bytes are written as base64.\n\n"
      "Rows replace those with the same key, so an import may be run again. A bad row\n"
      "ends it with the row's line, and what was written before stays, unless\n"
      "--skip_bad_rows is set. Where the writer has used up its rows for now, or the\n"
      "executive has too much to do, the import waits as told and goes on.\n\n"
      "Writing needs a writer and its secret: --writer and --writer_secret_file, or the\n"
      "variable CTLSTORE_WRITER_SECRET.";
  command.min_arguments = command.max_arguments = 3;
  command.flags = Joined(WriterFlags(),
                         {"key", "types", "add_fields", "skip_bad_rows", "format", "json_member",
                          "csv_delimiter", "csv_null", "dry_run", "retry_seconds", "wait_seconds"});
  command.run = Returning(Import);
  return command;
}

}  // namespace ctlstore::cli
