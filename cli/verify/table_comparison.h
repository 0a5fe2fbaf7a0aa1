// Compares the rows of one table in both databases.

#ifndef CTLSTORE_CLI_VERIFY_TABLE_COMPARISON_H_
#define CTLSTORE_CLI_VERIFY_TABLE_COMPARISON_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "absl/types/span.h"
#include "cli/verify/ledger_changes.h"
#include "cli/verify/report.h"
#include "cli/verify/table_definition.h"
#include "common/ctldb/connection.h"
#include "common/ldb/ordered_rows.h"
#include "common/sqlite/database.h"

namespace ctlstore::cli {

// Reads the rows of both in the order of their keys, side by side, and adds to a report what
// differs. Memory is bounded by a row of each and by the differences that are kept. Not
// thread-safe.
class TableComparison {
 public:
  // nullopt where there is none.
  using StoredRow = absl::optional<std::vector<Value>>;

  // Both databases are in a transaction in which the table has the columns and the key of
  // `definition`, the ctldb perhaps more columns, which are not looked at. Of the differences the
  // first `max_differences` are kept in the report. All must outlive this.
  TableComparison(ctldb::Connection* ctldb, sqlite::Database* ldb, const std::string& sql_table,
                  const TableDefinition& definition, size_t max_differences, TableReport* report);

  // All rows, but for those with the keys in `left_out`.
  absl::Status CompareAll(const Keys& left_out);

  // The rows with this key, if there are any.
  absl::Status CompareKey(absl::Span<const Value> key);

  // The rows with this key with what the ledger makes of them at the LDB's state and at the
  // ctldb's.
  absl::Status CompareWithLedger(absl::Span<const Value> key, const StoredRow& at_ldb,
                                 const StoredRow& at_ctldb);

 private:
  // An order by an index that is damaged, or made for another order of texts, is another one than
  // ours: then the rows are sorted.
  using Order = ldb::OrderedRows::Order;

  absl::Status Stream(const Keys& left_out, Order order, bool* out_of_order);
  std::string Columns(absl::string_view prefix) const;
  std::string CtldbSql(Order order) const;
  std::string SortedBy(absl::string_view prefix, Order order) const;
  std::string SqlForKey() const;
  void EncodeKey(absl::Span<const ValueView> row, std::string* bytes) const;
  RowDifference* Add(RowDifference::Kind kind, std::vector<Value> key);
  std::vector<Value> KeyOf(absl::Span<const ValueView> row) const;
  static void EncodeRow(absl::Span<const ValueView> row, std::string* bytes);
  absl::StatusOr<StoredRow> ReadLdbRow(absl::Span<const Value> key);
  absl::StatusOr<StoredRow> ReadCtldbRow(absl::Span<const Value> key);
  // True where they are the same.
  bool CompareRows(absl::Span<const Value> key, const StoredRow& ctldb_row,
                   const StoredRow& ldb_row);
  void AddValues(absl::Span<const ValueView> ctldb_row, absl::Span<const ValueView> ldb_row);

  ctldb::Connection* const ctldb_;
  sqlite::Database* const ldb_;
  const std::string& sql_table_;
  const TableDefinition& definition_;
  const size_t max_differences_;
  TableReport& report_;
};

}  // namespace ctlstore::cli

#endif  // CTLSTORE_CLI_VERIFY_TABLE_COMPARISON_H_
