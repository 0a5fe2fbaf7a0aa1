// Takes old entries out of the ledger's beginning.

#ifndef CTLSTORE_COMMON_CTLDB_LEDGER_PRUNING_H_
#define CTLSTORE_COMMON_CTLDB_LEDGER_PRUNING_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/base/file_lock.h"
#include "common/ctldb/connection.h"
#include "common/schema/ledger_entry.h"

namespace ctlstore::ctldb {

// Held by the one who prunes a ctldb's ledger: of all executives, on all machines, one at a time.
// In MariaDB it belongs to the connection and goes with it, so that who has lost it cannot remove
// anything over that connection any more; on SQLite it is the file `<path>.prune.lock`. In neither
// case is it in the way of anybody else. Nothing is damaged where there are two all the same (a
// cluster of servers has such a lock on each of them): what one has removed is gone for the other.
class PruneLock {
 public:
  // UNAVAILABLE (CTLDB_BUSY) at once where another holds it. The connection must outlive it.
  static absl::StatusOr<std::unique_ptr<PruneLock>> Take(const Target& target,
                                                         Connection* connection);
  ~PruneLock();
  PruneLock(const PruneLock&) = delete;
  PruneLock& operator=(const PruneLock&) = delete;

 private:
  PruneLock(Connection* connection, std::unique_ptr<FileLock> file)
      : connection_(connection), file_(std::move(file)) {}

  Connection* const connection_;
  // Null where the database keeps the lock.
  const std::unique_ptr<FileLock> file_;
};

// The sequences of the ledger's first and last entry; 0 for an empty ledger.
struct LedgerBounds {
  int64_t first = 0;
  int64_t last = 0;
};
absl::StatusOr<LedgerBounds> ReadLedgerBounds(Connection* connection);

// nullopt where there is no entry with this sequence.
absl::StatusOr<absl::optional<LedgerEntry>> ReadLedgerEntry(Connection* connection,
                                                            int64_t sequence);

// May be called often; empty for never. What it ends returns CANCELLED.
using Cancelled = std::function<bool()>;

// A sequence whose entry is from before `before` and the next one's is not; 0 where the first entry
// is not from before. Found by bisection, so where times are not in the order of sequences (a clock
// was set), there may be younger entries before it: FindFirstYoung() tells.
absl::StatusOr<int64_t> FindOldThrough(Connection* connection, const LedgerBounds& bounds,
                                       absl::Time before);

// The first entry from `first` to `through` that is not from before `before`; nullopt where all
// are. Looks at each of them.
absl::StatusOr<absl::optional<int64_t>> FindFirstYoung(Connection* connection, int64_t first,
                                                       int64_t through, absl::Time before,
                                                       const Cancelled& cancelled);

// The last entry from `first` to `through` that ends a ledger transaction, where `first` begins
// one; 0 where none does.
absl::StatusOr<int64_t> FindTransactionEnd(Connection* connection, int64_t first, int64_t through,
                                           const Cancelled& cancelled);

// How many entries there are from `first` to `through`.
absl::StatusOr<int64_t> CountEntries(Connection* connection, int64_t first, int64_t through,
                                     const Cancelled& cancelled);

struct RemovedBatch {
  // Nothing is left up to here; 0 where there was nothing to remove.
  int64_t through = 0;
  int64_t entries = 0;
};

// Removes whole ledger transactions from `first` on, which begins one, and not behind `through`: up
// to about `max_entries` and `max_bytes` of statements, but at least one. Never removes the
// ledger's last entry.
//
// A short transaction by itself, without the ledger lock. In MariaDB it locks old rows only, which
// nobody else writes, and not the gaps between rows, into the last of which entries are appended;
// so nobody waits for it. On SQLite writers wait their turn for as long as it takes.
//   UNAVAILABLE  as all statements; also OUTCOME_UNKNOWN, when it may have been done.
absl::StatusOr<RemovedBatch> RemoveBatch(Connection* connection, int64_t first, int64_t through,
                                         size_t max_entries, size_t max_bytes);

}  // namespace ctlstore::ctldb

#endif  // CTLSTORE_COMMON_CTLDB_LEDGER_PRUNING_H_
