// Brings a snapshot from where it is to a file.

#ifndef CTLSTORE_COMMON_SNAPSHOT_FETCHER_H_
#define CTLSTORE_COMMON_SNAPSHOT_FETCHER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "common/base/clock.h"
#include "common/object_store/object_store.h"
#include "common/object_store/open_store.h"
#include "common/object_store/store_url.h"
#include "common/schema/ledger_position.h"
#include "common/snapshot/fetch_progress.h"
#include "common/snapshot/location.h"
#include "common/snapshot/manifest.h"

namespace ctlstore::snapshot {

struct FetchOptions {
  object_store::StoreOptions store;
  // The families that are wanted, sorted, all where empty: snapshots that lack one are gone over.
  std::vector<std::string> families;
  // Only snapshots with a larger sequence (a single object's is known when it is there).
  int64_t above_sequence = -1;
  // Snapshots that are of no use, as FetchedSnapshot::key has them.
  std::set<std::string> excluded;
  // Asked before a folder's snapshot is fetched; where it is not OK, that one is gone over, with
  // what it says in the log. May be empty.
  std::function<absl::Status(const LedgerPosition&)> accept;
  // Ranges of one object that are fetched at the same time; each takes two chunks of memory.
  int parallel_ranges = 4;
  // How much room the file system must have left when all is there.
  int64_t min_free_bytes = int64_t{64} << 20;
  // How often what has come is brought to the disk and noted. So much is fetched again after a
  // crash, or the last 64 MiB.
  absl::Duration save_every = absl::Seconds(1);
  // Told how it goes, about once a second and at each change of stage, from any thread, one call at
  // a time. May be empty.
  std::function<void(const FetchProgress&)> on_progress;
  // May be called from any thread and often. Empty for never.
  std::function<bool()> cancelled;
  // Opens a location's store in place of OpenStore(). Empty but for tests.
  std::function<absl::StatusOr<std::unique_ptr<object_store::ObjectStore>>(
      const object_store::StoreUrl&)>
      open_store;
  Clock* clock = Clock::Real();
};

struct FetchedSnapshot {
  // Names it for FetchOptions::excluded: the location and the id, or for a single object its
  // version.
  std::string key;
  std::string url;
  std::string id;
  // As the file says.
  LedgerPosition position;
  // The families that are in it, sorted; all where empty.
  std::vector<std::string> families;
  int64_t file_bytes = 0;
  // When it was taken; of a single object, when it was put there.
  absl::Time taken_at;
};

// Fetches the newest snapshot that is good from any of the locations into `folder`, which is made
// where it is not there, as the file `ldb.db`; the caller moves it away. Newest by sequence over
// all folders; single objects, whose sequence nobody knows, are tried behind the folders, in their
// order. A location that does not answer, a damaged snapshot: logged, and the next one is tried.
//
// Chunks are fetched in parallel, checked by their digests, decompressed, and written where they
// belong, so that besides the file itself no disk is used. What is there stays when this ends
// early, also by a crash: the next call goes on with it where it is of the same snapshot. Single
// objects are fetched in one stream, decompressed on the way, and checked by the SHA-1 in their
// metadata where there is one. At the end the file is checked: its size, SQLite's quick_check, its
// position against the manifest. It is on the disk when this returns OK. A location that has not
// listed its snapshots some seconds after another one has is not waited for.
//   NOT_FOUND            SNAPSHOT_NOT_FOUND: nowhere is one that fits; says what was found instead.
//   DATA_LOSS            SNAPSHOT_DAMAGED: there were some, and all of them are damaged.
//   RESOURCE_EXHAUSTED   no room.
//   UNAVAILABLE          none could be fetched, and one of the locations could not be asked; or
//                        another one fetches into this folder.
//   CANCELLED            soon after `cancelled` says so.
absl::StatusOr<FetchedSnapshot> FetchNewest(absl::Span<const Location> locations,
                                            const std::string& folder, const FetchOptions& options);

// The same for one snapshot of a folder by its id, whatever its sequence and families are and
// whether it is excluded or not. INVALID_ARGUMENT where that is no id, or the location no folder.
absl::StatusOr<FetchedSnapshot> FetchById(const Location& location, absl::string_view id,
                                          const std::string& folder, const FetchOptions& options);

}  // namespace ctlstore::snapshot

#endif  // CTLSTORE_COMMON_SNAPSHOT_FETCHER_H_
