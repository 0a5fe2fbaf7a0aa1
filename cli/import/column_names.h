// A file's column names as field names.

#ifndef CTLSTORE_CLI_IMPORT_COLUMN_NAMES_H_
#define CTLSTORE_CLI_IMPORT_COLUMN_NAMES_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace ctlstore::cli {

// The field name for a column: lower case, with `_` for each character that a field name cannot
// hold, and `f_` in front where it would not begin with a letter ("ISO code" becomes iso_code,
// "2nd" f_2nd). INVALID_ARGUMENT (INVALID_NAME) for an empty name and for one that is too long.
absl::StatusOr<std::string> FieldNameForColumn(absl::string_view column);

// The field names for all columns. INVALID_ARGUMENT also where two become the same; it names both.
absl::StatusOr<std::vector<std::string>> FieldNamesForColumns(
    absl::Span<const std::string> columns);

}  // namespace ctlstore::cli

#endif  // CTLSTORE_CLI_IMPORT_COLUMN_NAMES_H_
