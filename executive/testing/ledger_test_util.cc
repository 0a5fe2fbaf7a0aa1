#include "executive/testing/ledger_test_util.h"

#include <glog/logging.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/ctldb/ledger_transaction.h"

namespace ctlstore::executive {

int64_t AppendToLedger(ctldb::Connection* connection, const std::vector<std::string>& statements) {
  absl::StatusOr<ctldb::LedgerTransaction> transaction =
      ctldb::LedgerTransaction::Begin(connection);
  CHECK(transaction.ok()) << transaction.status();
  const int64_t sequence = transaction->Append(statements);
  const absl::Status committed = transaction->Commit();
  CHECK(committed.ok()) << committed;
  return sequence;
}

std::string StatementOf(int64_t number, size_t bytes) {
  std::string statement = absl::StrCat("DELETE FROM fam___rows WHERE \"id\" = ", number, " -- ");
  statement.resize(std::max(bytes, statement.size()), 'x');
  return statement;
}

bool Same(const LedgerEntry& a, const LedgerEntry& b) {
  return a.sequence == b.sequence && a.leader_time == b.leader_time && a.statement == b.statement;
}

std::vector<LedgerEntry> EntriesBehind(const std::vector<LedgerEntry>& ledger, int64_t sequence) {
  std::vector<LedgerEntry> entries;
  for (const LedgerEntry& entry : ledger) {
    if (entry.sequence > sequence) entries.push_back(entry);
  }
  return entries;
}

std::string Difference(const std::vector<LedgerEntry>& expected,
                       const std::vector<LedgerEntry>& found) {
  for (size_t i = 0; i < std::min(expected.size(), found.size()); ++i) {
    if (Same(expected[i], found[i])) continue;
    return absl::StrCat("entry ", i, ": expected ", expected[i].sequence, " ",
                        expected[i].statement.substr(0, 60), ", found ", found[i].sequence, " ",
                        found[i].statement.substr(0, 60));
  }
  if (expected.size() == found.size()) return "";
  return absl::StrCat("expected ", expected.size(), " entries, found ", found.size());
}

bool Eventually(const std::function<bool()>& condition) {
  const absl::Time deadline = absl::Now() + absl::Minutes(1);
  while (!condition()) {
    if (absl::Now() >= deadline) return false;
    absl::SleepFor(absl::Milliseconds(2));
  }
  return true;
}

}  // namespace ctlstore::executive
