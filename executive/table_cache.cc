#include "executive/table_cache.h"

#include <utility>

namespace ctlstore::executive {

std::shared_ptr<const TableSchema> TableCache::Find(const TableName& name) const {
  absl::ReaderMutexLock lock(&mutex_);
  auto entry = tables_.find(name);
  return entry == tables_.end() ? nullptr : entry->second;
}

std::shared_ptr<const TableSchema> TableCache::Put(TableSchema schema) {
  auto shared = std::make_shared<const TableSchema>(std::move(schema));
  absl::MutexLock lock(&mutex_);
  tables_[shared->name()] = shared;
  return shared;
}

void TableCache::Forget(const TableName& name) {
  absl::MutexLock lock(&mutex_);
  tables_.erase(name);
}

}  // namespace ctlstore::executive
