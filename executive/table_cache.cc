#include "executive/table_cache.h"

#include <utility>

namespace ctlstore::executive {

std::shared_ptr<const TableSchema> TableCache::Find(const TableName& name) const {
  absl::ReaderMutexLock lock(&mutex_);
  auto entry = tables_.find(name);
  return entry == tables_.end() ? nullptr : entry->second;
}

std::shared_ptr<const TableSchema> TableCache::Put(TableSchema schema, int64_t version) {
  auto shared = std::make_shared<const TableSchema>(std::move(schema));
  absl::MutexLock lock(&mutex_);
  if (version == version_) tables_[shared->name()] = shared;
  return shared;
}

void TableCache::Forget(const TableName& name) {
  absl::MutexLock lock(&mutex_);
  tables_.erase(name);
}

int64_t TableCache::version() const {
  absl::ReaderMutexLock lock(&mutex_);
  return version_;
}

void TableCache::SetVersion(int64_t version) {
  absl::MutexLock lock(&mutex_);
  if (version == version_) return;
  version_ = version;
  tables_.clear();
}

}  // namespace ctlstore::executive
