// The one place where a value becomes SQL text.

#ifndef CTLSTORE_COMMON_SQL_QUOTE_H_
#define CTLSTORE_COMMON_SQL_QUOTE_H_

#include <string>

#include "absl/strings/string_view.h"
#include "common/schema/value.h"

namespace ctlstore::sql {

// Appends `value` as a literal that SQLite reads back as the same value: NULL; an integer; a
// decimal in full, without exponent and with a point; 'text' with ' doubled and no backslash
// escapes; x'hex' for bytes. The ledger's format: see docs/formats.md. `value` must have passed
// CheckValue (text holds no NUL, decimals are finite).
void AppendLiteral(const ValueView& value, std::string* sql);

// Appends a name in double quotes. Names have passed the rules in common/schema/names.h, or are
// doubled where they hold a quote.
void AppendIdentifier(absl::string_view name, std::string* sql);

}  // namespace ctlstore::sql

#endif  // CTLSTORE_COMMON_SQL_QUOTE_H_
