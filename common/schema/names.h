// The rules for names of families, tables, fields and writers, and the name of a table in a
// database.

#ifndef CTLSTORE_COMMON_SCHEMA_NAMES_H_
#define CTLSTORE_COMMON_SCHEMA_NAMES_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace ctlstore {

// Each returns the name in the form in which it is stored (ASCII lower case), or INVALID_ARGUMENT
// with reason INVALID_NAME and `field` as the path. Limits are in limits.h.

// [a-z][a-z0-9_]*, no "__", 3 to 30 characters.
absl::StatusOr<std::string> NormalizeFamilyName(absl::string_view field, absl::string_view name);

// [a-z][a-z0-9_]*, no "__", 3 to 50 characters.
absl::StatusOr<std::string> NormalizeTableName(absl::string_view field, absl::string_view name);

// [a-z][a-z0-9_]*, 1 to 64 characters.
absl::StatusOr<std::string> NormalizeFieldName(absl::string_view field, absl::string_view name);

// 3 to 50 bytes of UTF-8 without NUL; kept as they are.
absl::Status CheckWriterName(absl::string_view field, absl::string_view name);

// 3 to 100 bytes. The error never holds the secret.
absl::Status CheckWriterSecret(absl::string_view field, absl::string_view secret);

// A family and a table of it, both normalized.
struct TableName {
  std::string family;
  std::string table;

  friend bool operator==(const TableName& a, const TableName& b) {
    return a.family == b.family && a.table == b.table;
  }
  friend bool operator!=(const TableName& a, const TableName& b) { return !(a == b); }
  friend bool operator<(const TableName& a, const TableName& b) {
    return a.family != b.family ? a.family < b.family : a.table < b.table;
  }
  template <typename H>
  friend H AbslHashValue(H h, const TableName& name) {
    return H::combine(std::move(h), name.family, name.table);
  }
};

// Both names normalized; the errors' paths are "family" and "table".
absl::StatusOr<TableName> NormalizeName(absl::string_view family, absl::string_view table);

// The table's name in the ctldb and in the LDB: "family___table".
std::string SqlTableName(const TableName& name);

// The reverse of SqlTableName; NOT_FOUND where `sql_name` is not of that form.
absl::StatusOr<TableName> ParseSqlTableName(absl::string_view sql_name);

}  // namespace ctlstore

#endif  // CTLSTORE_COMMON_SCHEMA_NAMES_H_
