// Limits, seen and changed by an administrator.

#ifndef CTLSTORE_EXECUTIVE_LIMIT_ADMIN_H_
#define CTLSTORE_EXECUTIVE_LIMIT_ADMIN_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/ctldb/connection_pool.h"
#include "common/ctldb/limits.h"
#include "executive/limit_book.h"

namespace ctlstore::executive {

struct TableLimits {
  ctldb::TableSizeLimit default_limit;
  // By name.
  std::vector<ctldb::TableLimit> tables;
};

struct RateLimit {
  int64_t rows = 0;
  absl::Duration period;
};

struct WriterLimits {
  // nullopt where writers are not limited.
  absl::optional<RateLimit> default_limit;
  // By name.
  std::vector<ctldb::WriterLimit> writers;
};

// Each call is one try; a change is known to the LimitBook when it returns, and to those of other
// executives soon after. Names are normalized and checked, but what they name need not be there.
// Thread-safe. The pool and the book must outlive it.
//
// Errors, besides those of the ctldb: INVALID_ARGUMENT about "family", "table" or "writer", or, as
// the limit was written, about "limit.warn_bytes", "limit.max_bytes", "limit.rows" or
// "limit.period"; NOT_FOUND (LIMIT_NOT_FOUND) where there is none to delete.
class LimitAdmin {
 public:
  LimitAdmin(ctldb::ConnectionPool* pool, LimitBook* book) : pool_(pool), book_(book) {}
  LimitAdmin(const LimitAdmin&) = delete;
  LimitAdmin& operator=(const LimitAdmin&) = delete;

  absl::StatusOr<TableLimits> ListTableLimits(absl::Time deadline);
  absl::Status SetTableLimit(absl::string_view family, absl::string_view table,
                             const ctldb::TableSizeLimit& limit, absl::Time deadline);
  absl::Status DeleteTableLimit(absl::string_view family, absl::string_view table,
                                absl::Time deadline);

  absl::StatusOr<WriterLimits> ListWriterLimits(absl::Time deadline);
  // Kept as rows in a minute.
  absl::Status SetWriterLimit(absl::string_view writer, const RateLimit& limit,
                              absl::Time deadline);
  absl::Status DeleteWriterLimit(absl::string_view writer, absl::Time deadline);

 private:
  ctldb::ConnectionPool* const pool_;
  LimitBook* const book_;
};

}  // namespace ctlstore::executive

#endif  // CTLSTORE_EXECUTIVE_LIMIT_ADMIN_H_
