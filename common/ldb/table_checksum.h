// A checksum of a table's definition and rows, in whatever order they come.

#ifndef CTLSTORE_COMMON_LDB_TABLE_CHECKSUM_H_
#define CTLSTORE_COMMON_LDB_TABLE_CHECKSUM_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "common/ldb/table_definition.h"
#include "common/schema/value.h"
#include "common/sqlite/database.h"

namespace ctlstore::ldb {

// The sum, modulo 2^128, of the XXH3 (128 bits) of the definition and of each row, as bytes as
// table_digest.h takes them. It is equal for the same definition and the same rows, and finds what
// disks and networks do to them; it is no proof against who changes a row on purpose, which the
// table's digest is. That one needs the rows in the order of their keys, and takes several times as
// long for tables that are kept in another order. Not thread-safe.
class TableChecksum {
 public:
  explicit TableChecksum(const TableDefinition& definition);

  void AddRow(absl::Span<const ValueView> row);

  // 16 bytes, the most significant one first.
  std::string Sum() const;

 private:
  void AddBytes();

  uint64_t low_ = 0;
  uint64_t high_ = 0;
  std::string bytes_;
};

struct ChecksummedTable {
  int64_t rows = 0;
  // 16 bytes.
  std::string checksum;
};

// Reads all rows of a table that is there, as they lie in the file. To be called in a transaction.
// NOT_FOUND where there is no such table.
absl::StatusOr<ChecksummedTable> ChecksumTable(sqlite::Database* database,
                                               const std::string& sql_table);

}  // namespace ctlstore::ldb

#endif  // CTLSTORE_COMMON_LDB_TABLE_CHECKSUM_H_
