// The table definitions that an executive has seen.

#ifndef CTLSTORE_EXECUTIVE_TABLE_CACHE_H_
#define CTLSTORE_EXECUTIVE_TABLE_CACHE_H_

#include <cstdint>
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
//
// Belongs to one schema version (LedgerTransaction::schema_version()): with another one, all that
// is known is forgotten.
class TableCache {
 public:
  // Null where it is not known.
  std::shared_ptr<const TableSchema> Find(const TableName& name) const;

  // Replaces what is known of this table, unless version() is another one by now than `version`,
  // which is what it was before the definition was read. Returns what was to be put.
  std::shared_ptr<const TableSchema> Put(TableSchema schema, int64_t version);

  void Forget(const TableName& name);

  // The version that the definitions are of; 0 before it is first told.
  int64_t version() const;

  // Forgets all definitions where `version` is another than theirs.
  void SetVersion(int64_t version);

 private:
  mutable absl::Mutex mutex_;
  absl::flat_hash_map<TableName, std::shared_ptr<const TableSchema>> tables_
      ABSL_GUARDED_BY(mutex_);
  int64_t version_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace ctlstore::executive

#endif  // CTLSTORE_EXECUTIVE_TABLE_CACHE_H_
