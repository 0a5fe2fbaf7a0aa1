#include "common/ldb/ledger_markers.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/strip.h"
#include "common/schema/ledger_entry.h"

namespace ctlstore::ldb {

Marker MarkerOf(absl::string_view statement) {
  if (!absl::StrContains(statement.substr(0, 16), "---")) return Marker::kNone;
  statement = absl::StripAsciiWhitespace(statement);
  absl::ConsumeSuffix(&statement, ";");
  if (absl::EqualsIgnoreCase(statement, kBeginMarker)) return Marker::kBegin;
  if (absl::EqualsIgnoreCase(statement, kCommitMarker)) return Marker::kCommit;
  return Marker::kNone;
}

}  // namespace ctlstore::ldb
