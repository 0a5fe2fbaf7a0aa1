// How the fetching of a snapshot goes.

#ifndef CTLSTORE_COMMON_SNAPSHOT_FETCH_PROGRESS_H_
#define CTLSTORE_COMMON_SNAPSHOT_FETCH_PROGRESS_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"

namespace ctlstore::snapshot {

struct FetchProgress {
  enum class Stage { kLooking, kFetching, kChecking };
  Stage stage = Stage::kLooking;
  // The location's URL, and the snapshot's id (a single object's key); empty while looking.
  std::string url;
  std::string id;
  // The snapshot's; -1 where it is not known before it is there.
  int64_t sequence = -1;
  // Of the object; what was there from before counts as done.
  int64_t bytes_done = 0;
  int64_t bytes_total = 0;
  // Over the last seconds; 0 where nothing can be said yet.
  int64_t bytes_per_second = 0;
  // nullopt where nothing can be said.
  absl::optional<absl::Duration> time_left;
};

// "looking", "fetching", "checking".
inline absl::string_view FetchStageName(FetchProgress::Stage stage) {
  switch (stage) {
    case FetchProgress::Stage::kLooking:
      return "looking";
    case FetchProgress::Stage::kFetching:
      return "fetching";
    case FetchProgress::Stage::kChecking:
      return "checking";
  }
  return "unknown";
}

}  // namespace ctlstore::snapshot

#endif  // CTLSTORE_COMMON_SNAPSHOT_FETCH_PROGRESS_H_
