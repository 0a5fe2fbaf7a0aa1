// What the local database says of itself: its writer's side of the tables in ldb_tables.h.

#ifndef CTLSTORE_COMMON_LDB_LDB_STATE_H_
#define CTLSTORE_COMMON_LDB_LDB_STATE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/schema/ledger_entry.h"
#include "common/schema/ledger_position.h"
#include "common/sqlite/database.h"

namespace ctlstore::ldb {

// The position, the identity, the families and the skipped entries of one local database, over one
// connection, which must outlive it. Not thread-safe.
class LdbState {
 public:
  // Makes what is missing of the tables. `families` are sorted; FAILED_PRECONDITION
  // (FAMILIES_DIFFER) where the database was made for others.
  static absl::StatusOr<std::unique_ptr<LdbState>> Open(sqlite::Database* database,
                                                        const std::vector<std::string>& families);

  const std::string& identity() const { return identity_; }

  // The digest is empty where another program has written the position last.
  absl::StatusOr<LedgerPosition> ReadPosition();
  absl::StatusOr<int64_t> ReadSequence();

  // To be called in the transaction that applies `last`, and what was before it; returns the
  // position after it. An entry that has no time leaves the time of the one before.
  absl::StatusOr<LedgerPosition> WritePosition(const LedgerEntry& last);

  // To be called in the transaction that goes over the entry.
  absl::Status AddSkipped(int64_t sequence, absl::Time time, absl::string_view error);
  absl::StatusOr<int64_t> CountSkipped();

 private:
  explicit LdbState(sqlite::Database* database) : database_(database) {}
  absl::Status MakeTables();
  absl::Status SettleIdentity();
  absl::Status SettleFamilies(const std::vector<std::string>& families);
  absl::Status Prepare();

  // NULL where there is no such row.
  absl::StatusOr<Value> ReadState(absl::string_view name);
  absl::Status WriteState(absl::string_view name, const ValueView& value);

  sqlite::Database* const database_;
  std::string identity_;
  std::unique_ptr<sqlite::Statement> read_sequence_;
  std::unique_ptr<sqlite::Statement> write_sequence_;
  std::unique_ptr<sqlite::Statement> write_last_update_;
  std::unique_ptr<sqlite::Statement> read_state_;
  std::unique_ptr<sqlite::Statement> write_position_state_;
};

}  // namespace ctlstore::ldb

#endif  // CTLSTORE_COMMON_LDB_LDB_STATE_H_
