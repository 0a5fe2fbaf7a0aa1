#include "common/ldb/ordered_rows.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/ldb/row_encoding.h"
#include "common/sql/quote.h"

namespace ctlstore::ldb {
namespace {

std::string Quoted(const std::string& name) {
  std::string quoted;
  sql::AppendIdentifier(name, &quoted);
  return quoted;
}

void AppendTerm(absl::string_view term, std::string* list) {
  absl::StrAppend(list, list->empty() ? "" : ", ", term);
}

}  // namespace

absl::StatusOr<bool> KeyIsInAnIndex(sqlite::Database* database, const std::string& sql_table) {
  absl::StatusOr<std::unique_ptr<sqlite::Statement>> statement = database->Prepare(
      "SELECT 1 FROM pragma_index_list(?1) i JOIN pragma_table_list(?1) t "
      "WHERE i.origin = 'pk' AND t.schema = 'main' AND t.wr = 0");
  if (!statement.ok()) return statement.status();
  absl::Status bound = (*statement)->Bind(1, sql_table);
  if (!bound.ok()) return bound;
  return (*statement)->Step();
}

absl::StatusOr<std::unique_ptr<OrderedRows>> OrderedRows::Open(sqlite::Database* database,
                                                               const std::string& sql_table,
                                                               const TableDefinition& definition,
                                                               Order order) {
  absl::StatusOr<bool> in_index = KeyIsInAnIndex(database, sql_table);
  if (!in_index.ok()) return in_index.status();
  const std::string table = Quoted(sql_table);
  std::string key, columns, terms;
  for (const size_t position : definition.key) {
    const std::string name = absl::StrCat("i.", Quoted(definition.columns[position].name));
    AppendTerm(name, &key);
    // An expression's order is in no index.
    AppendTerm(absl::StrCat(order == Order::kSorted ? "+" : "", name, " COLLATE BINARY"), &terms);
  }
  for (const TableDefinition::Column& column : definition.columns) {
    AppendTerm(absl::StrCat(*in_index ? "t." : "i.", Quoted(column.name)), &columns);
  }
  // No field's name begins with an underscore.
  const std::string join =
      *in_index ? absl::StrCat(" CROSS JOIN ", table, " t ON t._rowid_ = i._rowid_") : "";
  absl::StatusOr<std::unique_ptr<sqlite::Statement>> statement = database->Prepare(absl::StrCat(
      "SELECT ", key, ", ", columns, " FROM ", table, " i", join, " ORDER BY ", terms));
  if (!statement.ok()) return statement.status();
  return std::unique_ptr<OrderedRows>(
      new OrderedRows(*std::move(statement), definition.key.size()));
}

absl::Status OrderedRows::Next() {
  std::swap(key_, previous_key_);
  absl::StatusOr<bool> has_row = statement_->Step();
  if (!has_row.ok()) return has_row.status();
  at_end_ = !*has_row;
  if (at_end_) return absl::OkStatus();
  key_values_.clear();
  row_.clear();
  key_.clear();
  for (int i = 0; i < statement_->column_count(); ++i) {
    const bool is_key = static_cast<size_t>(i) < key_columns_;
    (is_key ? key_values_ : row_).push_back(statement_->Column(i));
  }
  for (const ValueView& value : key_values_) AppendOrdered(value, &key_);
  return absl::OkStatus();
}

}  // namespace ctlstore::ldb
