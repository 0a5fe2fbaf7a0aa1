// Proves that a local database says the same as its ctldb, or says where it does not.

#ifndef CTLSTORE_CLI_VERIFY_VERIFIER_H_
#define CTLSTORE_CLI_VERIFY_VERIFIER_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "cli/verify/report.h"
#include "cli/verify/snapshots.h"
#include "common/base/clock.h"
#include "common/ctldb/connection.h"
#include "common/ctldb/target.h"

namespace ctlstore::cli {

class TableComparison;

// Compares the set of tables, their definitions, and every value of every row with its kind, while
// both databases are in use and without keeping anybody from writing. Table by table a state of
// each database is read (snapshots.h); the rows that the ledger names between the two states are
// left out at first and compared later, in states of their own, until none is left. A row that is
// changed all the time is compared with what the ledger makes of it, in both databases.
//
// Only reads. Memory is bounded by the options. Used once, by one thread.
class Verifier {
 public:
  struct Options {
    std::string ldb_path;
    ctldb::Target ctldb;
    ctldb::ConnectionOptions connection;
    // Restrict what is compared; empty for all. A table is one of the family.
    std::string family;
    std::string table;
    // How many rows that differ are kept in the report; all of them are counted.
    size_t max_differences = 100;
    // How long the LDB is waited for because it is behind the ctldb, or the ctldb because it is a
    // replica that is behind the LDB, all in all.
    absl::Duration max_wait = absl::Seconds(30);
    // How often what could not be compared is looked at again.
    int max_rounds = 100;
    // Of one table at most so many changed keys are kept in memory.
    size_t max_changed_keys = 100000;
    Clock* clock = Clock::Real();
  };

  explicit Verifier(Options options);

  // Differences are no error.
  //   NOT_FOUND            there is no LDB at the path, or no such family or table on either side.
  //   INVALID_ARGUMENT     the family's or table's name.
  //   FAILED_PRECONDITION  the file is no LDB, or does not keep the family that is asked for.
  //   DATA_LOSS            the LDB's file is damaged.
  //   UNAVAILABLE          one of the two cannot be read, or the ctldb's ledger does not reach the
  //                        LDB's position (LEDGER_BEHIND).
  absl::StatusOr<Report> Run();

 private:
  // A table of which not all is compared yet.
  struct Work {
    TableReport report;
    // All of it is still to be compared; otherwise the rows with these keys.
    bool all = true;
    Keys keys;
    // The ledger names each of them behind this position.
    int64_t keys_since = 0;
    bool done() const { return !all && keys.empty(); }
    // The table is in neither database, or is not in the ledger yet.
    bool nothing_there = false;
  };
  using Works = std::map<std::string, Work>;

  absl::Status ReadState();
  absl::Status ListTables();
  absl::Status CheckRestriction();
  bool Kept(const std::string& family) const;
  bool Asked(const TableName& name) const;
  absl::Status FirstRound();
  absl::Status LaterRounds();
  // In the pair of states that is open.
  absl::Status Compare(const std::string& sql_table, Work* work);
  absl::Status CompareRows(const std::string& sql_table, const Snapshots::Table& table, Work* work);
  absl::Status CompareKeys(const std::string& sql_table, const Snapshots::Table& table,
                           TableComparison* comparison, Work* work);
  // Whether what differs about the definitions is settled: then `*work` says how.
  bool DefinitionsAgree(const std::string& sql_table, const Snapshots::Table& table, Work* work);
  absl::Status Open(absl::Span<const std::string> sql_tables, bool wait, bool* open);

  const Options options_;
  Snapshots snapshots_;
  // Normalized.
  absl::optional<std::string> family_;
  absl::optional<TableName> table_;
  Works works_;
  Report report_;
  size_t differences_kept_ = 0;
};

}  // namespace ctlstore::cli

#endif  // CTLSTORE_CLI_VERIFY_VERIFIER_H_
