// The SQL of MariaDB and MySQL.

#ifndef CTLSTORE_COMMON_CTLDB_MARIADB_DIALECT_H_
#define CTLSTORE_COMMON_CTLDB_MARIADB_DIALECT_H_

#include <string>
#include <utility>
#include <vector>

#include "common/ctldb/dialect.h"

namespace ctlstore::ctldb {

// Every text column gets a collation that compares bytes and does not pad, whatever the database's
// own default is: keys that differ in case, accent or trailing blanks only stay apart, as in
// SQLite. Immutable, thread-safe.
class MariadbDialect final : public Dialect {
 public:
  // `collation` is utf8mb4_nopad_bin on MariaDB and utf8mb4_0900_bin on MySQL.
  explicit MariadbDialect(std::string collation) : collation_(std::move(collation)) {}

  bool transactional_ddl() const override { return false; }
  std::vector<std::string> OwnTables() const override;
  std::string TakeDdlLock() const override;
  std::string GiveDdlLock() const override;
  std::string TakePruneLock() const override;
  std::string GivePruneLock() const override;
  absl::string_view LockOnlyRows() const override;
  std::string CreateTable(const TableSchema& schema) const override;
  std::vector<std::string> AddFields(const TableName& table,
                                     absl::Span<const Field> fields) const override;
  std::string ColumnsQuery(Match match) const override;
  absl::StatusOr<FieldType> TypeOfColumn(absl::string_view column_type) const override;
  absl::string_view InsertIgnore() const override { return "INSERT IGNORE"; }
  absl::string_view ForUpdate() const override { return " FOR UPDATE"; }
  std::string OnDuplicateAdd(absl::string_view key, absl::string_view column) const override;
  absl::string_view TableSizesQuery() const override;
  absl::string_view FreshTableSizes() const override;

 private:
  // `"name" TYPE` with the collation.
  std::string Column(const Field& field) const;
  std::string TableOptions() const;

  const std::string collation_;
};

}  // namespace ctlstore::ctldb

#endif  // CTLSTORE_COMMON_CTLDB_MARIADB_DIALECT_H_
