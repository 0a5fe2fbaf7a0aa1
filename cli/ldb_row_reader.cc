#include "cli/ldb_row_reader.h"

#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cli/value_text.h"
#include "common/schema/errors.h"
#include "common/schema/table_schema.h"

namespace ctlstore::cli {
namespace {

NamedValues Copied(const ldb::RowView& row) {
  NamedValues values;
  for (size_t i = 0; i < row.size(); ++i) {
    values.push_back(NamedValue{std::string(row.name(i)), Value(row.value(i))});
  }
  return values;
}

std::vector<ValueView> Views(const std::vector<Value>& values) {
  return std::vector<ValueView>(values.begin(), values.end());
}

}  // namespace

absl::StatusOr<std::vector<Value>> LdbRowReader::ParseKey(const TableName& name,
                                                          const std::vector<std::string>& key) {
  absl::StatusOr<TableSchema> schema = reader_.GetTable(name.family, name.table);
  if (!schema.ok()) return schema.status();
  const size_t key_size = schema->key_positions().size();
  if (key.size() > key_size) {
    return InvalidField(
        "key", reason::kInvalidKey,
        absl::StrCat("the table's key has ", key_size, " fields, not ", key.size()));
  }
  std::vector<Value> values;
  for (size_t i = 0; i < key.size(); ++i) {
    const Field& field = schema->key_field(i);
    absl::StatusOr<Value> value = ParseValueText(field.name, field.type, key[i]);
    if (!value.ok()) return value.status();
    values.push_back(*std::move(value));
  }
  return values;
}

absl::StatusOr<absl::optional<NamedValues>> LdbRowReader::Get(const TableName& name,
                                                              const std::vector<std::string>& key) {
  absl::StatusOr<std::vector<Value>> values = ParseKey(name, key);
  if (!values.ok()) return values.status();
  absl::StatusOr<ldb::Row> row = reader_.GetRow(name.family, name.table, Views(*values));
  if (!row.ok()) return row.status();
  if (!row->exists()) return absl::optional<NamedValues>();
  return absl::optional<NamedValues>(Copied(*row));
}

absl::StatusOr<bool> LdbRowReader::List(const TableName& name,
                                        const std::vector<std::string>& key_prefix, int64_t limit,
                                        Visitor visit) {
  absl::StatusOr<std::vector<Value>> values = ParseKey(name, key_prefix);
  if (!values.ok()) return values.status();
  // One more tells whether there are more.
  const int64_t asked =
      limit <= 0 || limit == std::numeric_limits<int64_t>::max() ? ldb::kNoLimit : limit + 1;
  ldb::RowIterator rows = reader_.ListRows(name.family, name.table, Views(*values), {asked, {}});
  int64_t count = 0;
  while (rows.Next()) {
    if (limit > 0 && ++count > limit) return true;
    absl::Status visited = visit(Copied(rows.row()));
    if (!visited.ok()) return visited;
  }
  if (!rows.status().ok()) return rows.status();
  return false;
}

absl::StatusOr<CopyStatus> LdbRowReader::GetStatus() {
  absl::StatusOr<ldb::Position> position = reader_.GetPosition();
  if (!position.ok()) return position.status();
  CopyStatus status;
  status.applied_sequence = position->applied_sequence;
  status.applied_entry_time = position->applied_entry_time;
  status.heartbeat_time = position->heartbeat_time;
  status.lag = position->Lag(absl::Now());
  status.ldb_path = reader_.path();
  return status;
}

}  // namespace ctlstore::cli
