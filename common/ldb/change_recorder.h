// Tells the keys that a commit changes from the statements that it runs.

#ifndef CTLSTORE_COMMON_LDB_CHANGE_RECORDER_H_
#define CTLSTORE_COMMON_LDB_CHANGE_RECORDER_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "absl/types/span.h"
#include "common/ldb/changes.h"
#include "common/schema/ledger_entry.h"
#include "common/schema/names.h"
#include "common/schema/value.h"
#include "common/sql/parameterized_statement.h"
#include "common/sqlite/database.h"

namespace ctlstore::ldb {

// Collects the changes of one commit at a time, over the connection that makes them, which must
// outlive it. A key is named only where no other row can have been changed; where that is not sure,
// the table is, or everything. Not thread-safe.
class ChangeRecorder {
 public:
  explicit ChangeRecorder(sqlite::Database* database) : database_(database) {}

  // Notes what `entry` has changed; called right after it was run, in its transaction.
  // `parameterized` is null where it was run as text. The entry must stay until Clear(). Errors are
  // the connection's.
  absl::Status Add(const LedgerEntry& entry, const sql::ParameterizedStatement* parameterized);

  // All since the last Clear(). Valid until the next call of anything else.
  absl::Span<const Change> changes() const { return changes_; }

  // After the commit; `rolled_back`: instead of it.
  void Clear(bool rolled_back);

 private:
  // What is known of a table as it is now defined.
  struct Table {
    // Whether it has a name that a family's table has.
    bool has_name = false;
    TableName name;
    // Whether a statement with a value of the right kind for each key field changes that row only.
    bool has_keys = false;
    std::vector<Field> key_fields;
  };

  absl::StatusOr<const Table*> Find(absl::string_view sql_table);
  absl::Status Describe(const std::string& sql_table, Table* table);
  // Whether equal means the same bytes for the column, and its type is `declared`.
  absl::optional<FieldType> KeyTypeOf(const std::string& sql_table, const std::string& column,
                                      absl::string_view declared) const;
  bool AddKey(const LedgerEntry& entry, const Table& table,
              const sql::ParameterizedStatement& statement);
  void AddTable(int64_t sequence, const Table& table);
  absl::Span<ValueView> AllocateKey(size_t size);
  ValueView Keep(const ValueView& value, absl::string_view statement);
  void ForgetTables();

  sqlite::Database* const database_;
  // Changes point to these, also to those that are defined otherwise by now.
  absl::flat_hash_map<std::string, std::unique_ptr<Table>> tables_;
  std::vector<std::unique_ptr<Table>> former_tables_;

  std::vector<Change> changes_;
  // Each with room made before the first value is put in, so that keys stay where they are.
  std::vector<std::vector<ValueView>> key_values_;
  // Values that do not stand in their statement as they are.
  std::deque<std::string> decoded_;
};

}  // namespace ctlstore::ldb

#endif  // CTLSTORE_COMMON_LDB_CHANGE_RECORDER_H_
