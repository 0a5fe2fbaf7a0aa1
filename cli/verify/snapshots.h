// A state of the LDB and one of the ctldb, and what lies between them.

#ifndef CTLSTORE_CLI_VERIFY_SNAPSHOTS_H_
#define CTLSTORE_CLI_VERIFY_SNAPSHOTS_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "absl/types/span.h"
#include "cli/verify/ledger_changes.h"
#include "cli/verify/table_definition.h"
#include "common/base/clock.h"
#include "common/ctldb/connection.h"
#include "common/ctldb/target.h"
#include "common/sqlite/database.h"

namespace ctlstore::cli {

// The LDB's state is the one after ledger position P, the ctldb's the one after Q. A row that no
// entry between P and Q names must be the same in both; so must a table's definition, where no
// entry behind P and no schema change under way touches it. MariaDB's catalog has no states of
// its own: a table is therefore first pinned (who has read it in a transaction keeps others from
// changing its definition), then its definition is read, and only then the ledger's end.
//
// While a pair is open, the LDB's WAL cannot be emptied and the pinned tables cannot be changed in
// their definition; writes go on. Not thread-safe.
class Snapshots {
 public:
  struct Options {
    std::string ldb_path;
    ctldb::Target ctldb;
    ctldb::ConnectionOptions connection;
    // How long one side is waited for because it is behind the other one, all in all.
    absl::Duration max_wait = absl::Seconds(30);
    // Of one table at most so many changed keys are kept in memory.
    size_t max_keys = 100000;
    // The bytes of the ledger's statements about such keys that are kept.
    size_t max_statement_bytes = size_t{64} << 20;
    Clock* clock = Clock::Real();
  };

  struct Table {
    // nullopt where there is no such table.
    absl::optional<TableDefinition> ctldb;
    absl::optional<TableDefinition> ldb;
    TableChanges changes;
  };

  explicit Snapshots(Options options);
  ~Snapshots();
  Snapshots(const Snapshots&) = delete;
  Snapshots& operator=(const Snapshots&) = delete;

  // Begins a pair, in place of the one that is open, in which these tables can be compared. With
  // `wait` the LDB is given time to reach the ctldb, so that little lies between the two.
  //   NOT_FOUND            there is no file at the LDB's path.
  //   FAILED_PRECONDITION  the file is no LDB.
  //   DATA_LOSS            the file is damaged.
  //   UNAVAILABLE          LEDGER_BEHIND: the ledger does not reach the LDB's position, although it
  //                        was waited for. CTLDB_BUSY: a table was changed just now; try again.
  //                        Otherwise one of the two cannot be read.
  absl::Status Begin(absl::Span<const std::string> sql_tables, bool wait);
  void End();

  // Of the open pair.
  int64_t ldb_sequence() const { return ldb_sequence_; }
  int64_t ctldb_sequence() const { return ctldb_sequence_; }
  sqlite::Database* ldb() const { return ldb_.get(); }
  ctldb::Connection* ctldb() const { return rows_.get(); }
  const Table& table(const std::string& sql_table) const { return tables_.at(sql_table); }
  const PendingSchemaChanges& pending() const { return pending_; }
  // Whether the ledger's entry at the LDB's position has this digest (ledger_position.h).
  absl::StatusOr<bool> LedgerHas(int64_t sequence, absl::string_view digest);

  // ReadLedgerRows() of the ledger that reaches to both states.
  absl::StatusOr<absl::flat_hash_map<std::string, LedgerRow>> LedgerRows(
      const std::string& sql_table, const LedgerRange& range, const Keys& keys);

  // Whether the LDB was waited for as long as it may be.
  bool waited_enough() const { return ldb_wait_left_ <= absl::ZeroDuration(); }

 private:
  absl::Status Connect();
  absl::Status BeginLdb();
  absl::Status WaitForLdb();
  absl::Status Pin(const std::string& sql_table, Table* table);
  absl::Status BeginLedger();
  absl::Status ReadBetween();
  void Sleep(absl::Duration* pause, absl::Duration* left);

  const Options options_;
  // Reads the tables.
  std::unique_ptr<ctldb::Connection> rows_;
  // Reads the ledger as it is after the definitions were read.
  std::unique_ptr<ctldb::Connection> ledger_;
  std::unique_ptr<sqlite::Database> ldb_;
  int64_t ldb_sequence_ = 0;
  int64_t ctldb_sequence_ = 0;
  std::map<std::string, Table> tables_;
  PendingSchemaChanges pending_;
  absl::Duration ldb_wait_left_;
  absl::Duration ctldb_wait_left_;
  absl::Notification never_;
};

}  // namespace ctlstore::cli

#endif  // CTLSTORE_CLI_VERIFY_SNAPSHOTS_H_
