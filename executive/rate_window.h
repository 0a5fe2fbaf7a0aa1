// What writers change in one ledger transaction, against their limits.

#ifndef CTLSTORE_EXECUTIVE_RATE_WINDOW_H_
#define CTLSTORE_EXECUTIVE_RATE_WINDOW_H_

#include <cstdint>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "common/ctldb/connection.h"

namespace ctlstore::executive {

class LimitBook;

// Counts writers' rows within one ledger transaction. Not thread-safe.
class RateWindow {
 public:
  // Reads what the writers, who may be named more than once, have used up in the period of `now`.
  // The transaction is that of `connection`, and holds the ledger lock. `book` must outlive it.
  static absl::StatusOr<RateWindow> Open(const LimitBook& book, absl::Time now,
                                         absl::Span<const std::string> writers,
                                         ctldb::Connection* connection);

  // Takes as many rows for the writer, who was named to Open(), all or none. RESOURCE_EXHAUSTED
  // (RATE_LIMITED) with the limit and with the time until the next period as retry delay; without
  // one where the rows are more than the whole limit.
  absl::Status Take(absl::string_view writer, int64_t rows);
  // For a request that was refused afterwards.
  void GiveBack(absl::string_view writer, int64_t rows);

  // Writes down what was taken. Once in a transaction, at its end.
  absl::Status Write(ctldb::Connection* connection);

 private:
  struct Usage {
    int64_t before = 0;
    int64_t taken = 0;
  };

  RateWindow(const LimitBook& book, absl::Time now);

  const LimitBook* book_;
  absl::Time period_;
  // In whole milliseconds, not less than it is.
  absl::Duration until_next_;
  // Of the writers that have a limit.
  absl::flat_hash_map<std::string, Usage> usage_;
};

}  // namespace ctlstore::executive

#endif  // CTLSTORE_EXECUTIVE_RATE_WINDOW_H_
