// A digest of a table's definition and rows, to compare tables with each other that are in
// different files.

#ifndef CTLSTORE_COMMON_LDB_TABLE_DIGEST_H_
#define CTLSTORE_COMMON_LDB_TABLE_DIGEST_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "common/base/digest.h"
#include "common/ldb/table_definition.h"
#include "common/schema/value.h"
#include "common/sqlite/database.h"

namespace ctlstore::ldb {

// The SHA-256 of the definition and the rows, which come in the order of their keys. It is equal
// for the same definition and the same rows, whatever the database. Not thread-safe.
class TableDigest {
 public:
  explicit TableDigest(const TableDefinition& definition);

  void AddRow(absl::Span<const ValueView> row);

  // 32 bytes. To be called once, at the end.
  std::string Finish();

 private:
  void Flush();

  Digest digest_;
  // What is not in the digest yet: it is quicker with more at a time.
  std::string bytes_;
};

struct DigestedTable {
  int64_t rows = 0;
  // 32 bytes; empty where the table has no key, and so no order.
  std::string digest;
  // The index of the key had them in another order, and they were sorted: it is damaged, or made
  // for another order of texts.
  bool sorted = false;
};

// Reads all rows of a table that is there. To be called in a transaction, over a connection as
// OrderedRows has it. NOT_FOUND where there is no such table.
absl::StatusOr<DigestedTable> DigestTable(sqlite::Database* database, const std::string& sql_table);

}  // namespace ctlstore::ldb

#endif  // CTLSTORE_COMMON_LDB_TABLE_DIGEST_H_
