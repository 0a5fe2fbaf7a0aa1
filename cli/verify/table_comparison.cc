#include "cli/verify/table_comparison.h"

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/types/optional.h"
#include "cli/verify/value_excerpt.h"
#include "common/ldb/row_encoding.h"
#include "common/ldb/table_digest.h"
#include "common/sql/quote.h"

namespace ctlstore::cli {
namespace {

void AppendSeparated(absl::string_view separator, absl::string_view text, std::string* sql) {
  if (!sql->empty()) absl::StrAppend(sql, separator);
  absl::StrAppend(sql, text);
}

std::string Quoted(const std::string& name) {
  std::string quoted;
  sql::AppendIdentifier(name, &quoted);
  return quoted;
}

}  // namespace

TableComparison::TableComparison(ctldb::Connection* ctldb, sqlite::Database* ldb,
                                 const std::string& sql_table, const TableDefinition& definition,
                                 size_t max_differences, TableReport* report)
    : ctldb_(ctldb),
      ldb_(ldb),
      sql_table_(sql_table),
      definition_(definition),
      max_differences_(max_differences),
      report_(*report) {}

void TableComparison::EncodeKey(absl::Span<const ValueView> row, std::string* bytes) const {
  bytes->clear();
  for (const size_t position : definition_.key) ldb::AppendOrdered(row[position], bytes);
}

void TableComparison::EncodeRow(absl::Span<const ValueView> row, std::string* bytes) {
  bytes->clear();
  for (const ValueView& value : row) ldb::AppendExact(value, bytes);
}

std::string TableComparison::Columns(absl::string_view prefix) const {
  std::string columns;
  for (const TableDefinition::Column& column : definition_.columns) {
    AppendSeparated(", ", absl::StrCat(prefix, Quoted(column.name)), &columns);
  }
  return columns;
}

std::string TableComparison::SortedBy(absl::string_view prefix, Order order) const {
  std::string terms;
  for (const size_t position : definition_.key) {
    // An expression's order is in no index.
    AppendSeparated(", ",
                    absl::StrCat(order == Order::kSorted ? "+" : "", prefix,
                                 Quoted(definition_.columns[position].name), " COLLATE BINARY"),
                    &terms);
  }
  return absl::StrCat(" ORDER BY ", terms);
}

std::string TableComparison::CtldbSql(Order order) const {
  const std::string select = absl::StrCat("SELECT ", Columns(""), " FROM ", Quoted(sql_table_));
  if (ctldb_->dialect().transactional_ddl()) return select + SortedBy("", order);
  std::string terms;
  for (const size_t position : definition_.key) {
    const TableDefinition::Column& column = definition_.columns[position];
    const bool number = column.type.has_value() && KindOf(*column.type) == ValueKind::kInteger;
    const std::string name = Quoted(column.name);
    AppendSeparated(
        ", ",
        order == Order::kSorted && !number ? absl::StrCat("CAST(", name, " AS BINARY)") : name,
        &terms);
  }
  return absl::StrCat(select, " ORDER BY ", terms);
}

std::string TableComparison::SqlForKey() const {
  std::string terms;
  for (const size_t position : definition_.key) {
    AppendSeparated(" AND ", absl::StrCat(Quoted(definition_.columns[position].name), " = ?"),
                    &terms);
  }
  return absl::StrCat("SELECT ", Columns(""), " FROM ", Quoted(sql_table_), " WHERE ", terms);
}

std::vector<Value> TableComparison::KeyOf(absl::Span<const ValueView> row) const {
  std::vector<Value> key;
  for (const size_t position : definition_.key) key.push_back(Value(row[position]));
  return key;
}

RowDifference* TableComparison::Add(RowDifference::Kind kind, std::vector<Value> key) {
  ++report_.differing_rows;
  if (report_.differences.size() >= max_differences_) return nullptr;
  RowDifference difference;
  difference.kind = kind;
  difference.key_fields = definition_.key_names();
  difference.key = std::move(key);
  report_.differences.push_back(std::move(difference));
  return &report_.differences.back();
}

void TableComparison::AddValues(absl::Span<const ValueView> ctldb_row,
                                absl::Span<const ValueView> ldb_row) {
  RowDifference* difference = Add(RowDifference::Kind::kValues, KeyOf(ctldb_row));
  if (difference == nullptr) return;
  std::string a, b;
  for (size_t i = 0; i < ctldb_row.size(); ++i) {
    EncodeRow(ctldb_row.subspan(i, 1), &a);
    EncodeRow(ldb_row.subspan(i, 1), &b);
    if (a == b) continue;
    difference->columns.push_back({definition_.columns[i].name, Excerpt(ctldb_row[i], ldb_row[i]),
                                   Excerpt(ldb_row[i], ctldb_row[i])});
  }
}

absl::Status TableComparison::CompareAll(const Keys& left_out) {
  const TableReport before = report_;
  for (const Order order : {Order::kByIndex, Order::kSorted}) {
    bool out_of_order = false;
    report_ = before;
    absl::Status status = Stream(left_out, order, &out_of_order);
    if (!out_of_order) return status;
  }
  return absl::InternalError(absl::StrCat(sql_table_, ": the rows cannot be put in order"));
}

absl::Status TableComparison::Stream(const Keys& left_out, Order order, bool* out_of_order) {
  absl::StatusOr<std::unique_ptr<ldb::OrderedRows>> opened =
      ldb::OrderedRows::Open(ldb_, sql_table_, definition_, order);
  if (!opened.ok()) return opened.status();
  ldb::OrderedRows& ldb = **opened;
  absl::Status status = ldb.Next();
  if (!status.ok()) return status;

  ldb::TableDigest ldb_digest(definition_), ctldb_digest(definition_);
  std::string key, previous_key, ctldb_exact, ldb_exact;
  // Takes the LDB's rows before `key`, or all that are left.
  const auto take_ldb_rows_before = [&](bool all) -> absl::Status {
    while (!ldb.at_end() && (all || ldb.key() < key)) {
      if (!left_out.contains(ldb.key())) {
        ldb_digest.AddRow(ldb.row());
        Add(RowDifference::Kind::kMissingInCtldb,
            std::vector<Value>(ldb.key_values().begin(), ldb.key_values().end()));
      }
      absl::Status next = ldb.Next();
      if (!next.ok()) return next;
      *out_of_order = ldb.out_of_order();
      if (*out_of_order) return absl::CancelledError();
    }
    return absl::OkStatus();
  };
  const auto take_ctldb_row = [&](absl::Span<const ValueView> row) -> absl::Status {
    std::swap(key, previous_key);
    EncodeKey(row, &key);
    *out_of_order = key < previous_key;
    if (*out_of_order) return absl::CancelledError();
    absl::Status taken = take_ldb_rows_before(false);
    if (!taken.ok()) return taken;
    const bool found = !ldb.at_end() && ldb.key() == key;
    if (!left_out.contains(key)) {
      ++report_.rows;
      ctldb_digest.AddRow(row);
      if (!found) {
        Add(RowDifference::Kind::kMissingInLdb, KeyOf(row));
      } else {
        ldb_digest.AddRow(ldb.row());
        EncodeRow(row, &ctldb_exact);
        EncodeRow(ldb.row(), &ldb_exact);
        if (ctldb_exact != ldb_exact) AddValues(row, ldb.row());
      }
    }
    if (!found) return absl::OkStatus();
    taken = ldb.Next();
    *out_of_order = taken.ok() && ldb.out_of_order();
    return *out_of_order ? absl::CancelledError() : taken;
  };
  status = ctldb_->Query(CtldbSql(order), {}, take_ctldb_row);
  if (status.ok()) status = take_ldb_rows_before(true);
  if (!status.ok()) return status;
  report_.ldb_digest = ldb_digest.Finish();
  report_.ctldb_digest = ctldb_digest.Finish();
  return absl::OkStatus();
}

absl::StatusOr<TableComparison::StoredRow> TableComparison::ReadLdbRow(
    absl::Span<const Value> key) {
  absl::StatusOr<std::unique_ptr<sqlite::Statement>> statement = ldb_->Prepare(SqlForKey());
  if (!statement.ok()) return statement.status();
  for (size_t i = 0; i < key.size(); ++i) {
    absl::Status bound = (*statement)->Bind(static_cast<int>(i + 1), key[i]);
    if (!bound.ok()) return bound;
  }
  absl::StatusOr<bool> has_row = (*statement)->Step();
  if (!has_row.ok()) return has_row.status();
  StoredRow row;
  if (!*has_row) return row;
  row.emplace();
  for (int i = 0; i < (*statement)->column_count(); ++i) {
    row->push_back(Value((*statement)->Column(i)));
  }
  return row;
}

absl::StatusOr<TableComparison::StoredRow> TableComparison::ReadCtldbRow(
    absl::Span<const Value> key) {
  StoredRow row;
  const std::vector<ValueView> parameters(key.begin(), key.end());
  absl::Status status =
      ctldb_->Query(SqlForKey(), parameters, [&row](absl::Span<const ValueView> values) {
        row.emplace(values.begin(), values.end());
        return absl::OkStatus();
      });
  if (!status.ok()) return status;
  return row;
}

bool TableComparison::CompareRows(absl::Span<const Value> key, const StoredRow& ctldb_row,
                                  const StoredRow& ldb_row) {
  if (!ctldb_row.has_value() && !ldb_row.has_value()) return true;
  if (!ctldb_row.has_value() || !ldb_row.has_value()) {
    Add(ctldb_row.has_value() ? RowDifference::Kind::kMissingInLdb
                              : RowDifference::Kind::kMissingInCtldb,
        std::vector<Value>(key.begin(), key.end()));
    return false;
  }
  const std::vector<ValueView> ctldb_views(ctldb_row->begin(), ctldb_row->end());
  const std::vector<ValueView> ldb_views(ldb_row->begin(), ldb_row->end());
  std::string ctldb_exact, ldb_exact;
  EncodeRow(ctldb_views, &ctldb_exact);
  EncodeRow(ldb_views, &ldb_exact);
  if (ctldb_exact == ldb_exact) return true;
  AddValues(ctldb_views, ldb_views);
  return false;
}

absl::Status TableComparison::CompareKey(absl::Span<const Value> key) {
  absl::StatusOr<StoredRow> ldb_row = ReadLdbRow(key);
  if (!ldb_row.ok()) return ldb_row.status();
  absl::StatusOr<StoredRow> ctldb_row = ReadCtldbRow(key);
  if (!ctldb_row.ok()) return ctldb_row.status();
  if (ctldb_row->has_value()) ++report_.rows;
  CompareRows(key, *ctldb_row, *ldb_row);
  return absl::OkStatus();
}

absl::Status TableComparison::CompareWithLedger(absl::Span<const Value> key,
                                                const StoredRow& at_ldb,
                                                const StoredRow& at_ctldb) {
  absl::StatusOr<StoredRow> ldb_row = ReadLdbRow(key);
  if (!ldb_row.ok()) return ldb_row.status();
  absl::StatusOr<StoredRow> ctldb_row = ReadCtldbRow(key);
  if (!ctldb_row.ok()) return ctldb_row.status();
  if (ctldb_row->has_value()) ++report_.rows;
  // One row is counted once.
  if (CompareRows(key, at_ldb, *ldb_row)) CompareRows(key, *ctldb_row, at_ctldb);
  return absl::OkStatus();
}

}  // namespace ctlstore::cli
