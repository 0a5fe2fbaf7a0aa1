// The table definitions that an executive has seen.

#ifndef CTLSTORE_EXECUTIVE_TABLE_CACHE_H_
#define CTLSTORE_EXECUTIVE_TABLE_CACHE_H_

#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "common/schema/names.h"
#include "common/schema/table_schema.h"

namespace ctlstore::executive {

// Definitions by name, so that a mutation need not ask the ctldb for them. They may be out of date,
// because other executives change tables too: whoever meets an error that this could explain loads
// the table again. Holds at most as many definitions as there are tables. Thread-safe.
class TableCache {
 public:
  // Null where it is not known.
  std::shared_ptr<const TableSchema> Find(const TableName& name) const;

  // Replaces what is known of this table. Returns what was put.
  std::shared_ptr<const TableSchema> Put(TableSchema schema);

  void Forget(const TableName& name);

 private:
  mutable absl::Mutex mutex_;
  absl::flat_hash_map<TableName, std::shared_ptr<const TableSchema>> tables_
      ABSL_GUARDED_BY(mutex_);
};

}  // namespace ctlstore::executive

#endif  // CTLSTORE_EXECUTIVE_TABLE_CACHE_H_
