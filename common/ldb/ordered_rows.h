// The rows of a table in the order of their keys.

#ifndef CTLSTORE_COMMON_LDB_ORDERED_ROWS_H_
#define CTLSTORE_COMMON_LDB_ORDERED_ROWS_H_

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/ldb/table_definition.h"
#include "common/schema/value.h"
#include "common/sqlite/database.h"

namespace ctlstore::ldb {

// Stands on one row at a time. Memory is bounded by a row. The connection, which must outlive this,
// takes names in double quotes for columns only (SQLITE_DBCONFIG_DQS_DML). Not thread-safe.
class OrderedRows {
 public:
  // kByIndex reads in the order in which the database keeps the rows, by the index of the key where
  // there is one beside the table: so it finds what a read by key finds. A damaged index, or one
  // that is made for another order of texts, has another order than ours: then the rows are sorted.
  enum class Order { kByIndex, kSorted };

  // The table has the columns and the key of `definition`.
  static absl::StatusOr<std::unique_ptr<OrderedRows>> Open(sqlite::Database* database,
                                                           const std::string& sql_table,
                                                           const TableDefinition& definition,
                                                           Order order);

  // Goes to the next row, at first to the first one.
  absl::Status Next();

  bool at_end() const { return at_end_; }
  // The row is before the one before it, which can be with kByIndex only.
  bool out_of_order() const { return !at_end_ && key_ < previous_key_; }
  // All of these are valid until Next(). The key's values are those of the index.
  const std::vector<ValueView>& key_values() const { return key_values_; }
  const std::vector<ValueView>& row() const { return row_; }
  // As AppendOrdered() makes it.
  const std::string& key() const { return key_; }

 private:
  OrderedRows(std::unique_ptr<sqlite::Statement> statement, size_t key_columns)
      : statement_(std::move(statement)), key_columns_(key_columns) {}

  const std::unique_ptr<sqlite::Statement> statement_;
  // So many columns stand before the row's.
  const size_t key_columns_;
  bool at_end_ = false;
  std::vector<ValueView> key_values_;
  std::vector<ValueView> row_;
  std::string key_;
  std::string previous_key_;
};

// Whether the table's key is in an index beside the rows.
absl::StatusOr<bool> KeyIsInAnIndex(sqlite::Database* database, const std::string& sql_table);

}  // namespace ctlstore::ldb

#endif  // CTLSTORE_COMMON_LDB_ORDERED_ROWS_H_
