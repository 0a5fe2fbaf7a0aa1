// Whether a ledger says the same as the tables that it stands beside.

#ifndef CTLSTORE_EXECUTIVE_TESTING_LEDGER_COMPARISON_H_
#define CTLSTORE_EXECUTIVE_TESTING_LEDGER_COMPARISON_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/ctldb/connection.h"
#include "common/schema/ledger_entry.h"

namespace ctlstore::executive {

// All entries of the ledger, in order.
absl::StatusOr<std::vector<LedgerEntry>> ReadLedger(ctldb::Connection* connection);

// Plays the ledger's text into an empty SQLite database, as a host would, and compares every table
// there with the ctldb's, definitions and rows. FAILED_PRECONDITION says where they differ, or
// where the ledger itself is not as it must be: sequences from 1 without a gap, markers in pairs.
absl::Status CompareLedgerWithTables(ctldb::Connection* connection);

}  // namespace ctlstore::executive

#endif  // CTLSTORE_EXECUTIVE_TESTING_LEDGER_COMPARISON_H_
