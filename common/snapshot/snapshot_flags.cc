#include "common/snapshot/snapshot_flags.h"

#include <string>

#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"

ABSL_FLAG(
    std::string, snapshot_urls, "",
    "Where snapshots are, separated by commas: \"file:///folder\", \"s3://bucket/prefix\", and "
    "to get them only, \"https://host:port/path\". A URL that ends in \".db\", \".sqlite\" or "
    "\".gz\" is a single object, as the Go ctlstore has it; any other one a folder; "
    "\"?form=object\" or \"?form=folder\" behind it says so where the name does not. "
    "Supervisors put snapshots into all of them, reflectors get the newest one, and "
    "executives remove ledger entries only when all of them have a snapshot of them.");

namespace ctlstore::snapshot {

absl::StatusOr<std::vector<Location>> LocationsFromFlags() {
  absl::StatusOr<std::vector<Location>> locations =
      ParseLocations(absl::GetFlag(FLAGS_snapshot_urls));
  if (!locations.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--snapshot_urls: ", locations.status().message()));
  }
  return locations;
}

}  // namespace ctlstore::snapshot
