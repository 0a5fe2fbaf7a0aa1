#include "cli/snapshot_take_command.h"

#include <algorithm>
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
#include "cli/exit_status.h"
#include "cli/json_output.h"
#include "cli/shared_flags.h"
#include "cli/snapshot_fetching.h"
#include "cli/snapshot_survey.h"
#include "cli/work_folder.h"
#include "common/ldb/ldb_flags.h"
#include "common/object_store/open_store.h"
#include "common/rpc/instance_name.h"
#include "common/snapshot/folder.h"
#include "common/snapshot/single_object.h"
#include "supervisor/snapshot_taker.h"

ABSL_FLAG(std::string, compression, "zstd",
          "What the snapshot is compressed with: zstd, gzip or none. A single object is compressed "
          "as its name says.");

namespace ctlstore::cli {
namespace {

using Arguments = std::vector<std::string>;
using snapshot::Compression;
using snapshot::Location;
using supervisor::SnapshotTaker;
using supervisor::TakenSnapshot;

absl::Status Publish(const TakenSnapshot& taken, const Location& place, Compression compression,
                     const object_store::StoreOptions& options) {
  absl::StatusOr<std::unique_ptr<object_store::ObjectStore>> store =
      object_store::OpenStore(place.store, options);
  if (!store.ok()) return store.status();
  const TakenSnapshot::Object& object = taken.object(compression);
  return place.form == Location::Form::kFolder
             ? snapshot::Folder(store->get()).Publish(taken.ManifestFor(compression), object.path)
             : snapshot::PutSingleObject(store->get(), place, object.path,
                                         object.encoded.file_sha1);
}

absl::Status Take(const Arguments& arguments) {
  absl::StatusOr<std::vector<Location>> places = PlacesFrom(arguments);
  if (!places.ok()) return places.status();
  absl::StatusOr<object_store::StoreOptions> store = StoreOptionsForCommand();
  if (!store.ok()) return store.status();
  const absl::StatusOr<Compression> of_folders =
      snapshot::ParseCompression(absl::GetFlag(FLAGS_compression));
  if (!of_folders.ok()) {
    return UsageError(absl::StrCat("--compression: ", of_folders.status().message()));
  }
  const auto compression_of = [&](const Location& place) {
    return place.form == Location::Form::kFolder ? *of_folders : place.compression;
  };

  InterruptedBySignal();
  absl::StatusOr<std::unique_ptr<WorkFolder>> folder = WorkFolder::FromFlags();
  if (!folder.ok()) return folder.status();
  SnapshotTaker::Options options;
  options.ldb_path = ldb::LdbPathFromFlags();
  options.work_path = (*folder)->path() + "/take";
  for (const Location& place : *places) {
    const Compression compression = compression_of(place);
    auto object =
        std::find_if(options.objects.begin(), options.objects.end(),
                     [compression](const auto& each) { return each.compression == compression; });
    if (object == options.objects.end()) {
      object = options.objects.emplace(object);
      object->compression = compression;
    }
    if (place.form == Location::Form::kSingleObject) object->file_sha1 = true;
  }
  options.instance = rpc::InstanceName();
  options.cancelled = InterruptedBySignal;
  absl::StatusOr<std::unique_ptr<SnapshotTaker>> taker = SnapshotTaker::Create(std::move(options));
  if (!taker.ok()) return taker.status();
  const absl::StatusOr<std::shared_ptr<const TakenSnapshot>> taken = (*taker)->Take();
  if (!taken.ok()) return taken.status();

  // Each place by itself: one that fails is of no concern to the others.
  absl::Status result;
  Json put = Json::array();
  for (const Location& place : *places) {
    const absl::Status status = Publish(**taken, place, compression_of(place), *store);
    if (status.ok()) {
      put.push_back(place.ToString());
      if (absl::GetFlag(FLAGS_json)) continue;
      std::cout << place.ToString() << ": " << (*taken)->id() << "\n" << std::flush;
      continue;
    }
    if (!result.ok()) std::cerr << DescribeError(result);
    result = AtPlace(place.ToString(), status);
  }
  if (absl::GetFlag(FLAGS_json)) {
    std::cout << Compact(Json::object({{"id", (*taken)->id()},
                                       {"sequence", (*taken)->position().sequence},
                                       {"taken_at", TimeText((*taken)->taken_at())},
                                       {"places", put}}))
              << "\n";
  }
  return result;
}

}  // namespace

Command SnapshotTakeCommand() {
  Command command;
  command.name = "snapshot take";
  command.arguments = "[URL...]";
  command.summary = "Makes a snapshot of any host's local database";
  command.description =
      "  ctlstore snapshot take --ldb=/var/spool/ctlstore/ldb.db file:///backup/ctlstore\n\n"
      "Copies the local database as it is at one moment, while its reflector goes on,\n"
      "checks the copy, and puts it into each of the places. A supervisor does so by\n"
      "itself; this is for a host that has what no snapshot has, as when the ctldb is\n"
      "lost. Needs room for a copy in --work_folder.";
  command.max_arguments = Command::kAnyNumber;
  command.flags = {"ldb", "compression", "work_folder", "json"};
  command.flag_files = PlaceFlagFiles();
  command.run = Returning(Take);
  return command;
}

}  // namespace ctlstore::cli
