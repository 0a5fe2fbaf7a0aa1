#include "cli/snapshot_restore_command.h"

#include <cstdint>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "cli/command_result.h"
#include "cli/confirmation.h"
#include "cli/exit_status.h"
#include "cli/json_output.h"
#include "cli/restore/restorer.h"
#include "cli/shared_flags.h"
#include "cli/snapshot_fetching.h"
#include "cli/snapshot_survey.h"
#include "cli/transfer_progress.h"
#include "cli/work_folder.h"
#include "common/base/clock.h"
#include "common/ctldb/ctldb_flags.h"
#include "common/schema/errors.h"
#include "common/snapshot/fetcher.h"

ABSL_FLAG(int64_t, sequence_jump, 1000000,
          "How far the ledger goes on behind the snapshot: more than the entries that are lost.");
ABSL_FLAG(bool, resume, false, "Complete a restore that did not come to its end.");

namespace ctlstore::cli {
namespace {

using Arguments = std::vector<std::string>;
using snapshot::FetchedSnapshot;
using snapshot::Location;
using snapshot::Manifest;

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
  absl::StatusOr<object_store::StoreOptions> store = StoreOptionsForCommand();
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

  InterruptedBySignal();
  absl::StatusOr<std::unique_ptr<WorkFolder>> folder = WorkFolder::FromFlags();
  if (!folder.ok()) return folder.status();
  TransferProgress progress(Clock::Real(), ErrorsAreShownAtTerminal(), &std::cerr);
  absl::StatusOr<FetchedSnapshot> fetched =
      FetchFrom(chosen->places, chosen->id, (*folder)->path() + "/restore",
                FetchOptionsFor(*store, &progress));
  if (!fetched.ok()) {
    progress.Finish();
    return fetched.status();
  }
  options.ldb_path = (*folder)->path() + "/restore/ldb.db";
  options.on_progress = [&progress](const RestoreProgress& how) { progress.Show(how); };
  options.cancelled = InterruptedBySignal;
  absl::StatusOr<RestoreResult> result = Restore(options);
  progress.Finish();
  if (!result.ok()) return result.status();
  ShowRestored(*result, options.ctldb.ToString());
  return absl::OkStatus();
}

}  // namespace

Command SnapshotRestoreCommand() {
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
  return command;
}

}  // namespace ctlstore::cli
