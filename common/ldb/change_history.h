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
// (docs/formats.md). Where a commit has too many changes to be kept, or they cannot be told, the
// history begins anew behind it. Not thread-safe.
class ChangeHistoryWriter {
 public:
  // Keeps about `max_bytes`; 0 for none. The connection must outlive it.
  ChangeHistoryWriter(sqlite::Database* database, int64_t max_bytes);
  ~ChangeHistoryWriter();
  ChangeHistoryWriter(const ChangeHistoryWriter&) = delete;
  ChangeHistoryWriter& operator=(const ChangeHistoryWriter&) = delete;

  // Once, before the first Add(), in a transaction: makes the table where it is not there, and
  // begins the history anew where it does not reach to `applied_sequence`, because another program
  // has written the local database meanwhile.
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

  // The sequence after which all changes are kept; nullopt where none are.
  absl::StatusOr<absl::optional<int64_t>> Begin();

  // As Snapshot::ReadChanges(), in the caller's transaction.
  absl::StatusOr<std::vector<ChangeEvent>> Read(int64_t sequence, size_t max_changes,
                                                int64_t* reached);

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace ctlstore::ldb

#endif  // CTLSTORE_COMMON_LDB_CHANGE_HISTORY_H_
