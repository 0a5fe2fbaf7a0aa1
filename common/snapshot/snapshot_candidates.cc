#include "common/snapshot/snapshot_candidates.h"

#include <algorithm>
#include <functional>
#include <map>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/snapshot/folder.h"

namespace ctlstore::snapshot {

std::string FolderKey(absl::string_view location, absl::string_view id) {
  return absl::StrCat(location, "/", id);
}

std::string ObjectKey(absl::string_view location, absl::string_view version) {
  return absl::StrCat(location, "@", version);
}

std::vector<Candidate> OrderCandidates(absl::Span<const FolderListing> folders,
                                       int64_t above_sequence,
                                       const std::set<std::string>& excluded, size_t* found) {
  std::map<std::tuple<int64_t, absl::Time, std::string>, Candidate, std::greater<>> candidates;
  std::set<std::string> excluded_ids;
  for (size_t place = 0; place < folders.size(); ++place) {
    for (const std::string& id : folders[place].ids) {
      const absl::optional<SnapshotId> parsed = ParseSnapshotId(id);
      if (!parsed.has_value()) continue;
      if (excluded.count(FolderKey(folders[place].location, id)) > 0) excluded_ids.insert(id);
      Candidate& candidate = candidates[{parsed->sequence, parsed->taken_at, id}];
      candidate.id = id;
      candidate.sequence = parsed->sequence;
      if (candidate.places.empty() || candidate.places.back() != place) {
        candidate.places.push_back(place);
      }
    }
  }
  if (found != nullptr) *found = candidates.size();
  std::vector<Candidate> ordered;
  for (auto& [order, candidate] : candidates) {
    if (candidate.sequence <= above_sequence || excluded_ids.count(candidate.id) > 0) continue;
    ordered.push_back(std::move(candidate));
  }
  return ordered;
}

bool HasFamilies(absl::Span<const std::string> families, absl::Span<const std::string> wanted) {
  if (families.empty()) return true;
  return !wanted.empty() &&
         std::includes(families.begin(), families.end(), wanted.begin(), wanted.end());
}

}  // namespace ctlstore::snapshot
