#include "cli/snapshot_fetching.h"

#include <unistd.h>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/exit_status.h"
#include "common/base/shutdown_signal.h"
#include "common/object_store/store_flags.h"
#include "common/schema/errors.h"

ABSL_FLAG(std::string, snapshot, "",
          "The id of a snapshot, as ctlstore snapshot list shows it. Empty: the newest one.");

namespace ctlstore::cli {

using snapshot::FetchedSnapshot;
using snapshot::FetchOptions;
using snapshot::Location;
using snapshot::Manifest;

bool InterruptedBySignal() {
  static auto* const signal = new ShutdownSignal();
  return signal->notification()->HasBeenNotified();
}

bool ErrorsAreShownAtTerminal() { return isatty(STDERR_FILENO) != 0; }

absl::StatusOr<object_store::StoreOptions> StoreOptionsForCommand() {
  absl::StatusOr<object_store::StoreOptions> options = object_store::StoreOptionsFromFlags();
  if (!options.ok()) return UsageError(options.status().message());
  return options;
}

FetchOptions FetchOptionsFor(const object_store::StoreOptions& store, TransferProgress* progress) {
  FetchOptions options;
  options.store = store;
  options.on_progress = [progress](const snapshot::FetchProgress& how) { progress->Show(how); };
  options.cancelled = InterruptedBySignal;
  return options;
}

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

std::vector<std::string> PlaceFlagFiles() {
  return {"common/snapshot/snapshot_flags", "common/object_store/store_flags"};
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

}  // namespace ctlstore::cli
