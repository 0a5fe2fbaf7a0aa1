#include "cli/snapshot_commands.h"

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
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/command_result.h"
#include "cli/exit_status.h"
#include "cli/json_output.h"
#include "cli/shared_flags.h"
#include "cli/snapshot_checker.h"
#include "cli/snapshot_fetching.h"
#include "cli/snapshot_restore_command.h"
#include "cli/snapshot_survey.h"
#include "cli/snapshot_take_command.h"
#include "cli/text_table.h"
#include "cli/transfer_progress.h"
#include "cli/value_text.h"
#include "cli/work_folder.h"
#include "common/base/clock.h"
#include "common/base/file_lock.h"
#include "common/schema/errors.h"
#include "common/snapshot/fetcher.h"

ABSL_FLAG(std::string, to, "", "The file to make.");
ABSL_FLAG(bool, force, false, "Replace the file where it is there.");
ABSL_FLAG(bool, all, false, "All snapshots, not only the newest one of each place.");
ABSL_FLAG(bool, deep, true,
          "Also fetch each snapshot and look at what is in it: SQLite's own check, the position, "
          "and the rows of each table.");

namespace ctlstore::cli {
namespace {

using Arguments = std::vector<std::string>;
using snapshot::FetchedSnapshot;
using snapshot::FetchOptions;
using snapshot::Location;
using snapshot::Manifest;

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
  absl::StatusOr<object_store::StoreOptions> store = StoreOptionsForCommand();
  if (!store.ok()) return store.status();
  const SnapshotSurvey survey = SurveySnapshots(*places, "", *store);
  absl::GetFlag(FLAGS_json) ? ShowJson(survey) : ShowText(survey);
  std::cout.flush();
  ShowOtherProblems(survey);
  return FirstProblem(survey);
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
  absl::StatusOr<object_store::StoreOptions> store = StoreOptionsForCommand();
  if (!store.ok()) return store.status();
  const bool force = absl::GetFlag(FLAGS_force);
  absl::Status status = PrepareFile(to, force);
  if (!status.ok()) return status;

  InterruptedBySignal();
  // Beside the file, so that it can be renamed; what is there of it stays for the next time.
  const std::string folder = to + ".fetch";
  TransferProgress progress(Clock::Real(), ErrorsAreShownAtTerminal(), &std::cerr);
  absl::StatusOr<FetchedSnapshot> fetched =
      FetchFrom(*places, absl::GetFlag(FLAGS_snapshot), folder, FetchOptionsFor(*store, &progress));
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
  absl::StatusOr<object_store::StoreOptions> store = StoreOptionsForCommand();
  if (!store.ok()) return failed(store.status());
  InterruptedBySignal();
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
    TransferProgress progress(Clock::Real(), ErrorsAreShownAtTerminal(), &std::cerr);
    options.fetch = FetchOptionsFor(*store, &progress);
    absl::StatusOr<std::vector<CheckedSnapshot>> checked = SnapshotChecker(options).Run();
    progress.Finish();
    if (!checked.ok()) {
      const int status = failed(AtPlace(place.ToString(), checked.status()));
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
        "and the checksum of each table's rows with the manifest. --nodeep leaves the second\n"
        "part out, which needs as much room as the local database has.\n\n"
        "A line for each. The exit status is 6 where one is damaged, 5 where one could not\n"
        "be looked at.";
    command.max_arguments = Command::kAnyNumber;
    command.flags = {"snapshot", "all", "deep", "work_folder", "json"};
    command.flag_files = PlaceFlagFiles();
    command.run = Verify;
    commands.push_back(command);
  }
  commands.push_back(SnapshotTakeCommand());
  commands.push_back(SnapshotRestoreCommand());
  return commands;
}

}  // namespace ctlstore::cli
