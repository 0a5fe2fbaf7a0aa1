// The local database that a ctldb is restored from.

#ifndef CTLSTORE_CLI_RESTORE_RESTORE_SOURCE_H_
#define CTLSTORE_CLI_RESTORE_RESTORE_SOURCE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "common/ldb/table_definition.h"
#include "common/schema/table_schema.h"
#include "common/schema/value.h"
#include "common/sqlite/database.h"

namespace ctlstore::cli {

// One state of an LDB, held while this lives: who writes the LDB goes on, and cannot empty the WAL
// meanwhile. Only reads. Not thread-safe.
class RestoreSource {
 public:
  struct Table {
    // In the database.
    std::string sql_name;
    // As the file says, and what an executive would take for it.
    ldb::TableDefinition definition;
    TableSchema schema;
  };

  //   NOT_FOUND            there is no file at the path.
  //   FAILED_PRECONDITION  it is no LDB, holds some families only, has skipped ledger entries, has
  //                        no position yet, or has a table that no executive would make.
  //   DATA_LOSS            the file is damaged.
  //   UNAVAILABLE          it cannot be read.
  static absl::StatusOr<std::unique_ptr<RestoreSource>> Open(const std::string& path);

  // The last applied entry.
  int64_t sequence() const { return sequence_; }
  // By family and name.
  const std::vector<Table>& tables() const { return tables_; }
  // Sorted; those that have a table.
  std::vector<std::string> families() const;

  // In the transaction that holds the state.
  sqlite::Database* database() const { return database_.get(); }

  // The rows in the order of their keys, with a value for each field. FAILED_PRECONDITION for a
  // value that no ctldb can hold exactly: says where. `visit`'s errors are returned as they are.
  absl::Status ReadRows(
      const Table& table,
      absl::FunctionRef<absl::Status(absl::Span<const ValueView> row)> visit) const;

 private:
  RestoreSource() = default;
  absl::Status ReadState(const std::string& path);
  absl::Status ReadTables();

  std::unique_ptr<sqlite::Database> database_;
  int64_t sequence_ = 0;
  std::vector<Table> tables_;
};

}  // namespace ctlstore::cli

#endif  // CTLSTORE_CLI_RESTORE_RESTORE_SOURCE_H_
