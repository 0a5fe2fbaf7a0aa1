// A transaction that changes the ctldb and appends to its ledger.

#ifndef CTLSTORE_COMMON_CTLDB_LEDGER_TRANSACTION_H_
#define CTLSTORE_COMMON_CTLDB_LEDGER_TRANSACTION_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "common/ctldb/connection.h"
#include "common/schema/table_schema.h"
#include "common/schema/value.h"

namespace ctlstore::ctldb {

// Holds the ledger lock (a row lock on `locks`, id `ledger`) from its beginning to its end, so that
// ledger transactions follow one another: sequences are chosen under the lock as the last one plus
// one, have no gaps, and become visible in their order.
//
// Changes are gathered and sent together, by Flush() or Commit() at the latest: few round trips for
// many rows. Changes of one table keep their order; those of different tables need not. What the
// database refuses is therefore found out at Flush(). Nothing that is given has to outlive its
// call. How much is gathered before it is sent is the caller's affair.
//
// After an error nothing more is taken or sent, and Flush() and Commit() repeat the error, until
// RollbackToSavepoint() leads back to before it. Where the database lost the whole transaction
// (connection->in_transaction() is false), nothing leads back: UNAVAILABLE.
//
// Rolls back when destroyed before Commit(). Not thread-safe; the connection must outlive it and is
// used by others meanwhile only where they know of this transaction and have flushed it.
class LedgerTransaction {
 public:
  // Waits for the ledger lock at most the connection's lock timeout: UNAVAILABLE (CTLDB_BUSY).
  // UNAVAILABLE (CTLDB_UNAVAILABLE) where the ctldb is being restored (restore_mark.h).
  static absl::StatusOr<LedgerTransaction> Begin(Connection* connection);

  LedgerTransaction(LedgerTransaction&& other) noexcept;
  LedgerTransaction& operator=(LedgerTransaction&&) = delete;
  ~LedgerTransaction();

  // The ledger's last sequence, including what this transaction has appended; 0 for an empty
  // ledger.
  int64_t last_sequence() const { return state_.last_sequence; }

  // Whether a schema change was begun that did not come to its end (schema_changer.h). Such a
  // change must be completed before anything else is written.
  bool schema_change_pending() const { return schema_change_pending_; }

  // Counts the changes of tables that executives have made (and not those of a Go executive): two
  // transactions that see the same version see the same tables. 0 where none was made.
  int64_t schema_version() const { return state_.schema_version; }

  // Counts the schema version up. To be called by whoever changes tables.
  absl::Status CountSchemaChange();

  // Inserts a row or replaces the one with the same key. `row` has a value for each field in table
  // order and has passed CheckValue.
  void Upsert(const TableSchema& schema, absl::Span<const ValueView> row);

  // Deletes the row with this key, if there is one. `key` is in key order.
  void Delete(const TableSchema& schema, absl::Span<const ValueView> key);

  // Appends one ledger transaction: the statements, between markers where there are several.
  // Returns its last sequence.
  int64_t Append(absl::Span<const std::string> statements);

  // Sends what was gathered; the errors of Connection::ExecuteMany().
  absl::Status Flush();

  // Flush(), and a state to come back to, in place of an earlier one.
  absl::Status SetSavepoint();

  // Forgets all since the savepoint, gathered or sent, its sequences and its errors. Can be called
  // any number of times. UNAVAILABLE where the whole transaction is lost.
  absl::Status RollbackToSavepoint();

  // Flush(), and the end. Errors as both.
  absl::Status Commit();

 private:
  // Consecutive changes of one table by the same statement.
  struct Run {
    std::string sql;
    size_t row_size = 0;
    std::vector<Value> values;  // row after row
  };
  // What a savepoint leads back to.
  struct State {
    int64_t last_sequence = 0;
    int64_t schema_version = 0;
  };

  explicit LedgerTransaction(Connection* connection) : connection_(connection) {}

  void Gather(const TableSchema& schema, std::string sql, size_t row_size,
              absl::Span<const ValueView> row);
  absl::Status Send();
  absl::Status SendRun(const Run& run);
  void ForgetGathered();

  Connection* connection_;  // null when moved from or ended
  State state_;
  State savepoint_;
  bool schema_change_pending_ = false;
  absl::Status failed_;
  // Runs by table, each table's in their order.
  std::map<std::string, std::vector<Run>> changes_;
  // The ledger entries that were not sent yet: the last ones before state_.last_sequence.
  std::vector<std::string> entries_;
};

}  // namespace ctlstore::ctldb

#endif  // CTLSTORE_COMMON_CTLDB_LEDGER_TRANSACTION_H_
