// The time of a ledger entry, as the ledger and the local database write it.

#ifndef CTLSTORE_COMMON_LDB_LEADER_TIME_H_
#define CTLSTORE_COMMON_LDB_LEADER_TIME_H_

#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"

namespace ctlstore::ldb {

// Takes "YYYY-MM-DD HH:MM:SS", with a T in place of the blank, with or without a fraction, with or
// without an offset behind it (UTC where there is none). nullopt for everything else.
absl::optional<absl::Time> ParseLeaderTime(absl::string_view text);

// "YYYY-MM-DD HH:MM:SS+00:00", or with six digits of a fraction where there is one.
std::string FormatLeaderTime(absl::Time time);

}  // namespace ctlstore::ldb

#endif  // CTLSTORE_COMMON_LDB_LEADER_TIME_H_
