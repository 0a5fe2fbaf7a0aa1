#include "cli/verify_command.h"

#include <algorithm>
#include <cstdint>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "cli/exit_status.h"
#include "cli/json_output.h"
#include "cli/shared_flags.h"
#include "cli/text_table.h"
#include "cli/verify/report.h"
#include "cli/verify/value_excerpt.h"
#include "cli/verify/verifier.h"
#include "common/ctldb/ctldb_flags.h"
#include "common/ldb/ldb_flags.h"

ABSL_FLAG(std::string, family, "", "Compare this family only. Empty: all.");
ABSL_FLAG(std::string, table, "", "Compare this table of --family only. Empty: all.");
ABSL_FLAG(int64_t, max_differences, 100,
          "How many rows that differ are shown, of all tables together; all of them are counted.");
ABSL_FLAG(int64_t, catch_up_seconds, 30,
          "How long the local database is waited for because it is behind the ctldb, or the ctldb "
          "because it is a replica that is behind the local database, all in all.");

namespace ctlstore::cli {
namespace {

using Arguments = std::vector<std::string>;

absl::StatusOr<Verifier::Options> OptionsFromFlags() {
  Verifier::Options options;
  options.ldb_path = ldb::LdbPathFromFlags();
  absl::StatusOr<ctldb::Target> target = ctldb::TargetFromFlags();
  if (!target.ok()) return UsageError(target.status().message());
  options.ctldb = *std::move(target);
  absl::StatusOr<ctldb::ConnectionOptions> connection = ctldb::ConnectionOptionsFromFlags();
  if (!connection.ok()) return UsageError(connection.status().message());
  options.connection = *std::move(connection);
  options.family = absl::GetFlag(FLAGS_family);
  options.table = absl::GetFlag(FLAGS_table);
  if (options.family.empty() && !options.table.empty()) {
    return UsageError("--table needs --family");
  }
  const int64_t max_differences = absl::GetFlag(FLAGS_max_differences);
  if (max_differences < 0 || max_differences > 1000000) {
    return UsageError("--max_differences must be 0 to 1000000");
  }
  options.max_differences = static_cast<size_t>(max_differences);
  const int64_t wait = absl::GetFlag(FLAGS_catch_up_seconds);
  if (wait < 0 || wait > 24 * 3600) return UsageError("--catch_up_seconds must be 0 to 86400");
  options.max_wait = absl::Seconds(wait);
  return options;
}

std::string Positions(int64_t first, int64_t last) {
  return first == last ? absl::StrCat("sequence ", first)
                       : absl::StrCat("sequences ", first, " to ", last);
}

const char* KindName(RowDifference::Kind kind) {
  switch (kind) {
    case RowDifference::Kind::kMissingInLdb:
      return "missing_in_ldb";
    case RowDifference::Kind::kMissingInCtldb:
      return "missing_in_ctldb";
    case RowDifference::Kind::kValues:
      return "values";
  }
  return "";
}

Json DifferenceJson(const RowDifference& difference) {
  Json key = Json::object();
  for (size_t i = 0; i < difference.key.size(); ++i) {
    key[difference.key_fields[i]] = ToJson(difference.key[i].view());
  }
  Json json = {{"kind", KindName(difference.kind)}, {"key", key}};
  if (difference.kind != RowDifference::Kind::kValues) return json;
  json["columns"] = Json::array();
  for (const RowDifference::Column& column : difference.columns) {
    json["columns"].push_back(
        {{"name", column.name}, {"ctldb", column.ctldb}, {"ldb", column.ldb}});
  }
  return json;
}

Json TableJson(const TableReport& table) {
  const auto digest = [](const std::string& bytes) {
    return bytes.empty() ? Json() : Json(absl::BytesToHexString(bytes));
  };
  Json json = {{"table", table.name},
               {"result", VerdictName(table.verdict())},
               {"rows", table.rows},
               {"ldb_digest", digest(table.ldb_digest)},
               {"ctldb_digest", digest(table.ctldb_digest)},
               {"keys_compared_apart", table.keys_apart},
               {"first_sequence", table.first_sequence},
               {"last_sequence", table.last_sequence},
               {"definition", table.definition},
               {"differing_rows", table.differing_rows},
               {"differences", Json::array()}};
  for (const RowDifference& difference : table.differences) {
    json["differences"].push_back(DifferenceJson(difference));
  }
  if (!table.undecided.empty()) json["undecided"] = table.undecided;
  return json;
}

void ShowJson(const Report& report) {
  Json json = {{"result", VerdictName(report.verdict())},
               {"first_sequence", report.first_sequence},
               {"last_sequence", report.last_sequence},
               {"families", report.families},
               {"skipped_entries", report.skipped_entries},
               {"ledger_differs", report.ledger_differs},
               {"tables", Json::array()}};
  for (const TableReport& table : report.tables) json["tables"].push_back(TableJson(table));
  std::cout << Compact(json) << "\n";
}

std::string VerdictText(const TableReport& table) {
  switch (table.verdict()) {
    case Verdict::kEqual:
      return table.keys_apart == 0
                 ? "equal"
                 : absl::StrCat("equal (", table.keys_apart, " keys compared apart)");
    case Verdict::kDiffers:
      return table.definition.empty() ? absl::StrCat("DIFFERS (", table.differing_rows, ")")
                                      : "DIFFERS (definition)";
    case Verdict::kUndecided:
      return absl::StrCat("UNDECIDED: ", table.undecided);
  }
  return "";
}

void ShowDifference(const std::string& table, const RowDifference& difference) {
  std::vector<std::string> key;
  for (size_t i = 0; i < difference.key.size(); ++i) {
    key.push_back(absl::StrCat(difference.key_fields[i], " = ", WholeText(difference.key[i])));
  }
  std::cout << table << ": " << absl::StrJoin(key, ", ") << ":";
  if (difference.kind == RowDifference::Kind::kMissingInLdb) {
    std::cout << " missing in the LDB\n";
  } else if (difference.kind == RowDifference::Kind::kMissingInCtldb) {
    std::cout << " only in the LDB\n";
  } else {
    std::cout << "\n";
    for (const RowDifference::Column& column : difference.columns) {
      std::cout << "  " << column.name << " is " << column.ctldb << " in the ctldb\n"
                << std::string(column.name.size() + 6, ' ') << column.ldb << " in the LDB\n";
    }
  }
}

void ShowText(const Report& report) {
  int64_t rows = 0, differing_rows = 0, shown = 0, differing_tables = 0, undecided = 0;
  TextTable lines({"TABLE", "ROWS", "DIGEST", "RESULT"}, &std::cout);
  for (const TableReport& table : report.tables) {
    lines.AddRow({table.name, absl::StrCat(table.rows),
                  table.ldb_digest.empty() ? "-" : absl::BytesToHexString(table.ldb_digest),
                  VerdictText(table)});
    rows += table.rows;
    differing_rows += table.differing_rows;
    shown += static_cast<int64_t>(table.differences.size());
    differing_tables += table.verdict() == Verdict::kDiffers ? 1 : 0;
    undecided += table.undecided.empty() ? 0 : 1;
  }
  lines.Finish();
  if (report.ledger_differs) {
    std::cout << "the ctldb's ledger has another entry at sequence " << report.first_sequence
              << " than this local database has applied\n";
  }
  for (const TableReport& table : report.tables) {
    for (const std::string& definition : table.definition) {
      std::cout << table.name << ": " << definition << "\n";
    }
    for (const RowDifference& difference : table.differences) {
      ShowDifference(table.name, difference);
    }
  }
  if (shown < differing_rows) {
    std::cout << "... and " << differing_rows - shown << " more rows that differ\n";
  }
  if (!report.families.empty()) {
    std::cout << "this local database keeps the families " << absl::StrJoin(report.families, ", ")
              << "\n";
  }
  if (report.skipped_entries > 0) {
    std::cout << "this local database was told to skip " << report.skipped_entries
              << " ledger entries\n";
  }

  const std::string what = absl::StrCat(report.tables.size(), " tables, ", rows, " rows, at ",
                                        Positions(report.first_sequence, report.last_sequence));
  switch (report.verdict()) {
    case Verdict::kEqual:
      std::cout << "equal: " << what << "\n";
      break;
    case Verdict::kDiffers:
      std::cout << "DIFFERS: " << differing_tables << " of " << what << "\n";
      break;
    case Verdict::kUndecided:
      std::cout << "UNDECIDED: " << undecided << " of " << what << "; nothing else differs\n";
      break;
  }
}

int ExitStatusOf(Verdict verdict) {
  switch (verdict) {
    case Verdict::kEqual:
      return kExitOk;
    case Verdict::kDiffers:
      return kExitDiffers;
    case Verdict::kUndecided:
      return kExitUnavailable;
  }
  return kExitFailed;
}

int Verify(const Arguments&) {
  absl::StatusOr<Verifier::Options> options = OptionsFromFlags();
  absl::Status status = options.status();
  int exit_status = kExitOk;
  if (status.ok()) {
    absl::StatusOr<Report> report = Verifier(*std::move(options)).Run();
    status = report.status();
    if (report.ok()) {
      absl::GetFlag(FLAGS_json) ? ShowJson(*report) : ShowText(*report);
      exit_status = ExitStatusOf(report->verdict());
      std::cout.flush();
      if (!std::cout) status = absl::InternalError("standard output cannot be written");
    }
  }
  if (status.ok()) return exit_status;
  std::cerr << DescribeError(status);
  return ExitStatusFor(status);
}

}  // namespace

Command VerifyCommand() {
  Command command;
  command.name = "verify";
  command.summary = "Proves that a local database says the same as the ctldb";
  command.description =
      "  ctlstore verify --ldb=/var/spool/ctlstore/ldb.db \\\n"
      "      --ctldb=mysql://ctl_reader@db1:3306/ctldb\n\n"
      "Compares the tables, their definitions and every value, while both are in use.\n"
      "Rows that are changed meanwhile are compared a moment later. Nothing is written,\n"
      "and nobody is kept from writing rows; a change of a table's definition waits\n"
      "while the table is read, and so does emptying the local database's WAL.\n\n"
      "For each table: how many rows were compared, the SHA-256 of its definition and\n"
      "rows in the local database (the same on all hosts that have the same; none where\n"
      "rows were changed meanwhile), and the result. Then the rows that differ, and how.\n\n"
      "The exit status is 0 where both say the same, 6 where they differ, and 5 where\n"
      "not all could be compared, because the local database stands still or does not\n"
      "come after, and nothing else differs.\n\n"
      "The ctldb's password comes from --ctldb_password_file or the variable\n"
      "CTLSTORE_CTLDB_PASSWORD. The user needs to select only.";
  command.flags = {"ldb", "family", "table", "max_differences", "catch_up_seconds", "json"};
  command.flag_files = {"common/ctldb/ctldb_flags"};
  command.run = Verify;
  return command;
}

}  // namespace ctlstore::cli
