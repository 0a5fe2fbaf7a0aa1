// The last changes of a local database, kept in itself, so that they survive a restart and can be
// read by any process, in the same transaction as the rows.

#ifndef CTLSTORE_COMMON_LDB_CHANGE_HISTORY_H_
#define CTLSTORE_COMMON_LDB_CHANGE_HISTORY_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/optional.h"
#include "absl/types/span.h"
#include "common/ldb/changes.h"
#include "common/sqlite/database.h"

namespace ctlstore::ldb {

// Writes the history in the writer's transactions: one row for each commit that changes anything
// (docs/formats.md). A commit that would take more than a quarter of the room names its tables
// only. Where what has changed cannot be told, the history begins anew behind it. Not thread-safe.
class ChangeHistoryWriter {
 public:
  // Keeps about `max_bytes`, of which what is over goes a little at a time; 0 for none. The
  // connection must outlive it.
  ChangeHistoryWriter(sqlite::Database* database, int64_t max_bytes);
  ~ChangeHistoryWriter();
  ChangeHistoryWriter(const ChangeHistoryWriter&) = delete;
  ChangeHistoryWriter& operator=(const ChangeHistoryWriter&) = delete;

  // In each transaction before its Add(): makes the table where it is not there, and begins the
  // history anew where it does not end at `applied_sequence`, because another program has written
  // the local database meanwhile. Costs nothing where there is nothing to do.
  absl::Status Attach(int64_t applied_sequence);

  // In the transaction that makes the changes, before its commit. `applied_sequence` is the
  // position that is committed with it. Errors are the connection's; then the transaction is rolled
  // back, and RolledBack() told.
  absl::Status Add(absl::Span<const Change> changes, int64_t applied_sequence);
  void RolledBack();

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

// Reads it, over a read-only connection. Not thread-safe.
class ChangeHistoryReader {
 public:
  // The connection must outlive it.
  explicit ChangeHistoryReader(sqlite::Database* database);
  ~ChangeHistoryReader();
  ChangeHistoryReader(const ChangeHistoryReader&) = delete;
  ChangeHistoryReader& operator=(const ChangeHistoryReader&) = delete;

  // The sequence after which all changes are kept; nullopt where none are, or where another program
  // has written the local database since.
  absl::StatusOr<absl::optional<int64_t>> Begin();

  // What the ledger entries after `sequence` have changed, in ledger order, up to the transaction's
  // state, or up to about `max_changes`, and at least one entry's; `*reached` receives the sequence
  // up to which that is all. The caller has begun a read transaction. OUT_OF_RANGE (CHANGES_GONE)
  // where changes after `sequence` are not kept any more, or never were, or `sequence` is not
  // reached yet. DATA_LOSS where what is stored is damaged; other errors are the connection's.
  absl::StatusOr<std::vector<ChangeEvent>> Read(int64_t sequence, size_t max_changes,
                                                int64_t* reached);

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace ctlstore::ldb

#endif  // CTLSTORE_COMMON_LDB_CHANGE_HISTORY_H_
