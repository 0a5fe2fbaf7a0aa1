// What snapshots there are, over all places.

#ifndef CTLSTORE_CLI_SNAPSHOT_SURVEY_H_
#define CTLSTORE_CLI_SNAPSHOT_SURVEY_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "common/object_store/object_store.h"
#include "common/object_store/open_store.h"
#include "common/snapshot/location.h"
#include "common/snapshot/manifest.h"

namespace ctlstore::cli {

// The places that the arguments name, or otherwise --snapshot_urls. A usage error where there are
// none, or where one is no URL.
absl::StatusOr<std::vector<snapshot::Location>> PlacesFrom(
    const std::vector<std::string>& arguments);

struct SnapshotSurvey {
  struct Snapshot {
    snapshot::Location place;
    snapshot::Manifest manifest;
  };
  // A place of the form that has no manifests.
  struct Object {
    snapshot::Location place;
    object_store::ObjectInfo info;
  };
  // What could not be found out.
  struct Problem {
    std::string place;
    // Empty where it is of the place.
    std::string id;
    absl::Status status;
  };

  // Newest first: by sequence, then by time; then in the order of the places.
  std::vector<Snapshot> snapshots;
  std::vector<Object> objects;
  std::vector<Problem> problems;
};

// Asks each place for its manifests; those with another id than `id`, where that is not empty, are
// not asked for. A place that cannot be asked, or a manifest that cannot be read, is a problem, and
// the others are looked at all the same.
SnapshotSurvey SurveySnapshots(absl::Span<const snapshot::Location> places, absl::string_view id,
                               const object_store::StoreOptions& options);

// `status` with a message that names the place; a store's own messages do.
absl::Status AtPlace(absl::string_view place, const absl::Status& status);

// For people and for the exit status: what comes first among the problems; OK where there is none.
absl::Status FirstProblem(const SnapshotSurvey& survey);

}  // namespace ctlstore::cli

#endif  // CTLSTORE_CLI_SNAPSHOT_SURVEY_H_
