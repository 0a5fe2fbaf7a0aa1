// Reads the ledger in order.

#ifndef CTLSTORE_COMMON_CTLDB_LEDGER_READER_H_
#define CTLSTORE_COMMON_CTLDB_LEDGER_READER_H_

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/types/optional.h"
#include "common/ctldb/connection.h"
#include "common/schema/ledger_entry.h"
#include "common/schema/ledger_position.h"

namespace ctlstore::ctldb {

// Tails a ctldb's ledger over one read-only connection, which it opens when it is needed and again
// after it broke. Used by one thread, but for Cancel() and gaps().
class LedgerReader {
 public:
  struct Options {
    // What the ledger's first entry has as its sequence. Another one than 1 is for ledgers whose
    // first transactions were rolled back by an executive that numbers by auto-increment.
    int64_t first_sequence = 1;
  };

  struct Result {
    // Follow the position that was asked for, in order.
    std::vector<LedgerEntry> entries;
    // The ledger's last sequence as far as it is known, at least the last entry's. Exact at the
    // end; before it asked for about once a second.
    int64_t last_sequence = 0;
    // These entries are all that the ledger had behind the position.
    bool at_end = false;
  };

  LedgerReader(Target target, ConnectionOptions connection);
  LedgerReader(Target target, ConnectionOptions connection, Options options);

  // The entries behind `after`, as many as there are up to `max_entries` and until `max_bytes` of
  // statements are passed (but at least one entry, if there is one). May end within a ledger
  // transaction; going on behind the last one continues it.
  //
  // Whether the position is one of this ledger is looked at with every query, in the same snapshot
  // as the entries. A digest that is empty fits every entry.
  //   UNAVAILABLE          CTLDB_UNAVAILABLE: does not answer, or no executive has set it up yet.
  //                        CTLDB_BUSY. LEDGER_BEHIND: it has no entry at `after`, and none behind.
  //   FAILED_PRECONDITION  LEDGER_PRUNED: neither the entry at `after` nor the next one is there,
  //                        but later ones; or `after` is the beginning, and the ledger begins
  //                        behind first_sequence. LEDGER_DIVERGED: the entry at `after` has another
  //                        digest.
  //   CANCELLED            after Cancel().
  //
  // Sequences normally follow one another. Where one does not, the ledger is looked at again in a
  // fresh snapshot; a gap behind an entry that is still there then is accepted (older ledgers have
  // harmless ones, left by rolled back transactions) and counted in gaps().
  absl::StatusOr<Result> ReadAfter(const LedgerPosition& after, size_t max_entries,
                                   size_t max_bytes);

  // The last sequence; 0 for an empty ledger.
  absl::StatusOr<int64_t> LastSequence();

  // Gives up the connection until it is needed again.
  void Disconnect();

  // Ends what is being read, also where the ctldb does not answer, and all that comes later. Only a
  // connection that is being opened is waited for, as long as ConnectionOptions says. Thread-safe.
  void Cancel();

  // Gaps accepted since the start. Thread-safe.
  int64_t gaps() const { return gaps_.load(std::memory_order_relaxed); }

 private:
  // What one query found.
  struct Page {
    std::vector<LedgerEntry> entries;
    size_t bytes = 0;
    bool at_end = false;
    // Behind which sequence it ends because of a gap that is to be looked at again.
    absl::optional<int64_t> gap_after;
  };

  absl::StatusOr<Connection*> Connected();
  // What the caller gets for a failed query; drops a connection that may be broken.
  absl::Status Failed(absl::Status status);
  // One query. A gap behind `accept_gap_after` is not to be looked at again.
  absl::StatusOr<Page> ReadPage(const LedgerPosition& after,
                                absl::optional<int64_t> accept_gap_after, size_t max_entries,
                                size_t max_bytes);

  const Target target_;
  const ConnectionOptions connection_options_;
  const Options options_;

  absl::Mutex mutex_;
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  // Set and dropped by the reading thread alone, with the mutex; so that thread needs none to use
  // it, and others may interrupt it with the mutex.
  std::unique_ptr<Connection> connection_;

  std::atomic<int64_t> gaps_{0};
  // How large the last entries were; large to begin with, so that the first query is a small one.
  size_t average_bytes_ = 64 * 1024;
  int64_t last_sequence_ = 0;
  absl::optional<std::chrono::steady_clock::time_point> last_sequence_asked_;
};

}  // namespace ctlstore::ctldb

#endif  // CTLSTORE_COMMON_CTLDB_LEDGER_READER_H_
