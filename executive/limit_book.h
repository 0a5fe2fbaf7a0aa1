// The limits that apply now.

#ifndef CTLSTORE_EXECUTIVE_LIMIT_BOOK_H_
#define CTLSTORE_EXECUTIVE_LIMIT_BOOK_H_

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/base/clock.h"
#include "common/ctldb/connection_pool.h"
#include "common/ctldb/limits.h"
#include "common/schema/names.h"
#include "executive/executive_metrics.h"
#include "executive/rate_window.h"  // IWYU pragma: export

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
    // Whole seconds, at least one. The same for all executives of a ctldb.
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

  // Looks at limits and sizes now. For the start, and for tests.
  absl::Status Refresh(absl::Time deadline);

  // The same for the limits alone, which is quick. For who has just changed them.
  absl::Status RefreshLimits(absl::Time deadline);

  // RESOURCE_EXHAUSTED (TABLE_FULL) where the table has reached its maximum size; the message names
  // both sizes.
  absl::Status CheckTableSize(const TableName& table) const;

  // How many rows the writer may change in a period; nullopt without a limit.
  absl::optional<int64_t> RowsPerPeriod(absl::string_view writer) const;

  // When the period of `time` began.
  absl::Time PeriodStart(absl::Time time) const;

  // The writer has used so many of its rows in the period that began then. For the metric, and for
  // one line in the log when it comes near its limit.
  void NoteUsage(absl::string_view writer, absl::Time period, int64_t used, int64_t limit) const;

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace ctlstore::executive

#endif  // CTLSTORE_EXECUTIVE_LIMIT_BOOK_H_
