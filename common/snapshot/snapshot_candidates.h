// Which snapshots are there to be fetched, and in which order.

#ifndef CTLSTORE_COMMON_SNAPSHOT_SNAPSHOT_CANDIDATES_H_
#define CTLSTORE_COMMON_SNAPSHOT_SNAPSHOT_CANDIDATES_H_

#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace ctlstore::snapshot {

// A snapshot by its id, and the folders that have it.
struct Candidate {
  std::string id;
  int64_t sequence = 0;
  // Indexes of the folders, in the order in which they were given.
  std::vector<size_t> places;
};

// What FetchedSnapshot::key is: of a snapshot in a folder, and of an object in one of its versions.
std::string FolderKey(absl::string_view location, absl::string_view id);
std::string ObjectKey(absl::string_view location, absl::string_view version);

struct FolderListing {
  // As FolderKey() has it.
  std::string location;
  std::vector<std::string> ids;
};

// Newest first: by sequence, then by the time in the id, then by the id. Those without a larger
// sequence than `above_sequence` are left out, and those of which `excluded` has a key in any
// place: a snapshot is the same everywhere. `*found`, where given, is the number of those that
// there would be without that.
std::vector<Candidate> OrderCandidates(absl::Span<const FolderListing> folders,
                                       int64_t above_sequence,
                                       const std::set<std::string>& excluded, size_t* found);

// Whether a snapshot with `families` has the `wanted` ones. Both are sorted, and empty for all.
bool HasFamilies(absl::Span<const std::string> families, absl::Span<const std::string> wanted);

}  // namespace ctlstore::snapshot

#endif  // CTLSTORE_COMMON_SNAPSHOT_SNAPSHOT_CANDIDATES_H_
