// Where a reflector gets the ledger from.

#ifndef CTLSTORE_REFLECTOR_LEDGER_SOURCE_H_
#define CTLSTORE_REFLECTOR_LEDGER_SOURCE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/schema/ledger_entry.h"
#include "common/schema/ledger_position.h"

namespace ctlstore::reflector {

// Reads one ledger in order: a ctldb that is asked from time to time, an executive's stream, or
// several of these in turn. Used by one thread, but for Cancel().
class LedgerSource {
 public:
  struct Limits {
    size_t max_entries = 10000;
    // Of statements, give or take one entry.
    size_t max_bytes = size_t{16} << 20;
  };

  struct Batch {
    // Follow the position that was asked for, and each other. May end within a ledger transaction.
    std::vector<LedgerEntry> entries;
    // The ledger's last sequence as far as it is known; at least the last entry's.
    int64_t ledger_sequence = 0;
    // Set where these entries are all that the ledger had after the position at that time.
    absl::optional<absl::Time> all_as_of;
  };

  virtual ~LedgerSource() = default;

  // The entries after `after`: at once where there are any; otherwise when the first ones come, or
  // none after a while, at most some seconds, so that the caller learns that all is well. Going on
  // after the last one that was returned is cheap; going on elsewhere begins anew there. After an
  // error it may be called again at once, which tries again; who calls makes the pauses.
  //   UNAVAILABLE          cannot be reached, or broke. LEDGER_BEHIND: does not reach to `after`.
  //   FAILED_PRECONDITION  LEDGER_PRUNED: what follows `after` is not there any more.
  //                        LEDGER_DIVERGED: it has another entry at `after`.
  //   CANCELLED            after Cancel().
  virtual absl::StatusOr<Batch> Read(const LedgerPosition& after, const Limits& limits) = 0;

  // It will not be read for a while: gives up connections and what else reading on needs. Called by
  // the thread that reads.
  virtual void Release() {}

  // Makes Read() return, now and from now on. Thread-safe.
  virtual void Cancel() = 0;

  // For logs, metrics and status: a URL without secrets; where it is several in turn, the one in
  // use, or "" for none. Thread-safe.
  virtual std::string name() const = 0;
};

}  // namespace ctlstore::reflector

#endif  // CTLSTORE_REFLECTOR_LEDGER_SOURCE_H_
