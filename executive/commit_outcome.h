// What became of a commit whose answer was lost.

#ifndef CTLSTORE_EXECUTIVE_COMMIT_OUTCOME_H_
#define CTLSTORE_EXECUTIVE_COMMIT_OUTCOME_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "common/ctldb/connection.h"
#include "common/ctldb/connection_pool.h"
#include "common/ctldb/target.h"

namespace ctlstore::executive {

// The statements that one LedgerTransaction::Append() was given.
using AppendedStatements = absl::Span<const std::string>;

// After a commit with OUTCOME_UNKNOWN: whether the ledger has what the transaction has appended,
// right behind `before`, which was its last sequence when the transaction began. Waits until the
// lost connection's transaction is over in the database, which it is when the ledger lock can be
// had. An error, where that cannot be found out until `until`, is the last one met. Not to be
// called by who holds a connection of the pool.
absl::StatusOr<bool> FindCommitOutcome(ctldb::ConnectionPool* pool, const ctldb::Target& target,
                                       const ctldb::ConnectionOptions& options, int64_t before,
                                       absl::Span<const AppendedStatements> appended,
                                       absl::Time until);

}  // namespace ctlstore::executive

#endif  // CTLSTORE_EXECUTIVE_COMMIT_OUTCOME_H_
