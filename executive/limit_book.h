// The limits that apply now.

#ifndef CTLSTORE_EXECUTIVE_LIMIT_BOOK_H_
#define CTLSTORE_EXECUTIVE_LIMIT_BOOK_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/base/clock.h"
#include "common/ctldb/connection_pool.h"
#include "common/ctldb/limits.h"
#include "common/schema/names.h"
#include "executive/executive_metrics.h"

namespace ctlstore::executive {

// Knows the limits and the sizes of the tables, from the ctldb, where they are looked at again and
// again by a thread of its own; so changes made through other executives, or by hand, are followed
// without a restart. Asked by every Mutate, so it answers from memory. What could not be read stays
// as it was last known. Thread-safe. The pool, the clock and the metrics must outlive it.
class LimitBook {
 public:
  struct Options {
    // For tables without limits of their own.
    ctldb::TableSizeLimit default_table_limit{int64_t{50} << 20, int64_t{100} << 20};
    // For writers without one of their own: so many rows in each period. 0: no limit, also not for
    // writers that have one.
    int64_t default_writer_rows = 1000;
    absl::Duration writer_period = absl::Minutes(1);
    absl::Duration limits_refresh = absl::Seconds(5);
    absl::Duration sizes_refresh = absl::Seconds(30);
  };

  LimitBook(const Options& options, ctldb::ConnectionPool* pool, Clock* clock,
            ExecutiveMetrics* metrics);
  ~LimitBook();
  LimitBook(const LimitBook&) = delete;
  LimitBook& operator=(const LimitBook&) = delete;

  const Options& options() const;

  // Looks at limits and sizes now. For the start, for who has just changed them, and for tests.
  absl::Status Refresh(absl::Time deadline);

  // RESOURCE_EXHAUSTED (TABLE_FULL) where the table is over its maximum size; the message names
  // both sizes.
  absl::Status CheckTableSize(const TableName& table) const;

  // How many rows the writer may change in a period; nullopt without a limit.
  absl::optional<int64_t> RowsPerPeriod(absl::string_view writer) const;

  // When the period of `time` began.
  absl::Time PeriodStart(absl::Time time) const;

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

// Counts writers' rows within one ledger transaction. Not thread-safe.
class RateWindow {
 public:
  // Reads what the writers, who may be named more than once, have used up in the period of `now`.
  // The transaction is that of `connection`, and holds the ledger lock. `book` must outlive it.
  static absl::StatusOr<RateWindow> Open(const LimitBook& book, absl::Time now,
                                         absl::Span<const std::string> writers,
                                         ctldb::Connection* connection);

  // Takes as many rows for the writer, all or none. RESOURCE_EXHAUSTED (RATE_LIMITED) with the
  // limit and with the time until the next period as retry delay.
  absl::Status Take(absl::string_view writer, int64_t rows);
  // For a request that was refused afterwards.
  void GiveBack(absl::string_view writer, int64_t rows);

  // Writes down what was taken, in the transaction.
  absl::Status Write(ctldb::Connection* connection);

 private:
  struct Usage {
    int64_t before = 0;
    int64_t taken = 0;
  };
  RateWindow() = default;
  const LimitBook* book_ = nullptr;
  int64_t bucket_ = 0;
  absl::Duration until_next_;
  absl::flat_hash_map<std::string, Usage> usage_;
};

}  // namespace ctlstore::executive

#endif  // CTLSTORE_EXECUTIVE_LIMIT_BOOK_H_
