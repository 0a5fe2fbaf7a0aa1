// A file's values as a field's values.

#ifndef CTLSTORE_CLI_IMPORT_CELL_CONVERSION_H_
#define CTLSTORE_CLI_IMPORT_CELL_CONVERSION_H_

#include "absl/status/statusor.h"
#include "cli/import/row_source.h"
#include "common/schema/table_schema.h"
#include "common/schema/value.h"

namespace ctlstore::cli {

// `cell` as a value of `field`, held exactly:
//
//   integer      whole numbers of 64 bits, true and false as 1 and 0
//   decimal      numbers; whole ones only where a double holds them exactly
//   string, text text as it is; numbers and booleans as they are written; objects and arrays as
//   JSON binary, bytestring  base64
//
// Text of a format without types is null for a number or bytes where it is empty. INVALID_ARGUMENT
// (INVALID_VALUE, TOO_LARGE) about the field's name for all else, and for null in a key. A value is
// never part of the message.
absl::StatusOr<Value> ConvertCell(const Field& field, bool key, const Cell& cell);

}  // namespace ctlstore::cli

#endif  // CTLSTORE_CLI_IMPORT_CELL_CONVERSION_H_
