// What a commit to the local database changed.

#ifndef CTLSTORE_COMMON_LDB_CHANGES_H_
#define CTLSTORE_COMMON_LDB_CHANGES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "common/schema/names.h"
#include "common/schema/table_schema.h"
#include "common/schema/value.h"

namespace ctlstore::ldb {

// One thing that a ledger entry changed. What it shows is valid during ChangeListener::Committed().
struct Change {
  enum class Kind {
    // The row with this key was written or deleted.
    kKey,
    // Any row of the table may have changed, or the table itself: it was created, dropped, cleared,
    // got a field, or the statement was one whose keys cannot be told.
    kTable,
    // Anything may have changed.
    kEverything,
  };
  Kind kind = Kind::kKey;
  // The ledger entry.
  int64_t sequence = 0;
  // kKey and kTable.
  const TableName* table = nullptr;
  // kKey: the key's fields and their values, in key order.
  absl::Span<const Field> key_fields;
  absl::Span<const ValueView> key;
};

// A Change that can be kept.
struct ChangeEvent {
  Change::Kind kind = Change::Kind::kKey;
  int64_t sequence = 0;
  TableName table;
  std::vector<Field> key_fields;
  std::vector<Value> key;
};

// Learns what was committed to one local database, in ledger order, from the thread that commits.
// Must not fail and should not take long: the next commit waits for it.
class ChangeListener {
 public:
  virtual ~ChangeListener() = default;

  // Right before a commit that makes `changes` visible, and then one of the others, right after it.
  virtual void Committing(absl::Span<const Change> changes) = 0;
  virtual void Committed(absl::Span<const Change> changes, int64_t applied_sequence) = 0;
  virtual void CommitFailed() = 0;
};

}  // namespace ctlstore::ldb

#endif  // CTLSTORE_COMMON_LDB_CHANGES_H_
