// The flags that say which ctldb a service uses, and how.

#ifndef CTLSTORE_COMMON_CTLDB_CTLDB_FLAGS_H_
#define CTLSTORE_COMMON_CTLDB_CTLDB_FLAGS_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "common/ctldb/connection.h"
#include "common/ctldb/target.h"

namespace ctlstore::ctldb {

// Linking this library adds --ctldb, --ctldb_password_file, --ctldb_tls and the rest of their
// family (ctldb_flags.cc). Call both after the flags are parsed.

// From --ctldb. INVALID_ARGUMENT says how to set it where it is empty.
absl::StatusOr<Target> TargetFromFlags();

// From all others, and the password from the environment where no file is named. INVALID_ARGUMENT
// names the flag that is wrong.
absl::StatusOr<ConnectionOptions> ConnectionOptionsFromFlags();

// What the ledger's first entry has as its sequence, for those who read the ledger.
// INVALID_ARGUMENT where it is not at least 1.
absl::StatusOr<int64_t> LedgerFirstSequenceFromFlags();

}  // namespace ctlstore::ctldb

#endif  // CTLSTORE_COMMON_CTLDB_CTLDB_FLAGS_H_
