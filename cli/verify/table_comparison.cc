#include "cli/verify/table_comparison.h"

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/types/optional.h"
#include "cli/verify/value_excerpt.h"
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

// The LDB's rows one after the other; the current one is valid until Next().
struct TableComparison::LdbCursor {
  std::unique_ptr<sqlite::Statement> statement;
  bool at_end = false;
  bool left_out = false;
  std::vector<ValueView> row;
  std::string key;
  std::string previous_key;
  std::string exact;

  bool out_of_order() const { return key < previous_key; }

  absl::Status Next(const TableComparison& comparison, const Keys& keys_left_out) {
    std::swap(key, previous_key);
    absl::StatusOr<bool> has_row = statement->Step();
    if (!has_row.ok()) return has_row.status();
    at_end = !*has_row;
    if (at_end) return absl::OkStatus();
    row.resize(statement->column_count());
    for (size_t i = 0; i < row.size(); ++i) row[i] = statement->Column(static_cast<int>(i));
    comparison.EncodeKey(row, &key);
    EncodeRow(row, &exact);
    left_out = keys_left_out.contains(key);
    return absl::OkStatus();
  }
};

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
  for (const size_t position : definition_.key) AppendOrdered(row[position], bytes);
}

void TableComparison::EncodeRow(absl::Span<const ValueView> row, std::string* bytes) {
  bytes->clear();
  for (const ValueView& value : row) AppendExact(value, bytes);
}

std::string TableComparison::SelectSql() const {
  std::string columns;
  for (const TableDefinition::Column& column : definition_.columns) {
    AppendSeparated(", ", Quoted(column.name), &columns);
  }
  return absl::StrCat("SELECT ", columns, " FROM ", Quoted(sql_table_));
}

std::string TableComparison::CtldbOrder(Order order) const {
  if (ctldb_->dialect().transactional_ddl()) return LdbOrder(order);
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
  return absl::StrCat(" ORDER BY ", terms);
}

std::string TableComparison::LdbOrder(Order order) const {
  std::string terms;
  for (const size_t position : definition_.key) {
    // An expression's order is in no index.
    AppendSeparated(", ",
                    absl::StrCat(order == Order::kSorted ? "+" : "",
                                 Quoted(definition_.columns[position].name), " COLLATE BINARY"),
                    &terms);
  }
  return absl::StrCat(" ORDER BY ", terms);
}

std::string TableComparison::KeyCondition() const {
  std::string terms;
  for (const size_t position : definition_.key) {
    AppendSeparated(" AND ", absl::StrCat(Quoted(definition_.columns[position].name), " = ?"),
                    &terms);
  }
  return absl::StrCat(" WHERE ", terms);
}

RowDifference* TableComparison::Add(RowDifference::Kind kind, absl::Span<const ValueView> row) {
  ++report_.differing_rows;
  if (report_.differences.size() >= max_differences_) return nullptr;
  RowDifference difference;
  difference.kind = kind;
  for (const size_t position : definition_.key) {
    difference.key_fields.push_back(definition_.columns[position].name);
    difference.key.push_back(Value(row[position]));
  }
  report_.differences.push_back(std::move(difference));
  return &report_.differences.back();
}

void TableComparison::AddValues(absl::Span<const ValueView> ctldb_row,
                                absl::Span<const ValueView> ldb_row) {
  RowDifference* difference = Add(RowDifference::Kind::kValues, ctldb_row);
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
  absl::StatusOr<std::unique_ptr<sqlite::Statement>> statement =
      ldb_->Prepare(absl::StrCat(SelectSql(), LdbOrder(order)));
  if (!statement.ok()) return statement.status();
  LdbCursor ldb;
  ldb.statement = *std::move(statement);
  absl::Status status = ldb.Next(*this, left_out);
  if (!status.ok()) return status;

  Digest ldb_digest, ctldb_digest;
  std::string definition;
  for (const TableDefinition::Column& column : definition_.columns) {
    AppendExact(column.name, &definition);
    AppendExact(column.type.has_value() ? FieldTypeName(*column.type) : column.declared,
                &definition);
  }
  for (const std::string& name : definition_.key_names()) AppendExact(name, &definition);
  ldb_digest.Add(definition);
  ctldb_digest.Add(definition);

  std::string key, previous_key, exact;
  // Takes the LDB's rows before `key`, or all that are left.
  const auto take_ldb_rows_before = [&](bool all) -> absl::Status {
    while (!ldb.at_end && (all || ldb.key < key)) {
      if (!ldb.left_out) {
        ldb_digest.Add(ldb.exact);
        Add(RowDifference::Kind::kMissingInCtldb, ldb.row);
      }
      absl::Status next = ldb.Next(*this, left_out);
      if (!next.ok()) return next;
      *out_of_order = *out_of_order || (!ldb.at_end && ldb.out_of_order());
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
    const bool found = !ldb.at_end && ldb.key == key;
    if (!left_out.contains(key)) {
      ++report_.rows;
      EncodeRow(row, &exact);
      ctldb_digest.Add(exact);
      if (found) ldb_digest.Add(ldb.exact);
      if (!found) {
        Add(RowDifference::Kind::kMissingInLdb, row);
      } else if (exact != ldb.exact) {
        AddValues(row, ldb.row);
      }
    }
    if (!found) return absl::OkStatus();
    taken = ldb.Next(*this, left_out);
    *out_of_order = taken.ok() && !ldb.at_end && ldb.out_of_order();
    return *out_of_order ? absl::CancelledError() : taken;
  };
  status = ctldb_->Query(absl::StrCat(SelectSql(), CtldbOrder(order)), {}, take_ctldb_row);
  if (status.ok()) status = take_ldb_rows_before(true);
  if (!status.ok()) return status;
  report_.ldb_digest = ldb_digest.Finish();
  report_.ctldb_digest = ctldb_digest.Finish();
  return absl::OkStatus();
}

absl::Status TableComparison::CompareKey(absl::Span<const Value> key) {
  const std::string sql = absl::StrCat(SelectSql(), KeyCondition());
  absl::StatusOr<std::unique_ptr<sqlite::Statement>> statement = ldb_->Prepare(sql);
  if (!statement.ok()) return statement.status();
  absl::Status status;
  std::vector<ValueView> parameters;
  for (const Value& value : key) {
    parameters.push_back(value);
    status = (*statement)->Bind(static_cast<int>(parameters.size()), value);
    if (!status.ok()) return status;
  }
  LdbCursor ldb;
  ldb.statement = *std::move(statement);
  status = ldb.Next(*this, {});
  if (!status.ok()) return status;
  bool found = false;
  std::string exact;
  status = ctldb_->Query(sql, parameters, [&](absl::Span<const ValueView> row) {
    found = true;
    ++report_.rows;
    EncodeRow(row, &exact);
    if (ldb.at_end) {
      Add(RowDifference::Kind::kMissingInLdb, row);
    } else if (exact != ldb.exact) {
      AddValues(row, ldb.row);
    }
    return absl::OkStatus();
  });
  if (!status.ok()) return status;
  if (!found && !ldb.at_end) Add(RowDifference::Kind::kMissingInCtldb, ldb.row);
  return absl::OkStatus();
}

}  // namespace ctlstore::cli
