// What tests of the ledger's stream have in common.

#ifndef CTLSTORE_EXECUTIVE_TESTING_LEDGER_TEST_UTIL_H_
#define CTLSTORE_EXECUTIVE_TESTING_LEDGER_TEST_UTIL_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/ctldb/connection.h"
#include "common/schema/ledger_entry.h"

namespace ctlstore::executive {

// Commits the statements as one ledger transaction, as an executive does. Returns its last
// sequence. Ends the process where that fails.
int64_t AppendToLedger(ctldb::Connection* connection, const std::vector<std::string>& statements);

// A statement of so many bytes, another one for each number.
std::string StatementOf(int64_t number, size_t bytes = 40);

// Equal in all that a host sees of them.
bool Same(const LedgerEntry& a, const LedgerEntry& b);

// What of `ledger` follows a sequence.
std::vector<LedgerEntry> EntriesBehind(const std::vector<LedgerEntry>& ledger, int64_t sequence);

// Where two lists differ; empty where they do not.
std::string Difference(const std::vector<LedgerEntry>& expected,
                       const std::vector<LedgerEntry>& found);

// Whether it became true within a minute.
bool Eventually(const std::function<bool()>& condition);

}  // namespace ctlstore::executive

#endif  // CTLSTORE_EXECUTIVE_TESTING_LEDGER_TEST_UTIL_H_
