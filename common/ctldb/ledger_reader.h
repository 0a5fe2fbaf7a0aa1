// Reads the ledger in order.

#ifndef CTLSTORE_COMMON_CTLDB_LEDGER_READER_H_
#define CTLSTORE_COMMON_CTLDB_LEDGER_READER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/ctldb/connection.h"
#include "common/schema/ledger_entry.h"

namespace ctlstore::ctldb {

// Tails a ctldb's ledger over one read-only connection, which it opens when it is needed and again
// after it broke. Not thread-safe.
class LedgerReader {
 public:
  LedgerReader(Target target, ConnectionOptions options);

  // The entries after `sequence`, in order, as many as there are up to `max_entries` and until
  // `max_bytes` of statements are passed (but at least one entry, if there is one). May end within
  // a ledger transaction; going on after the last one's sequence continues it.
  //
  // Sequences normally follow one another. Where one does not, the ledger is looked at again in a
  // fresh snapshot; a gap that is still there is accepted (older ledgers have harmless ones, left
  // by rolled back transactions) and counted in gaps(). UNAVAILABLE (CTLDB_UNAVAILABLE) also where
  // no executive has set the ctldb up yet.
  absl::StatusOr<std::vector<LedgerEntry>> ReadAfter(int64_t sequence, size_t max_entries,
                                                     size_t max_bytes);

  // The last sequence; 0 for an empty ledger.
  absl::StatusOr<int64_t> LastSequence();

  // Gaps accepted since the start.
  int64_t gaps() const { return gaps_; }

 private:
  absl::StatusOr<Connection*> Connected();
  // What the caller gets for a failed query; drops a connection that may be broken.
  absl::Status Failed(absl::Status status);

  const Target target_;
  const ConnectionOptions options_;
  std::unique_ptr<Connection> connection_;
  int64_t gaps_ = 0;
  // How large the last entries were; large to begin with, so that the first query is a small one.
  size_t average_bytes_ = 64 * 1024;
};

}  // namespace ctlstore::ctldb

#endif  // CTLSTORE_COMMON_CTLDB_LEDGER_READER_H_
