// Changes to tables that are all or nothing, on databases where each DDL statement commits by
// itself.

#ifndef CTLSTORE_COMMON_CTLDB_SCHEMA_CHANGER_H_
#define CTLSTORE_COMMON_CTLDB_SCHEMA_CHANGER_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "common/ctldb/connection_pool.h"
#include "common/schema/table_schema.h"

namespace ctlstore::ctldb {

// A change is first written down as an intent, which is the ledger statements that it will append,
// and committed. Then, under the ledger lock, its DDL is run on a second connection, made
// idempotent by looking at the catalog; then one transaction appends the statements to the ledger
// and removes the intent. Nobody can write to the ledger between the DDL and its entry, because the
// lock is held. A process that dies anywhere leaves either nothing, or an intent that the next one
// to take the ledger lock completes. DDL that the database refuses, for good or because others use
// the table for longer than the lock timeout, is undone together with its intent: nothing is left
// that keeps writers waiting. Where DDL is transactional (SQLite) all of it is one transaction and
// no intent is left.
//
// DDL is run under the DDL lock (dialect.h) and only while its intent is there. So an executive
// that was stopped, or whose statement still waits in the database, changes nothing any more when
// others have completed its intent: it never drops a table that was created again meanwhile.
//
// Thread-safe: changes of one SchemaChanger wait for one another. Holds two of the pool's
// connections during a change (one where DDL is transactional), so it must not be called by who
// holds one.
class SchemaChanger {
 public:
  // Called at named points of a change, for tests that die there: an error return leaves the change
  // as a crash at that point would. Points, in order: "before_intent", "after_intent", "before_ddl"
  // and "after_ddl" for each statement, "before_commit", "after_commit".
  using FaultPoint = std::function<absl::Status(absl::string_view point)>;

  explicit SchemaChanger(ConnectionPool* pool, FaultPoint fault_point = nullptr);

  // Creates the tables, all of them or none. Those that exist with the same definition are left as
  // they are. Returns the ledger sequence of the change, 0 where all existed.
  //   NOT_FOUND (FAMILY_NOT_FOUND), ALREADY_EXISTS (TABLE_DIFFERS) with the difference,
  //   INVALID_ARGUMENT (INVALID_SCHEMA) where the database cannot hold such a table.
  //
  // Of this and the changes below: UNAVAILABLE (OUTCOME_UNKNOWN) where the change was written down,
  // but the database could not be reached until `deadline` to see to its end.
  absl::StatusOr<int64_t> CreateTables(absl::Span<const TableSchema> tables, absl::Time deadline);

  // Adds the fields to the table, all of them or none; see TableSchema::WithFields().
  absl::StatusOr<int64_t> AddFields(const TableName& table, absl::Span<const Field> fields,
                                    absl::Time deadline);

  // Drops the table, which may hold rows. Returns the ledger sequence.
  //   NOT_FOUND (FAMILY_NOT_FOUND, TABLE_NOT_FOUND).
  //   UNAVAILABLE (CTLDB_BUSY)  others use the table, and nothing was changed.
  absl::StatusOr<int64_t> DropTable(const TableName& table, absl::Time deadline);

  // Completes or undoes what an executive that died has left. To be called at start, and whenever
  // LedgerTransaction::schema_change_pending().
  absl::Status CompletePending(absl::Time deadline);

 private:
  class Change;
  struct Progress;
  // Looks at the tables as they are and returns the ledger statements of what is still to be
  // changed.
  using Plan = absl::FunctionRef<absl::StatusOr<std::vector<std::string>>(Connection* connection)>;

  // Carries out what `plan` returns; returns its ledger sequence, 0 where that was nothing.
  absl::StatusOr<int64_t> Carry(Plan plan, absl::Time deadline);
  // Calls `work` with the connections for it, while no other change of this object is under way.
  absl::Status WithChange(absl::Time deadline, absl::FunctionRef<absl::Status(Change&)> work);
  // Waits until no other change of this object is under way, and keeps others waiting.
  absl::Status TakeTurn(absl::Time deadline);
  void GiveTurn();

  ConnectionPool* const pool_;
  const FaultPoint fault_point_;
  absl::Mutex mutex_;
  bool changing_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace ctlstore::ctldb

#endif  // CTLSTORE_COMMON_CTLDB_SCHEMA_CHANGER_H_
