#include "common/ldb/read_history.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace ctlstore::ldb {
namespace {

// The first of the entries that is behind `position`.
template <typename Entries>
auto Behind(const Entries& entries, int64_t position) {
  return std::upper_bound(entries.begin(), entries.end(), position,
                          [](int64_t value, const auto& entry) { return value < entry.position; });
}

}  // namespace

void ReadHistory::Record(int64_t position, absl::Span<const Fact> facts) {
  absl::MutexLock lock(&mutex_);
  positions_.push_back(position);
  for (const Fact& fact : facts) {
    std::vector<Since>& states = subjects_[fact.subject];
    if (!states.empty() && states.back().position == position) {
      states.back().state = fact.state;
    } else {
      states.push_back({position, fact.state});
    }
  }
}

absl::optional<int64_t> ReadHistory::Explain(absl::Span<const Fact> facts, int64_t floor) const {
  absl::ReaderMutexLock lock(&mutex_);
  int64_t position = floor;
  // All facts have to hold at the same position: goes up to the next one that each of them allows,
  // until none asks for a later one.
  for (bool moved = true; moved;) {
    moved = false;
    for (const Fact& fact : facts) {
      const absl::optional<int64_t> first = First(fact, position);
      if (!first.has_value()) return absl::nullopt;
      moved = moved || *first > position;
      position = *first;
    }
  }
  return position;
}

absl::optional<int64_t> ReadHistory::First(const Fact& fact, int64_t floor) const {
  const auto found = subjects_.find(fact.subject);
  if (found == subjects_.end()) {
    if (fact.state == 0) return floor;
    return absl::nullopt;
  }
  const std::vector<Since>& states = found->second;
  auto next = Behind(states, floor);
  if (fact.state == (next == states.begin() ? 0 : std::prev(next)->state)) return floor;
  for (; next != states.end(); ++next) {
    if (next->state == fact.state) return next->position;
  }
  return absl::nullopt;
}

bool ReadHistory::IsPosition(int64_t position) const {
  absl::ReaderMutexLock lock(&mutex_);
  return position == 0 || std::binary_search(positions_.begin(), positions_.end(), position);
}

int64_t ReadHistory::last() const {
  absl::ReaderMutexLock lock(&mutex_);
  return positions_.empty() ? 0 : positions_.back();
}

std::string ReadHistory::Describe(int64_t subject, int64_t floor) const {
  absl::ReaderMutexLock lock(&mutex_);
  const auto found = subjects_.find(subject);
  if (found == subjects_.end()) return "never changed";
  const std::vector<Since>& states = found->second;
  auto next = Behind(states, floor);
  if (next != states.begin()) --next;
  std::string text;
  for (int shown = 0; next != states.end() && shown < 8; ++next, ++shown) {
    absl::StrAppend(&text, shown == 0 ? "" : ", ", next->state, " from ", next->position, " on");
  }
  return text;
}

}  // namespace ctlstore::ldb
