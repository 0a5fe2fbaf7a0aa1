#include "cli/snapshot_commands.h"

#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "cli/command_result.h"
#include "cli/confirmation.h"
#include "cli/exit_status.h"
#include "cli/json_output.h"
#include "cli/restore/restorer.h"
#include "cli/shared_flags.h"
#include "cli/snapshot_checker.h"
#include "cli/snapshot_survey.h"
#include "cli/text_table.h"
#include "cli/transfer_progress.h"
#include "cli/value_text.h"
#include "cli/work_folder.h"
#include "common/base/clock.h"
#include "common/base/file_lock.h"
#include "common/base/shutdown_signal.h"
#include "common/ctldb/ctldb_flags.h"
#include "common/object_store/store_flags.h"
#include "common/schema/errors.h"
#include "common/snapshot/fetcher.h"
#include "common/snapshot/folder.h"

ABSL_FLAG(std::string, snapshot, "",
          "The id of a snapshot, as ctlstore snapshot list shows it. Empty: the newest one.");
ABSL_FLAG(std::string, to, "", "The file to make.");
ABSL_FLAG(bool, force, false, "Replace the file where it is there.");
ABSL_FLAG(bool, all, false, "All snapshots, not only the newest one of each place.");
ABSL_FLAG(bool, deep, true,
          "Also fetch each snapshot and look at what is in it: SQLite's own check, the position, "
          "and the rows of each table.");
ABSL_FLAG(int64_t, sequence_jump, 1000000,
          "How far the ledger goes on behind the snapshot: more than the entries that are lost.");
ABSL_FLAG(bool, resume, false, "Complete a restore that did not come to its end.");

