// A digest of a table's definition and rows, to compare tables with each other that are in
// different files.

#ifndef CTLSTORE_COMMON_LDB_TABLE_DIGEST_H_
#define CTLSTORE_COMMON_LDB_TABLE_DIGEST_H_

#include <string>

#include "absl/types/span.h"
#include "common/base/digest.h"
#include "common/ldb/table_definition.h"
#include "common/schema/value.h"

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

}  // namespace ctlstore::ldb

#endif  // CTLSTORE_COMMON_LDB_TABLE_DIGEST_H_
