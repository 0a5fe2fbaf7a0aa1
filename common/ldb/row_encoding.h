// Rows and keys as bytes: to compare them, to put them in order, to take a digest of them.

#ifndef CTLSTORE_COMMON_LDB_ROW_ENCODING_H_
#define CTLSTORE_COMMON_LDB_ROW_ENCODING_H_

#include <string>

#include "absl/strings/string_view.h"
#include "common/schema/value.h"

namespace ctlstore::ldb {

// Appends a value so that rows of values have the same bytes exactly when each value has the same
// kind and the same bytes; decimals are taken bit by bit. Part of the digest, so it never changes:
// a letter for the kind (n, i, d, t, b); behind i and d 8 bytes, behind t and b the length in 8
// bytes and the data. All numbers are little-endian.
void AppendExact(const ValueView& value, std::string* bytes);

// Appends a value of a key so that keys, compared as bytes, are in SQLite's order: null, numbers by
// their value, text, bytes; both of these byte by byte. Two values have the same bytes when SQLite
// takes them for equal.
void AppendOrdered(const ValueView& value, std::string* bytes);

}  // namespace ctlstore::ldb

#endif  // CTLSTORE_COMMON_LDB_ROW_ENCODING_H_
