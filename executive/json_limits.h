// Limits in JSON.

#ifndef CTLSTORE_EXECUTIVE_JSON_LIMITS_H_
#define CTLSTORE_EXECUTIVE_JSON_LIMITS_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/ctldb/limits.h"
#include "executive/limit_admin.h"

namespace ctlstore::executive {

// Errors are INVALID_ARGUMENT (INVALID_REQUEST, UNKNOWN_FIELD) about the place in the body.

// {"max-size":bytes,"warn-size":bytes}
absl::StatusOr<ctldb::TableSizeLimit> ParseTableSizeLimit(absl::string_view body);

// {"amount":rows,"period":"1m" or nanoseconds}
absl::StatusOr<RateLimit> ParseRateLimit(absl::string_view body);

// {"global":{"max-size","warn-size"},"tables":[{"max-size","warn-size","family","table"},...]}
std::string ToJson(const TableLimits& limits);

// {"global":{"amount","period"},"writers":[{"writer","rate-limit":{"amount","period"}},...]}, with
// periods in nanoseconds. The global amount is 0 where writers are not limited.
std::string ToJson(const WriterLimits& limits);

}  // namespace ctlstore::executive

#endif  // CTLSTORE_EXECUTIVE_JSON_LIMITS_H_
