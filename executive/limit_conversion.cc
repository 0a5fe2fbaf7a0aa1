#include "executive/limit_conversion.h"

#include <algorithm>
#include <string>

#include "absl/numeric/int128.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/schema/errors.h"

namespace ctlstore::executive {
namespace {

absl::Status Invalid(absl::string_view field, absl::string_view message) {
  return InvalidField(field, reason::kInvalidRequest, message);
}

absl::Status CheckPeriod(absl::string_view field, absl::Duration period) {
  if (period <= absl::ZeroDuration()) return Invalid(field, "must be more than 0");
  if (period > kMaxRatePeriod) {
    return Invalid(field, absl::StrCat("must be at most ", absl::FormatDuration(kMaxRatePeriod),
                                       ", is ", absl::FormatDuration(period)));
  }
  return absl::OkStatus();
}

absl::Status CheckBytes(absl::string_view field, int64_t bytes) {
  if (bytes >= 1) return absl::OkStatus();
  return Invalid(field, absl::StrCat("must be at least 1 byte, is ", bytes));
}

}  // namespace

absl::StatusOr<int64_t> RowsPerMinute(absl::string_view rows_field, int64_t rows,
                                      absl::string_view period_field, absl::Duration period) {
  if (rows < 1) return Invalid(rows_field, absl::StrCat("must be at least 1, is ", rows));
  absl::Status status = CheckPeriod(period_field, period);
  if (!status.ok()) return status;
  // Durations have a resolution of a quarter of a nanosecond.
  const int64_t quarters = absl::ToInt64Nanoseconds(period * 4);
  const absl::int128 per_minute =
      absl::int128(rows) * absl::ToInt64Nanoseconds(absl::Minutes(4)) / quarters;
  if (per_minute > kMaxRowsPerMinute) {
    return Invalid(rows_field, absl::StrCat("must be at most ", kMaxRowsPerMinute,
                                            " in a minute, is more: ", rows, " in ",
                                            absl::FormatDuration(period)));
  }
  return std::max<int64_t>(static_cast<int64_t>(per_minute), 1);
}

absl::Status CheckTableSizeLimit(absl::string_view warn_field, absl::string_view max_field,
                                 const ctldb::TableSizeLimit& limit) {
  absl::Status status = CheckBytes(warn_field, limit.warn_bytes);
  if (status.ok()) status = CheckBytes(max_field, limit.max_bytes);
  if (!status.ok() || limit.warn_bytes <= limit.max_bytes) return status;
  return Invalid(warn_field, absl::StrCat("must be at most the maximum of ", limit.max_bytes,
                                          " bytes, is ", limit.warn_bytes));
}

absl::StatusOr<absl::Duration> ParsePeriod(absl::string_view field, absl::string_view text) {
  // Go also knows microseconds with either of the two signs for micro.
  const std::string ascii = absl::StrReplaceAll(text, {{"\xC2\xB5s", "us"}, {"\xCE\xBCs", "us"}});
  absl::Duration period;
  if (!absl::ParseDuration(ascii, &period)) {
    return Invalid(field, R"(must be a duration, such as "1m", "90s" or "1h30m")");
  }
  period = absl::Trunc(period, absl::Nanoseconds(1));
  absl::Status status = CheckPeriod(field, period);
  if (!status.ok()) return status;
  return period;
}

absl::StatusOr<absl::Duration> PeriodFromNanoseconds(absl::string_view field, int64_t nanoseconds) {
  const absl::Duration period = absl::Nanoseconds(nanoseconds);
  absl::Status status = CheckPeriod(field, period);
  if (!status.ok()) return status;
  return period;
}

int64_t PeriodToNanoseconds(absl::Duration period) { return absl::ToInt64Nanoseconds(period); }

}  // namespace ctlstore::executive
