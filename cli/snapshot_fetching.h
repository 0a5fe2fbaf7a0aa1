// What the commands about snapshots have in common.

#ifndef CTLSTORE_CLI_SNAPSHOT_FETCHING_H_
#define CTLSTORE_CLI_SNAPSHOT_FETCHING_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/flags/declare.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cli/transfer_progress.h"
#include "common/object_store/open_store.h"
#include "common/snapshot/fetcher.h"
#include "common/snapshot/location.h"
#include "common/snapshot/manifest.h"

// The id of a snapshot; empty for the newest one.
ABSL_DECLARE_FLAG(std::string, snapshot);

namespace ctlstore::cli {

// Whether SIGINT or SIGTERM came since the first call, with which they are taken for the rest of
// the process: to be called before any thread is started. Thread-safe.
bool InterruptedBySignal();

// Whether there is somebody to see how it goes.
bool ErrorsAreShownAtTerminal();

// A usage error names the flag that is wrong.
absl::StatusOr<object_store::StoreOptions> StoreOptionsForCommand();

// Tells `progress`, which must outlive what is fetched with them, and ends with a signal.
snapshot::FetchOptions FetchOptionsFor(const object_store::StoreOptions& store,
                                       TransferProgress* progress);

// Fetches the snapshot `id` from the first place that has it whole, or the newest that is good
// where `id` is empty, into `folder`/ldb.db. Errors are the fetcher's.
absl::StatusOr<snapshot::FetchedSnapshot> FetchFrom(const std::vector<snapshot::Location>& places,
                                                    const std::string& id,
                                                    const std::string& folder,
                                                    const snapshot::FetchOptions& options);

// The prefixes of the files that define the flags about places, for Command::flag_files.
std::vector<std::string> PlaceFlagFiles();

// For people.
std::string TimeText(absl::Time time);
std::string FamiliesText(const std::vector<std::string>& families);
// Of all tables.
int64_t RowsOf(const snapshot::Manifest& manifest);

}  // namespace ctlstore::cli

#endif  // CTLSTORE_CLI_SNAPSHOT_FETCHING_H_
