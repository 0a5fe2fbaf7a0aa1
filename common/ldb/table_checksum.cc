#include "common/ldb/table_checksum.h"

#include <xxhash.h>

#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/types/optional.h"
#include "common/ldb/row_encoding.h"
#include "common/sql/quote.h"

namespace ctlstore::ldb {

TableChecksum::TableChecksum(const TableDefinition& definition) {
  AppendDefinition(definition, &bytes_);
  AddBytes();
}

void TableChecksum::AddRow(absl::Span<const ValueView> row) {
  for (const ValueView& value : row) AppendExact(value, &bytes_);
  AddBytes();
}

void TableChecksum::AddBytes() {
  const XXH128_hash_t hash = XXH3_128bits(bytes_.data(), bytes_.size());
  bytes_.clear();
  low_ += hash.low64;
  const uint64_t carry = low_ < hash.low64 ? 1 : 0;
  high_ += hash.high64 + carry;
}

std::string TableChecksum::Sum() const {
  std::string sum;
  for (const uint64_t half : {high_, low_}) {
    for (int shift = 56; shift >= 0; shift -= 8) {
      sum.push_back(static_cast<char>(half >> shift & 0xff));
    }
  }
  return sum;
}

absl::StatusOr<ChecksummedTable> ChecksumTable(sqlite::Database* database,
                                               const std::string& sql_table) {
  absl::StatusOr<absl::optional<TableDefinition>> definition =
      ReadTableDefinition(database, sql_table);
  if (!definition.ok()) return definition.status();
  if (!definition->has_value()) {
    return absl::NotFoundError(absl::StrCat("there is no table ", sql_table));
  }
  std::string sql = "SELECT ";
  for (const TableDefinition::Column& column : (*definition)->columns) {
    if (&column != &(*definition)->columns.front()) sql += ", ";
    sql::AppendIdentifier(column.name, &sql);
  }
  sql += " FROM ";
  sql::AppendIdentifier(sql_table, &sql);
  // The rows themselves, not what an index says of them.
  sql += " NOT INDEXED";
  absl::StatusOr<std::unique_ptr<sqlite::Statement>> statement = database->Prepare(sql);
  if (!statement.ok()) return statement.status();
  TableChecksum checksum(**definition);
  ChecksummedTable table;
  std::vector<ValueView> row((*statement)->column_count());
  while (true) {
    const absl::StatusOr<bool> has_row = (*statement)->Step();
    if (!has_row.ok()) return has_row.status();
    if (!*has_row) break;
    for (size_t i = 0; i < row.size(); ++i) row[i] = (*statement)->Column(static_cast<int>(i));
    checksum.AddRow(row);
    ++table.rows;
  }
  table.checksum = checksum.Sum();
  return table;
}

}  // namespace ctlstore::ldb
