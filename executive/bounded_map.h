// A map that forgets its oldest entry rather than growing.

#ifndef CTLSTORE_EXECUTIVE_BOUNDED_MAP_H_
#define CTLSTORE_EXECUTIVE_BOUNDED_MAP_H_

#include <cstddef>
#include <iterator>
#include <list>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"

namespace ctlstore::executive {

// At most `capacity` entries, at least one; when there would be more, the one that was put longest
// ago is dropped. Not thread-safe, but the const methods may be called at the same time.
template <typename Value>
class BoundedMap {
 public:
  explicit BoundedMap(size_t capacity) : capacity_(capacity) {}
  BoundedMap(const BoundedMap&) = delete;
  BoundedMap& operator=(const BoundedMap&) = delete;

  // Null where it is not there; valid until the next change.
  const Value* Find(absl::string_view key) const {
    const auto found = positions_.find(key);
    return found == positions_.end() ? nullptr : &found->second->second;
  }

  // In place of what the key had, and as the newest entry.
  void Put(absl::string_view key, Value value) {
    Erase(key);
    if (entries_.size() >= capacity_) Erase(entries_.front().first);
    entries_.emplace_back(std::string(key), std::move(value));
    const auto position = std::prev(entries_.end());
    positions_.emplace(position->first, position);
  }

  void Erase(absl::string_view key) {
    const auto found = positions_.find(key);
    if (found == positions_.end()) return;
    const auto position = found->second;
    positions_.erase(found);
    entries_.erase(position);
  }

  size_t size() const { return entries_.size(); }

 private:
  using Entries = std::list<std::pair<std::string, Value>>;

  const size_t capacity_;
  // The oldest first.
  Entries entries_;
  // The keys are those in `entries_`.
  absl::flat_hash_map<absl::string_view, typename Entries::iterator> positions_;
};

}  // namespace ctlstore::executive

#endif  // CTLSTORE_EXECUTIVE_BOUNDED_MAP_H_
