// UTF-8 as MariaDB's utf8mb4 and SQLite both hold it.

#ifndef CTLSTORE_COMMON_SCHEMA_UTF8_H_
#define CTLSTORE_COMMON_SCHEMA_UTF8_H_

#include <cstddef>

#include "absl/strings/string_view.h"
#include "absl/types/optional.h"

namespace ctlstore {

// The number of code points, or nullopt where `text` is not well-formed UTF-8 (RFC 3629: no
// overlong forms, no surrogates, nothing above U+10FFFF).
absl::optional<size_t> CountUtf8Characters(absl::string_view text);

// Whether `text` is well-formed UTF-8 and holds no NUL.
bool IsTextWithoutNul(absl::string_view text);

}  // namespace ctlstore

#endif  // CTLSTORE_COMMON_SCHEMA_UTF8_H_
