// Limits as callers write them, checked.

#ifndef CTLSTORE_EXECUTIVE_LIMIT_CONVERSION_H_
#define CTLSTORE_EXECUTIVE_LIMIT_CONVERSION_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/ctldb/limits.h"

namespace ctlstore::executive {

// What a limit may be at most. More is a slip, not a limit.
inline constexpr int64_t kMaxRowsPerMinute = 1'000'000'000'000;
inline constexpr absl::Duration kMaxRatePeriod = absl::Hours(24 * 366);

// The field arguments are the paths of the values in the request, for the errors, which are
// INVALID_ARGUMENT (INVALID_REQUEST).

// So many rows in each period as rows in a minute: rounded down, but at least 1.
absl::StatusOr<int64_t> RowsPerMinute(absl::string_view rows_field, int64_t rows,
                                      absl::string_view period_field, absl::Duration period);

// Both at least 1, and the one that warns not the greater one.
absl::Status CheckTableSizeLimit(absl::string_view warn_field, absl::string_view max_field,
                                 const ctldb::TableSizeLimit& limit);

// A period as text in Go's syntax: "1m", "90s", "1h30m". More than 0; cut to whole nanoseconds.
absl::StatusOr<absl::Duration> ParsePeriod(absl::string_view field, absl::string_view text);

// A period in nanoseconds, more than 0.
absl::StatusOr<absl::Duration> PeriodFromNanoseconds(absl::string_view field, int64_t nanoseconds);
int64_t PeriodToNanoseconds(absl::Duration period);

}  // namespace ctlstore::executive

#endif  // CTLSTORE_EXECUTIVE_LIMIT_CONVERSION_H_
