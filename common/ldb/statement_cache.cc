#include "common/ldb/statement_cache.h"

#include <utility>

namespace ctlstore::ldb {

absl::StatusOr<sqlite::Statement*> StatementCache::Get(absl::string_view sql) {
  if (!statements_.empty() && statements_.front().sql == sql) {
    return statements_.front().statement.get();
  }
  const auto found = by_sql_.find(sql);
  if (found != by_sql_.end()) {
    statements_.splice(statements_.begin(), statements_, found->second);
    return statements_.front().statement.get();
  }
  absl::StatusOr<std::unique_ptr<sqlite::Statement>> statement = database_->Prepare(sql);
  if (!statement.ok()) return statement.status();
  if (statements_.size() >= capacity_) {
    by_sql_.erase(statements_.back().sql);
    statements_.pop_back();
  }
  statements_.push_front(Entry{std::string(sql), *std::move(statement)});
  by_sql_.emplace(statements_.front().sql, statements_.begin());
  return statements_.front().statement.get();
}

}  // namespace ctlstore::ldb
