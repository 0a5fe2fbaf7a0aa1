// The entries that begin and end a ledger transaction.

#ifndef CTLSTORE_COMMON_LDB_LEDGER_MARKERS_H_
#define CTLSTORE_COMMON_LDB_LEDGER_MARKERS_H_

#include "absl/strings/string_view.h"

namespace ctlstore::ldb {

enum class Marker { kNone, kBegin, kCommit };

// In any case, with white space around it, with a semicolon behind it or without.
Marker MarkerOf(absl::string_view statement);

}  // namespace ctlstore::ldb

#endif  // CTLSTORE_COMMON_LDB_LEDGER_MARKERS_H_
