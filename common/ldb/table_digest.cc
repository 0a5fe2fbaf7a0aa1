#include "common/ldb/table_digest.h"

#include <cstddef>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/types/optional.h"
#include "common/ldb/ordered_rows.h"
#include "common/ldb/row_encoding.h"
#include "common/sql/quote.h"

namespace ctlstore::ldb {
namespace {

constexpr size_t kFlushBytes = size_t{16} << 10;

absl::StatusOr<int64_t> CountRows(sqlite::Database* database, const std::string& sql_table) {
  std::string sql = "SELECT count(*) FROM ";
  sql::AppendIdentifier(sql_table, &sql);
  absl::StatusOr<std::unique_ptr<sqlite::Statement>> statement = database->Prepare(sql);
  if (!statement.ok()) return statement.status();
  absl::StatusOr<bool> row = (*statement)->Step();
  if (!row.ok()) return row.status();
  return (*statement)->Column(0).integer();
}

}  // namespace

TableDigest::TableDigest(const TableDefinition& definition) {
  AppendDefinition(definition, &bytes_);
}

void TableDigest::AddRow(absl::Span<const ValueView> row) {
  for (const ValueView& value : row) AppendExact(value, &bytes_);
  if (bytes_.size() >= kFlushBytes) Flush();
}

void TableDigest::Flush() {
  digest_.Add(bytes_);
  bytes_.clear();
}

std::string TableDigest::Finish() {
  Flush();
  return digest_.Finish();
}

absl::StatusOr<DigestedTable> DigestTable(sqlite::Database* database,
                                          const std::string& sql_table) {
  absl::StatusOr<absl::optional<TableDefinition>> definition =
      ReadTableDefinition(database, sql_table);
  if (!definition.ok()) return definition.status();
  if (!definition->has_value()) {
    return absl::NotFoundError(absl::StrCat("there is no table ", sql_table));
  }
  DigestedTable table;
  if ((*definition)->key.empty()) {
    absl::StatusOr<int64_t> rows = CountRows(database, sql_table);
    if (!rows.ok()) return rows.status();
    table.rows = *rows;
    return table;
  }
  for (const OrderedRows::Order order :
       {OrderedRows::Order::kByIndex, OrderedRows::Order::kSorted}) {
    absl::StatusOr<std::unique_ptr<OrderedRows>> rows =
        OrderedRows::Open(database, sql_table, **definition, order);
    if (!rows.ok()) return rows.status();
    TableDigest digest(**definition);
    table.rows = 0;
    table.sorted = order == OrderedRows::Order::kSorted;
    while (true) {
      absl::Status status = (*rows)->Next();
      if (!status.ok()) return status;
      if ((*rows)->at_end() || (*rows)->out_of_order()) break;
      digest.AddRow((*rows)->row());
      ++table.rows;
    }
    if ((*rows)->out_of_order()) continue;
    table.digest = digest.Finish();
    return table;
  }
  return absl::InternalError(absl::StrCat(sql_table, ": the rows cannot be put in order"));
}

}  // namespace ctlstore::ldb
