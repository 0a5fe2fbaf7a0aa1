// Values as people type and read them.

#ifndef CTLSTORE_CLI_VALUE_TEXT_H_
#define CTLSTORE_CLI_VALUE_TEXT_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/schema/table_schema.h"
#include "common/schema/value.h"

namespace ctlstore::cli {

// `text` as a value for a field of a known type: text as it is, numbers in decimal notation, bytes
// as 0x and hex digits or as base64: and base64. Whether the field can hold it is not checked.
// INVALID_ARGUMENT (INVALID_VALUE) about `path`.
absl::StatusOr<Value> ParseValueText(absl::string_view path, FieldType type,
                                     absl::string_view text);

// What `text` may mean where the type is not known, the likeliest first: an integer or bytes where
// it looks like them, and always the text itself.
std::vector<Value> PossibleValues(absl::string_view text);

// For people, on one line: text with control characters and backslashes escaped, bytes as 0x and
// hex digits, "null".
std::string DisplayText(const ValueView& value);

// `text` with control characters and backslashes escaped.
std::string EscapedText(absl::string_view text);

}  // namespace ctlstore::cli

#endif  // CTLSTORE_CLI_VALUE_TEXT_H_
