// What the ledger says of the time between two positions.

#ifndef CTLSTORE_CLI_VERIFY_LEDGER_CHANGES_H_
#define CTLSTORE_CLI_VERIFY_LEDGER_CHANGES_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/optional.h"
#include "cli/verify/table_definition.h"
#include "common/ctldb/connection.h"
#include "common/schema/value.h"

namespace ctlstore::cli {

// Keys of one table, by their bytes as AppendOrdered() makes them.
using Keys = absl::flat_hash_map<std::string, std::vector<Value>>;

struct TableChanges {
  // The table was created, dropped or got fields, or it cannot be told whether it was.
  bool definition = false;
  // Any of its rows may have changed: it was cleared, or the keys are too many or cannot be told.
  bool all_rows = false;
  // Otherwise, the keys of the rows that were written or deleted.
  Keys keys;
};

// By the tables' names in the database.
using LedgerChanges = std::map<std::string, TableChanges>;

struct LedgerRange {
  // The rows' changes are those of the entries after `first` up to `last`, the definitions' those
  // of the entries after `first` up to the ledger's end.
  int64_t first = 0;
  int64_t last = 0;
};

// Reads the entries that `connection` sees. `*changes` has the tables that are wanted; `keys` gives
// for each the definition by which its keys are read, null where there is none. Where the entries
// after `range.first` are not in the ledger any more, anything may have changed. Of one table at
// most `max_keys` keys are kept.
absl::Status ReadLedgerChanges(ctldb::Connection* connection, const LedgerRange& range,
                               const std::map<std::string, const TableDefinition*>& definitions,
                               size_t max_keys, LedgerChanges* changes);

// What the ledger makes of a row.
struct LedgerRow {
  // Not where values would be converted in a way that is the databases' affair, or are too large to
  // be kept.
  bool known = false;
  // In the order of the definition's columns; nullopt where the row is deleted.
  absl::optional<std::vector<Value>> values;
};

// What the entries after `first` up to `last` leave of the rows with these keys, by the keys'
// bytes. A key that none of them names is not among them; none is, where an entry concerns the
// whole table or may do so. At most about `max_bytes` are kept.
absl::StatusOr<absl::flat_hash_map<std::string, LedgerRow>> ReadLedgerRows(
    ctldb::Connection* connection, const LedgerRange& range, const std::string& sql_table,
    const TableDefinition& definition, const Keys& keys, size_t max_bytes);

// What schema changes that were begun and are not in the ledger yet may have done already.
struct PendingSchemaChanges {
  // Tables' names in the database.
  std::set<std::string> created;
  std::set<std::string> dropped;
  std::map<std::string, std::set<std::string>> added_columns;
  // There is one of which it cannot be told what it does.
  bool unknown = false;
};

// As `connection` sees it.
absl::StatusOr<PendingSchemaChanges> ReadPendingSchemaChanges(ctldb::Connection* connection);

// The ledger's last sequence; 0 for an empty one. UNAVAILABLE where no executive has set the ctldb
// up yet.
absl::StatusOr<int64_t> LastSequence(ctldb::Connection* connection);

}  // namespace ctlstore::cli

#endif  // CTLSTORE_CLI_VERIFY_LEDGER_CHANGES_H_