namespace ctlstore::cli {
namespace {

using Arguments = std::vector<std::string>;
using snapshot::FetchedSnapshot;
using snapshot::FetchOptions;
using snapshot::Location;
using snapshot::Manifest;

// Takes the signals from its making to the end of the process.
bool Interrupted() {
  static auto* const signal = new ShutdownSignal();
  return signal->notification()->HasBeenNotified();
}

std::string TimeText(absl::Time time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", time, absl::UTCTimeZone());
}

std::string FamiliesText(const std::vector<std::string>& families) {
  return families.empty() ? "all" : absl::StrJoin(families, ",");
}

int64_t RowsOf(const Manifest& manifest) {
  int64_t rows = 0;
  for (const snapshot::TableSummary& table : manifest.tables) rows += table.rows;
  return rows;
}

bool AtTerminal() { return isatty(STDERR_FILENO) != 0; }

absl::StatusOr<object_store::StoreOptions> StoreOptions() {
  absl::StatusOr<object_store::StoreOptions> options = object_store::StoreOptionsFromFlags();
  if (!options.ok()) return UsageError(options.status().message());
  return options;
}

FetchOptions Fetching(const object_store::StoreOptions& store, TransferProgress* progress) {
  FetchOptions options;
  options.store = store;
  options.on_progress = [progress](const snapshot::FetchProgress& how) { progress->Show(how); };
  options.cancelled = Interrupted;
  return options;
}

Json ToJson(const SnapshotSurvey::Snapshot& found) {
  const Manifest& manifest = found.manifest;
  return Json::object({{"id", manifest.id},
                       {"place", found.place.ToString()},
                       {"sequence", manifest.position.sequence},
                       {"taken_at", TimeText(manifest.taken_at)},
                       {"object_bytes", manifest.object_bytes},
                       {"file_bytes", manifest.file_bytes},
                       {"compression", std::string(CompressionName(manifest.compression))},
                       {"families", manifest.families},
                       {"tables", manifest.tables.size()},
                       {"rows", RowsOf(manifest)},
                       {"instance", manifest.instance}});
}

void ShowJson(const SnapshotSurvey& survey) {
  Json snapshots = Json::array(), objects = Json::array(), problems = Json::array();
  for (const auto& found : survey.snapshots) snapshots.push_back(ToJson(found));
  for (const auto& found : survey.objects) {
    objects.push_back(Json::object({{"place", found.place.ToString()},
                                    {"object_bytes", found.info.size},
                                    {"put_at", TimeText(found.info.modified)}}));
  }
  for (const auto& problem : survey.problems) {
    problems.push_back(Json::object({{"place", problem.place},
                                     {"id", problem.id},
                                     {"error", std::string(problem.status.message())}}));
  }
  std::cout << Compact(Json::object(
                   {{"snapshots", snapshots}, {"objects", objects}, {"problems", problems}}))
            << "\n";
}

void ShowText(const SnapshotSurvey& survey) {
  TextTable lines(
      {"ID", "SEQUENCE", "TAKEN", "BYTES", "COMPRESSION", "FAMILIES", "TABLES", "ROWS", "PLACE"},
      &std::cout);
  for (const auto& [place, manifest] : survey.snapshots) {
    lines.AddRow({manifest.id, absl::StrCat(manifest.position.sequence),
                  TimeText(manifest.taken_at), absl::StrCat(manifest.object_bytes),
                  std::string(CompressionName(manifest.compression)),
                  FamiliesText(manifest.families), absl::StrCat(manifest.tables.size()),
                  absl::StrCat(RowsOf(manifest)), place.ToString()});
  }
  for (const auto& [place, info] : survey.objects) {
    lines.AddRow({"-", "-", TimeText(info.modified), absl::StrCat(info.size),
                  std::string(CompressionName(place.compression)), "-", "-", "-",
                  place.ToString()});
  }
  lines.Finish();
}

// Those behind the first one, which the command ends with.
void ShowOtherProblems(const SnapshotSurvey& survey) {
  for (size_t i = 1; i < survey.problems.size(); ++i) {
    SnapshotSurvey one;
    one.problems.push_back(survey.problems[i]);
    std::cerr << DescribeError(FirstProblem(one));
  }
}

absl::Status List(const Arguments& arguments) {
  absl::StatusOr<std::vector<Location>> places = PlacesFrom(arguments);
  if (!places.ok()) return places.status();
  absl::StatusOr<object_store::StoreOptions> store = StoreOptions();
  if (!store.ok()) return store.status();
  const SnapshotSurvey survey = SurveySnapshots(*places, "", *store);
  absl::GetFlag(FLAGS_json) ? ShowJson(survey) : ShowText(survey);
  std::cout.flush();
  ShowOtherProblems(survey);
  return FirstProblem(survey);
}

// By id from the first place that has it whole, or the newest that is good.
absl::StatusOr<FetchedSnapshot> FetchFrom(const std::vector<Location>& places,
                                          const std::string& id, const std::string& folder,
                                          const FetchOptions& options) {
  if (id.empty()) return snapshot::FetchNewest(places, folder, options);
  absl::Status status = ErrorWithReason(absl::StatusCode::kNotFound, reason::kSnapshotNotFound,
                                        absl::StrCat("no place has a snapshot ", id));
  for (const Location& place : places) {
    if (place.form != Location::Form::kFolder) continue;
    absl::StatusOr<FetchedSnapshot> fetched = snapshot::FetchById(place, id, folder, options);
    if (fetched.ok() || absl::IsCancelled(fetched.status())) return fetched;
    // What is wrong with it tells more than that another place has none.
    if (absl::IsNotFound(status)) status = fetched.status();
  }
  return status;
}

// Nobody may have the file open, or believe that what stands beside it is its own.
absl::Status PrepareFile(const std::string& to, bool force) {
  std::error_code error;
  const auto exists = [&error](const std::string& path) {
    return std::filesystem::symlink_status(path, error).type() !=
           std::filesystem::file_type::not_found;
  };
  for (const char* suffix : {"", "-wal", "-shm"}) {
    if (!exists(to + suffix) || force) continue;
    return absl::AlreadyExistsError(absl::StrCat(to, suffix, " is there; --force replaces it"));
  }
  if (!exists(to + ".lock")) return absl::OkStatus();
  absl::StatusOr<std::unique_ptr<FileLock>> lock = FileLock::Open(to + ".lock");
  absl::Status locked = lock.ok() ? (*lock)->Lock(absl::ZeroDuration()) : lock.status();
  if (!absl::IsFailedPrecondition(locked)) return locked;
  return absl::FailedPreconditionError(
      absl::StrCat("a reflector keeps ", to, " up to date: ", locked.message()));
}

absl::Status PutInPlace(const std::string& from, const std::string& to) {
  std::error_code error;
  for (const char* suffix : {"-wal", "-shm"}) std::filesystem::remove(to + suffix, error);
  std::filesystem::rename(from, to, error);
  if (!error) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat(to, " cannot be put in place: ", error.message()));
}

absl::Status Fetch(const Arguments& arguments) {
  const std::string to = absl::GetFlag(FLAGS_to);
  if (to.empty()) return UsageError("--to says which file to make");
  absl::StatusOr<std::vector<Location>> places = PlacesFrom(arguments);
  if (!places.ok()) return places.status();
  absl::StatusOr<object_store::StoreOptions> store = StoreOptions();
  if (!store.ok()) return store.status();
  const bool force = absl::GetFlag(FLAGS_force);
  absl::Status status = PrepareFile(to, force);
  if (!status.ok()) return status;

  Interrupted();
  // Beside the file, so that it can be renamed; what is there of it stays for the next time.
  const std::string folder = to + ".fetch";
  TransferProgress progress(Clock::Real(), AtTerminal(), &std::cerr);
  absl::StatusOr<FetchedSnapshot> fetched =
      FetchFrom(*places, absl::GetFlag(FLAGS_snapshot), folder, Fetching(*store, &progress));
  progress.Finish();
  if (!fetched.ok()) return fetched.status();
  status = PrepareFile(to, force);
  if (status.ok()) status = PutInPlace(folder + "/ldb.db", to);
  if (!status.ok()) return status;
  std::error_code ignored;
  std::filesystem::remove_all(folder, ignored);
  if (absl::GetFlag(FLAGS_json)) {
    std::cout << Compact(Json::object({{"file", to},
                                       {"id", fetched->id},
                                       {"place", fetched->url},
                                       {"sequence", fetched->position.sequence},
                                       {"taken_at", TimeText(fetched->taken_at)},
                                       {"families", fetched->families},
                                       {"file_bytes", fetched->file_bytes}}))
              << "\n";
  } else {
    std::cout << to << ": " << fetched->id << " from " << fetched->url << ", sequence "
              << fetched->position.sequence << ", " << fetched->file_bytes << " bytes\n";
  }
  return absl::OkStatus();
}

// The snapshot that a restore is made of.
struct Chosen {
  // Newest first, all of the same id; or of the form without manifests.
  std::vector<Location> places;
  std::string id;
  // For the question.
  std::string description;
};

absl::StatusOr<Chosen> ChooseForRestore(const std::vector<Location>& places, const std::string& id,
                                        const object_store::StoreOptions& store) {
  const SnapshotSurvey survey = SurveySnapshots(places, id, store);
  Chosen chosen;
  const Manifest* newest = nullptr;
  for (const SnapshotSurvey::Snapshot& found : survey.snapshots) {
    if (!found.manifest.families.empty()) {
      if (id.empty()) continue;
      return absl::FailedPreconditionError(absl::StrCat(
          "the snapshot ", id, " has only the families ", FamiliesText(found.manifest.families),
          ", and all others would be lost; take one that has all"));
    }
    if (newest == nullptr) newest = &found.manifest;
    if (found.manifest.id == newest->id) chosen.places.push_back(found.place);
  }
  if (newest != nullptr) {
    // A place that could not be asked may have a newer one.
    for (const SnapshotSurvey::Problem& problem : survey.problems) {
      std::cerr << "ctlstore: " << problem.place
                << " is not looked at: " << problem.status.message() << "\n";
    }
    chosen.id = newest->id;
    chosen.description =
        absl::StrCat("the snapshot ", newest->id, ", taken at ", TimeText(newest->taken_at),
                     ", sequence ", newest->position.sequence, ", ", newest->tables.size(),
                     " tables, ", RowsOf(*newest), " rows");
    return chosen;
  }
  for (const SnapshotSurvey::Object& found : survey.objects) {
    chosen.places.push_back(found.place);
    absl::StrAppend(&chosen.description, chosen.description.empty() ? "" : " or ",
                    found.place.ToString(), ", put there at ", TimeText(found.info.modified));
  }
  if (!chosen.places.empty()) return chosen;
  absl::Status problem = FirstProblem(survey);
  if (!problem.ok()) return problem;
  return ErrorWithReason(absl::StatusCode::kNotFound, reason::kSnapshotNotFound,
                         id.empty() ? "no place has a snapshot that holds all families"
                                    : absl::StrCat("no place has a snapshot ", id));
}

void ShowRestored(const RestoreResult& result, const std::string& ctldb) {
  if (absl::GetFlag(FLAGS_json)) {
    std::cout << Compact(Json::object({{"ctldb", ctldb},
                                       {"snapshot_sequence", result.snapshot_sequence},
                                       {"first_sequence", result.first_sequence},
                                       {"last_sequence", result.last_sequence},
                                       {"families", result.families},
                                       {"tables", result.tables},
                                       {"rows", result.rows}}))
              << "\n";
    return;
  }
  std::cout << "restored " << ctldb << ": " << result.families << " families, " << result.tables
            << " tables, " << result.rows << " rows, all of them compared\n"
            << "the ledger goes on behind sequence " << result.last_sequence
            << "; what was written behind " << result.snapshot_sequence << " is lost\n"
            << "Snapshots do not have these, so set them up again:\n"
            << "  writers with their secrets (ctlstore writer register) and cookies\n"
            << "  limits of tables and writers (ctlstore limits)\n"
            << "  families that had no table (ctlstore family create)\n";
}

absl::Status RestoreCommand(const Arguments& arguments) {
  absl::StatusOr<std::vector<Location>> places = PlacesFrom(arguments);
  if (!places.ok()) return places.status();
  absl::StatusOr<object_store::StoreOptions> store = StoreOptions();
  if (!store.ok()) return store.status();
  RestoreOptions options;
  absl::StatusOr<ctldb::Target> target = ctldb::TargetFromFlags();
  if (!target.ok()) return UsageError(target.status().message());
  options.ctldb = *std::move(target);
  absl::StatusOr<ctldb::ConnectionOptions> connection = ctldb::ConnectionOptionsFromFlags();
  if (!connection.ok()) return UsageError(connection.status().message());
  options.connection = *std::move(connection);
  options.sequence_jump = absl::GetFlag(FLAGS_sequence_jump);
  if (options.sequence_jump < 2) return UsageError("--sequence_jump must be at least 2");
  options.resume = absl::GetFlag(FLAGS_resume);

  absl::Status status = CheckRestoreTarget(options);
  if (!status.ok()) return status;
  absl::StatusOr<Chosen> chosen = ChooseForRestore(*places, absl::GetFlag(FLAGS_snapshot), *store);
  if (!chosen.ok()) return chosen.status();
  status = Confirm(absl::StrCat("fills ", options.ctldb.ToString(), " with ", chosen->description));
  if (!status.ok()) return status;

  Interrupted();
  absl::StatusOr<std::unique_ptr<WorkFolder>> folder = WorkFolder::FromFlags();
  if (!folder.ok()) return folder.status();
  TransferProgress progress(Clock::Real(), AtTerminal(), &std::cerr);
  absl::StatusOr<FetchedSnapshot> fetched = FetchFrom(
      chosen->places, chosen->id, (*folder)->path() + "/restore", Fetching(*store, &progress));
  if (!fetched.ok()) {
    progress.Finish();
    return fetched.status();
  }
  options.ldb_path = (*folder)->path() + "/restore/ldb.db";
  options.on_progress = [&progress](const RestoreProgress& how) { progress.Show(how); };
  options.cancelled = Interrupted;
  absl::StatusOr<RestoreResult> result = Restore(options);
  progress.Finish();
  if (!result.ok()) return result.status();
  ShowRestored(*result, options.ctldb.ToString());
  return absl::OkStatus();
}

Json ToJson(const CheckedSnapshot& checked) {
  Json json = Json::object({{"id", checked.id},
                            {"place", checked.place},
                            {"sequence", checked.sequence},
                            {"object_bytes", checked.object_bytes},
                            {"result", checked.status.ok() ? "good"
                                       : checked.damaged() ? "damaged"
                                                           : "unknown"}});
  if (!checked.status.ok()) json["error"] = std::string(checked.status.message());
  return json;
}

std::string ToText(const CheckedSnapshot& checked) {
  const std::string name = absl::StrCat(checked.place, checked.id.empty() ? "" : "/", checked.id);
  if (checked.damaged()) {
    return absl::StrCat("DAMAGED  ", name, ": ", EscapedText(checked.status.message()));
  }
  if (!checked.status.ok()) {
    return absl::StrCat("UNKNOWN  ", name, ": ", EscapedText(checked.status.message()));
  }
  return absl::StrCat("good     ", name, ": sequence ", checked.sequence, ", ",
                      checked.object_bytes, " bytes",
                      checked.tables > 0 ? absl::StrCat(", ", checked.tables, " tables") : "");
}

// The exit status of what was found: damage counts most.
int Verify(const Arguments& arguments) {
  const auto failed = [](const absl::Status& status) {
    std::cerr << DescribeError(status);
    return ExitStatusFor(status);
  };
  absl::StatusOr<std::vector<Location>> places = PlacesFrom(arguments);
  if (!places.ok()) return failed(places.status());
  absl::StatusOr<object_store::StoreOptions> store = StoreOptions();
  if (!store.ok()) return failed(store.status());
  Interrupted();
  absl::StatusOr<std::unique_ptr<WorkFolder>> folder = WorkFolder::FromFlags();
  if (!folder.ok()) return failed(folder.status());

  SnapshotChecker::Options options;
  options.id = absl::GetFlag(FLAGS_snapshot);
  options.all = absl::GetFlag(FLAGS_all);
  options.deep = absl::GetFlag(FLAGS_deep);
  options.folder = (*folder)->path() + "/verify";
  int exit_status = kExitOk;
  size_t looked_at = 0;
  for (const Location& place : *places) {
    options.place = place;
    TransferProgress progress(Clock::Real(), AtTerminal(), &std::cerr);
    options.fetch = Fetching(*store, &progress);
    absl::StatusOr<std::vector<CheckedSnapshot>> checked = SnapshotChecker(options).Run();
    progress.Finish();
    if (!checked.ok()) {
      const int status =
          failed(absl::Status(checked.status().code(),
                              absl::StrCat(place.ToString(), ": ", checked.status().message())));
      if (exit_status != kExitDiffers) exit_status = status;
      continue;
    }
    for (const CheckedSnapshot& snapshot : *checked) {
      ++looked_at;
      std::cout << (absl::GetFlag(FLAGS_json) ? Compact(ToJson(snapshot)) : ToText(snapshot))
                << "\n";
      if (snapshot.damaged()) {
        exit_status = kExitDiffers;
      } else if (!snapshot.status.ok() && exit_status != kExitDiffers) {
        exit_status = ExitStatusFor(snapshot.status);
      }
    }
  }
  std::cout.flush();
  if (looked_at == 0 && exit_status == kExitOk) {
    return failed(ErrorWithReason(absl::StatusCode::kNotFound, reason::kSnapshotNotFound,
                                  options.id.empty()
                                      ? "there are no snapshots"
                                      : absl::StrCat("no place has a snapshot ", options.id)));
  }
  return std::cout ? exit_status : failed(absl::InternalError("standard output cannot be written"));
}

std::vector<std::string> PlaceFlagFiles() {
  return {"common/snapshot/snapshot_flags", "common/object_store/store_flags"};
}

}  // namespace

