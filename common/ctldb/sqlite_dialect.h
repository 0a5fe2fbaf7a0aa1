// The SQL of SQLite.

#ifndef CTLSTORE_COMMON_CTLDB_SQLITE_DIALECT_H_
#define CTLSTORE_COMMON_CTLDB_SQLITE_DIALECT_H_

#include <string>
#include <vector>

#include "common/ctldb/dialect.h"

namespace ctlstore::ctldb {

// SQLite enforces neither types nor lengths, so the tables have checks that refuse what MariaDB in
// strict mode refuses. Immutable, thread-safe.
class SqliteDialect final : public Dialect {
 public:
  bool transactional_ddl() const override { return true; }
  std::vector<std::string> OwnTables() const override;
  std::string TakeDdlLock() const override { return ""; }
  std::string GiveDdlLock() const override { return ""; }
  std::string TakePruneLock() const override { return ""; }
  std::string GivePruneLock() const override { return ""; }
  absl::string_view LockOnlyRows() const override { return ""; }
  std::string CreateTable(const TableSchema& schema) const override;
  std::vector<std::string> AddFields(const TableName& table,
                                     absl::Span<const Field> fields) const override;
  std::string ColumnsQuery(Match match) const override;
  absl::StatusOr<FieldType> TypeOfColumn(absl::string_view column_type) const override;
  absl::string_view InsertIgnore() const override { return "INSERT OR IGNORE"; }
  absl::string_view ForUpdate() const override { return ""; }
  std::string OnDuplicateAdd(absl::string_view key, absl::string_view column) const override;
  absl::string_view TableSizesQuery() const override;
  absl::string_view FreshTableSizes() const override { return ""; }
};

}  // namespace ctlstore::ctldb

#endif  // CTLSTORE_COMMON_CTLDB_SQLITE_DIALECT_H_
