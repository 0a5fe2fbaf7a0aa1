#include "cli/snapshot_survey.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/exit_status.h"
#include "common/snapshot/folder.h"
#include "common/snapshot/snapshot_flags.h"

namespace ctlstore::cli {
namespace {

using snapshot::Location;

void LookAt(const Location& place, absl::string_view id, const object_store::StoreOptions& options,
            SnapshotSurvey* survey) {
  const auto problem = [&](std::string snapshot_id, absl::Status status) {
    survey->problems.push_back({place.ToString(), std::move(snapshot_id), std::move(status)});
  };
  absl::StatusOr<std::unique_ptr<object_store::ObjectStore>> store =
      object_store::OpenStore(place.store, options);
  if (!store.ok()) return problem("", store.status());
  if (place.form == Location::Form::kSingleObject) {
    if (!id.empty()) return;
    absl::StatusOr<object_store::ObjectInfo> info = (*store)->Stat(place.key);
    if (!info.ok()) return problem("", info.status());
    survey->objects.push_back({place, *std::move(info)});
    return;
  }
  snapshot::Folder folder(store->get());
  absl::StatusOr<std::vector<std::string>> ids = folder.List();
  if (!ids.ok()) return problem("", ids.status());
  for (const std::string& found : *ids) {
    if (!id.empty() && found != id) continue;
    absl::StatusOr<snapshot::Manifest> manifest = folder.ReadManifest(found);
    if (manifest.ok()) {
      survey->snapshots.push_back({place, *std::move(manifest)});
    } else if (!absl::IsNotFound(manifest.status())) {
      // One that is gone was removed for its age meanwhile.
      problem(found, manifest.status());
    }
  }
}

}  // namespace

absl::StatusOr<std::vector<Location>> PlacesFrom(const std::vector<std::string>& arguments) {
  absl::StatusOr<std::vector<Location>> places =
      arguments.empty() ? snapshot::LocationsFromFlags()
                        : snapshot::ParseLocations(absl::StrJoin(arguments, ","));
  if (!places.ok()) return UsageError(places.status().message());
  if (places->empty()) {
    return UsageError("no place with snapshots is named: give URLs, or --snapshot_urls");
  }
  return places;
}

SnapshotSurvey SurveySnapshots(absl::Span<const Location> places, absl::string_view id,
                               const object_store::StoreOptions& options) {
  SnapshotSurvey survey;
  for (const Location& place : places) LookAt(place, id, options, &survey);
  std::stable_sort(survey.snapshots.begin(), survey.snapshots.end(),
                   [](const SnapshotSurvey::Snapshot& a, const SnapshotSurvey::Snapshot& b) {
                     return std::tie(a.manifest.position.sequence, a.manifest.taken_at) >
                            std::tie(b.manifest.position.sequence, b.manifest.taken_at);
                   });
  return survey;
}

absl::Status AtPlace(absl::string_view place, const absl::Status& status) {
  if (absl::StrContains(status.message(), place)) return status;
  absl::Status result(status.code(), absl::StrCat(place, ": ", status.message()));
  status.ForEachPayload([&result](absl::string_view type, const absl::Cord& payload) {
    result.SetPayload(type, payload);
  });
  return result;
}

absl::Status FirstProblem(const SnapshotSurvey& survey) {
  if (survey.problems.empty()) return absl::OkStatus();
  const SnapshotSurvey::Problem& first = survey.problems.front();
  return AtPlace(first.id.empty() ? first.place : absl::StrCat(first.place, "/", first.id),
                 first.status);
}

}  // namespace ctlstore::cli