std::vector<Command> SnapshotCommands() {
  std::vector<Command> commands;
  {
    Command command;
    command.name = "snapshot list";
    command.arguments = "[URL...]";
    command.summary = "Shows which snapshots there are";
    command.description =
        "  ctlstore snapshot list file:///backup/ctlstore s3://bucket/ctlstore\n\n"
        "Asks the places that are named, or those of --snapshot_urls. Newest first. A\n"
        "single object without a manifest has no id, and its sequence is not known. Where\n"
        "a place cannot be asked, the others are shown, and the exit status tells.";
    command.max_arguments = Command::kAnyNumber;
    command.flags = {"json"};
    command.flag_files = PlaceFlagFiles();
    command.run = Returning(List);
    commands.push_back(command);
  }
  {
    Command command;
    command.name = "snapshot fetch";
    command.arguments = "[URL...]";
    command.summary = "Makes a plain SQLite file of a snapshot";
    command.description =
        "  ctlstore snapshot fetch --to=copy.db s3://bucket/ctlstore\n\n"
        "Fetches the newest snapshot that is good, or the one that --snapshot names, from\n"
        "the first place that has it, and checks it. What was fetched when this is ended is\n"
        "in FILE.fetch, and the same command goes on with it.\n\n"
        "A reflector fetches its snapshot itself; this is for looking at the data.";
    command.max_arguments = Command::kAnyNumber;
    command.flags = {"snapshot", "to", "force", "json"};
    command.flag_files = PlaceFlagFiles();
    command.run = Returning(Fetch);
    commands.push_back(command);
  }
  {
    Command command;
    command.name = "snapshot verify";
    command.arguments = "[URL...]";
    command.summary = "Tells whether snapshots are good";
    command.description =
        "  ctlstore snapshot verify --all s3://bucket/ctlstore\n\n"
        "For the newest snapshot of each place, the one that --snapshot names, or --all:\n"
        "reads the object and compares its size and digests with the manifest; then\n"
        "fetches it into --work_folder, and has SQLite check it, and compares its position\n"
        "and the digest of each table's rows with the manifest. --nodeep leaves the second\n"
        "part out, which needs as much room as the local database has.\n\n"
        "A line for each. The exit status is 6 where one is damaged, 5 where one could not\n"
        "be looked at.";
    command.max_arguments = Command::kAnyNumber;
    command.flags = {"snapshot", "all", "deep", "work_folder", "json"};
    command.flag_files = PlaceFlagFiles();
    command.run = Verify;
    commands.push_back(command);
  }
  {
    Command command;
    command.name = "snapshot restore";
    command.arguments = "[URL...]";
    command.summary = "Fills an empty ctldb from a snapshot";
    command.description =
        "  ctlstore snapshot restore --ctldb=mysql://ctl@db1:3306/ctldb s3://bucket/ctlstore\n\n"
        "For a ctldb that was lost: takes the newest snapshot that holds all families, or\n"
        "the one that --snapshot names, makes its families and tables, copies and compares\n"
        "all rows, and lets the ledger go on --sequence_jump entries behind the snapshot.\n"
        "Hosts that have more of the lost ledger than the snapshot then know that they\n"
        "have to fetch it. What was written after the snapshot is lost, and so are\n"
        "writers' secrets and cookies, and limits: docs/disaster-recovery.md has the steps.\n\n"
        "Until it has come to its end, executives do not use the database. What was\n"
        "interrupted goes on with --resume. No executive of the Go ctlstore may use the\n"
        "database meanwhile.\n\n"
        "The ctldb's password comes from --ctldb_password_file or the variable\n"
        "CTLSTORE_CTLDB_PASSWORD. The user needs the rights that an executive needs.";
    command.max_arguments = Command::kAnyNumber;
    command.flags = {"snapshot", "sequence_jump", "resume", "work_folder", "yes", "json"};
    command.flag_files = PlaceFlagFiles();
    command.flag_files.push_back("common/ctldb/ctldb_flags");
    command.run = Returning(RestoreCommand);
    commands.push_back(command);
  }
  return commands;
}

}  // namespace ctlstore::cli
