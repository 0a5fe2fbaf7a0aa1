// The limits that every part of the system agrees on. The values are those of the Go ctlstore where
// it has such a limit, so that what one system accepts the other can hold.

#ifndef CTLSTORE_COMMON_SCHEMA_LIMITS_H_
#define CTLSTORE_COMMON_SCHEMA_LIMITS_H_

#include <cstddef>

namespace ctlstore::limits {

// Names, in characters (all of them ASCII).
inline constexpr size_t kFamilyNameMin = 3;
inline constexpr size_t kFamilyNameMax = 30;
inline constexpr size_t kTableNameMin = 3;
inline constexpr size_t kTableNameMax = 50;
// Of a family's table in a database, "family___table": what MariaDB and MySQL can name.
inline constexpr size_t kSqlTableNameMax = 64;
inline constexpr size_t kFieldNameMin = 1;
inline constexpr size_t kFieldNameMax = 64;

// Writers, in bytes.
inline constexpr size_t kWriterNameMin = 3;
inline constexpr size_t kWriterNameMax = 50;
inline constexpr size_t kWriterSecretMin = 3;
inline constexpr size_t kWriterSecretMax = 100;
inline constexpr size_t kCookieMaxBytes = 1024;

// Requests.
inline constexpr size_t kMutationsPerRequest = 100;
inline constexpr size_t kTablesPerRequest = 100;
inline constexpr size_t kRequestMaxBytes = size_t{1} << 20;
inline constexpr size_t kStatementMaxBytes = 768 * 1024;

// Values.
inline constexpr size_t kStringMaxCharacters = 191;
inline constexpr size_t kBytestringMaxBytes = 255;
inline constexpr size_t kValueMaxBytes = 512 * 1024;

// Tables. What InnoDB can hold, applied to every ctldb so that a table fits all of them: an index
// has at most 16 columns (MySQL) and 3,072 bytes, a row's columns outside BLOB and TEXT together at
// most 65,535 bytes, and a quarter of that many fields fit a page when all of them are long.
// https://mariadb.com/kb/en/innodb-limitations/
inline constexpr size_t kKeyFieldsMax = 16;
inline constexpr size_t kKeyMaxBytes = 3072;
inline constexpr size_t kRowInlineMaxBytes = 65535;
inline constexpr size_t kFieldsMax = 190;

}  // namespace ctlstore::limits

#endif  // CTLSTORE_COMMON_SCHEMA_LIMITS_H_
