// Prepared statements by their text.

#ifndef CTLSTORE_COMMON_LDB_STATEMENT_CACHE_H_
#define CTLSTORE_COMMON_LDB_STATEMENT_CACHE_H_

#include <cstddef>
#include <list>
#include <memory>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/sqlite/database.h"

namespace ctlstore::ldb {

// Keeps the most recently used statements of one connection, which must outlive it. Not
// thread-safe.
class StatementCache {
 public:
  // `capacity` is at least 1.
  StatementCache(sqlite::Database* database, size_t capacity)
      : database_(database), capacity_(capacity) {}

  // The statement with this text, prepared now or before, ready to be bound. Valid until the next
  // call.
  absl::StatusOr<sqlite::Statement*> Get(absl::string_view sql);

  size_t size() const { return statements_.size(); }

 private:
  struct Entry {
    std::string sql;
    std::unique_ptr<sqlite::Statement> statement;
  };

  sqlite::Database* const database_;
  const size_t capacity_;
  // The most recently used one first. The map's keys look into the entries.
  std::list<Entry> statements_;
  absl::flat_hash_map<absl::string_view, std::list<Entry>::iterator> by_sql_;
};

}  // namespace ctlstore::ldb

#endif  // CTLSTORE_COMMON_LDB_STATEMENT_CACHE_H_
