// Where the transactions of a ledger end.

#ifndef CTLSTORE_COMMON_LDB_TRANSACTION_SPLITTER_H_
#define CTLSTORE_COMMON_LDB_TRANSACTION_SPLITTER_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/container/btree_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/optional.h"
#include "absl/types/span.h"
#include "common/schema/ledger_entry.h"

namespace ctlstore::ldb {

// Cuts entries into ledger transactions, and keeps those that wait for their transaction's end.
// First entries are put behind those that wait (Take()), then transaction after transaction is
// asked for, then what is left is kept (Keep()). Not thread-safe.
class TransactionSplitter {
 public:
  // A ledger transaction that is still without its end at `max_open_bytes` is given up.
  explicit TransactionSplitter(size_t max_open_bytes) : max_open_bytes_(max_open_bytes) {}

  // What waits, and then `entries`, which must stay until Keep() or Forget().
  void Take(absl::Span<const LedgerEntry> entries) { entries_ = entries; }
  size_t size() const { return waiting_.size() + entries_.size(); }
  const LedgerEntry& operator[](size_t i) const {
    return i < waiting_.size() ? waiting_[i] : entries_[i - waiting_.size()];
  }

  // The position behind the ledger transaction that begins with entry `begin`; an entry without
  // markers around it is one. nullopt where its end is not there. INVALID_ARGUMENT where the
  // markers do not fit; then `*failed` is the entry.
  absl::StatusOr<absl::optional<size_t>> End(size_t begin, size_t* failed) const;

  // Keeps the entries from `begin` on, with which a ledger transaction begins. INVALID_ARGUMENT
  // where they are too large.
  absl::Status Keep(size_t begin);

  void Forget();

  // The last one that waits; null where none does.
  const LedgerEntry* last_waiting() const { return waiting_.empty() ? nullptr : &waiting_.back(); }

  // From now on the entry's marker, where it is one, is taken as not there. Forgets what waits.
  void Skip(int64_t sequence);
  bool has_skipped() const { return !skipped_.empty(); }
  bool IsSkipped(int64_t sequence) const {
    return !skipped_.empty() && skipped_.contains(sequence);
  }

  void ForgetSkippedUpTo(int64_t sequence);

  // What an entry takes in memory.
  static size_t BytesOf(const LedgerEntry& entry) {
    return sizeof(entry) + entry.statement.size() + entry.leader_time.size();
  }

 private:
  const size_t max_open_bytes_;
  // Empty, or the beginning of one ledger transaction.
  std::vector<LedgerEntry> waiting_;
  size_t waiting_bytes_ = 0;
  absl::Span<const LedgerEntry> entries_;
  absl::btree_set<int64_t> skipped_;
};

}  // namespace ctlstore::ldb

#endif  // CTLSTORE_COMMON_LDB_TRANSACTION_SPLITTER_H_
