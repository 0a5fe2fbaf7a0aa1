#include "executive/commit_outcome.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "common/base/backoff.h"
#include "common/ctldb/ledger_reader.h"
#include "common/ctldb/ledger_transaction.h"
#include "common/schema/ledger_entry.h"
#include "executive/retries.h"

namespace ctlstore::executive {
namespace {

// The ledger's entries that appending makes.
std::vector<absl::string_view> EntriesOf(absl::Span<const AppendedStatements> appended) {
  std::vector<absl::string_view> entries;
  for (const AppendedStatements statements : appended) {
    if (statements.size() > 1) entries.push_back(kBeginMarker);
    entries.insert(entries.end(), statements.begin(), statements.end());
    if (statements.size() > 1) entries.push_back(kCommitMarker);
  }
  return entries;
}

}  // namespace

absl::StatusOr<bool> FindCommitOutcome(ctldb::ConnectionPool* pool, const ctldb::Target& target,
                                       const ctldb::ConnectionOptions& options, int64_t before,
                                       absl::Span<const AppendedStatements> appended,
                                       absl::Time until) {
  const std::vector<absl::string_view> expected = EntriesOf(appended);
  const auto look = [&]() -> absl::StatusOr<bool> {
    absl::StatusOr<ctldb::ConnectionPool::Lease> lease = pool->Acquire(until);
    if (!lease.ok()) return lease.status();
    // The lost connection's transaction may still be going on in the database. It holds the ledger
    // lock to its end, so with the lock its outcome is known.
    absl::StatusOr<ctldb::LedgerTransaction> transaction =
        ctldb::LedgerTransaction::Begin(lease->get());
    if (!transaction.ok()) return transaction.status();
    if (transaction->last_sequence() <= before) return false;
    ctldb::LedgerReader reader(target, options);
    absl::StatusOr<ctldb::LedgerReader::Result> read =
        reader.ReadAfter({before, ""}, expected.size(), std::numeric_limits<size_t>::max());
    if (!read.ok()) return read.status();
    return std::equal(read->entries.begin(), read->entries.end(), expected.begin(), expected.end(),
                      [](const LedgerEntry& entry, absl::string_view statement) {
                        return entry.statement == statement;
                      });
  };
  Backoff backoff(kFirstRetryWait, kMaxRetryWait);
  while (true) {
    absl::StatusOr<bool> committed = look();
    if (committed.ok()) return committed;
    const absl::Duration wait = backoff.Next();
    if (absl::Now() + wait >= until) return committed;
    absl::SleepFor(wait);
  }
}

}  // namespace ctlstore::executive
