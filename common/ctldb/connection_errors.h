// The errors that both kinds of connections return, so that callers need not know which it is.

#ifndef CTLSTORE_COMMON_CTLDB_CONNECTION_ERRORS_H_
#define CTLSTORE_COMMON_CTLDB_CONNECTION_ERRORS_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace ctlstore::ctldb {

// UNAVAILABLE (CTLDB_UNAVAILABLE): the database cannot be reached, or the connection broke.
absl::Status DatabaseUnavailable(absl::string_view message);

// UNAVAILABLE (CTLDB_BUSY): a lock was not had in time. The transaction was rolled back and can be
// tried again at once.
absl::Status DatabaseBusy(absl::string_view message);

// UNAVAILABLE (OUTCOME_UNKNOWN): the transaction may or may not have been committed.
absl::Status OutcomeUnknown(absl::string_view message);

// NOT_FOUND (TABLE_NOT_FOUND).
absl::Status TableMissing(absl::string_view message);

// Which of those it is.
bool IsDatabaseBusy(const absl::Status& status);

}  // namespace ctlstore::ctldb

#endif  // CTLSTORE_COMMON_CTLDB_CONNECTION_ERRORS_H_
