// The prepared statements that a connection keeps.

#ifndef CTLSTORE_COMMON_CTLDB_STATEMENT_CACHE_H_
#define CTLSTORE_COMMON_CTLDB_STATEMENT_CACHE_H_

#include <cstddef>
#include <list>
#include <memory>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"

namespace ctlstore::ctldb {

// Owns prepared statements by their text, at most `capacity` of them: the one that was not used for
// the longest time goes first. Not thread-safe.
template <typename Statement>
class StatementCache {
 public:
  explicit StatementCache(size_t capacity) : capacity_(capacity) {}
  StatementCache(const StatementCache&) = delete;
  StatementCache& operator=(const StatementCache&) = delete;

  // Null where there is none. Valid until the next Add() or Clear().
  Statement* Find(absl::string_view sql) {
    const auto found = index_.find(sql);
    if (found == index_.end()) return nullptr;
    entries_.splice(entries_.begin(), entries_, found->second);
    return found->second->statement.get();
  }

  // `sql` is not in the cache yet.
  Statement* Add(absl::string_view sql, std::unique_ptr<Statement> statement) {
    if (entries_.size() >= capacity_) {
      index_.erase(entries_.back().sql);
      entries_.pop_back();
    }
    entries_.push_front(Entry{std::string(sql), std::move(statement)});
    index_.emplace(entries_.front().sql, entries_.begin());
    return entries_.front().statement.get();
  }

  void Clear() {
    index_.clear();
    entries_.clear();
  }

  size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    std::string sql;
    std::unique_ptr<Statement> statement;
  };

  const size_t capacity_;
  // The last used one first. Nodes of a list stay where they are, so the index can look into them.
  std::list<Entry> entries_;
  absl::flat_hash_map<absl::string_view, typename std::list<Entry>::iterator> index_;
};

}  // namespace ctlstore::ctldb

#endif  // CTLSTORE_COMMON_CTLDB_STATEMENT_CACHE_H_
