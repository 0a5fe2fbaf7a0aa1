#include "common/ldb/change_recorder.h"

#include <sqlite3.h>

#include <algorithm>
#include <functional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "common/sql/changed_table.h"
#include "common/sql/ledger_statements.h"

namespace ctlstore::ldb {
namespace {

constexpr size_t kValuesAtOnce = 4096;
// What a commit's changes may take in memory after it.
constexpr size_t kKeptChanges = 20000;

// Names of columns are the same in any case.
constexpr char kKeyColumns[] =
    "SELECT name, type FROM pragma_table_info(?) WHERE pk > 0 ORDER BY pk";
// A row that is put in takes out those that have its values in another unique index.
constexpr char kOtherUniqueIndex[] =
    "SELECT 1 FROM pragma_index_list(?) WHERE \"unique\" AND origin <> 'pk'";

}  // namespace

absl::Status ChangeRecorder::Add(const LedgerEntry& entry,
                                 const sql::ParameterizedStatement* parameterized) {
  std::string name;
  absl::string_view sql_table;
  if (parameterized != nullptr) {
    sql_table = parameterized->sql_table;
  } else {
    absl::optional<sql::ChangedTable> changed = sql::FindChangedTable(entry.statement);
    if (!changed.has_value() || changed->definition) ForgetTables();
    if (!changed.has_value()) {
      changes_.push_back({Change::Kind::kEverything, entry.sequence, nullptr, {}, {}});
      return absl::OkStatus();
    }
    name = std::move(changed->name);
    sql_table = name;
  }
  absl::StatusOr<const Table*> table = Find(sql_table);
  if (!table.ok()) return table.status();
  if (parameterized == nullptr || !AddKey(entry, **table, *parameterized)) {
    AddTable(entry.sequence, **table);
  }
  return absl::OkStatus();
}

void ChangeRecorder::Clear(bool rolled_back) {
  if (rolled_back) ForgetTables();
  former_tables_.clear();
  changes_.clear();
  if (changes_.capacity() > kKeptChanges) changes_.shrink_to_fit();
  if (key_values_.size() > 1) key_values_.resize(1);
  if (!key_values_.empty()) key_values_[0].clear();
  decoded_.clear();
}

absl::StatusOr<const ChangeRecorder::Table*> ChangeRecorder::Find(absl::string_view sql_table) {
  const auto found = tables_.find(sql_table);
  if (found != tables_.end()) return found->second.get();
  std::string name(sql_table);
  auto table = std::make_unique<Table>();
  absl::Status status = Describe(name, table.get());
  if (!status.ok()) return status;
  return tables_.emplace(std::move(name), std::move(table)).first->second.get();
}

absl::Status ChangeRecorder::Describe(const std::string& sql_table, Table* table) {
  absl::StatusOr<TableName> name = ParseSqlTableName(absl::AsciiStrToLower(sql_table));
  if (!name.ok()) return absl::OkStatus();
  table->has_name = true;
  table->name = *std::move(name);
  table->has_keys = true;
  const auto for_each_row = [&](const char* sql,
                                const std::function<void(const sqlite::Statement&)>& see) {
    absl::StatusOr<std::unique_ptr<sqlite::Statement>> statement = database_->Prepare(sql);
    if (!statement.ok()) return statement.status();
    absl::Status status = (*statement)->Bind(1, sql_table);
    while (status.ok()) {
      absl::StatusOr<bool> row = (*statement)->Step();
      if (!row.ok()) return row.status();
      if (!*row) break;
      see(**statement);
    }
    return status;
  };
  absl::Status status = for_each_row(kKeyColumns, [&](const sqlite::Statement& row) {
    Field field;
    field.name = std::string(row.Column(0).data());
    const absl::optional<FieldType> type = KeyTypeOf(sql_table, field.name, row.Column(1).data());
    if (type.has_value()) field.type = *type;
    table->has_keys = table->has_keys && type.has_value();
    table->key_fields.push_back(std::move(field));
  });
  if (!status.ok()) return status;
  if (table->key_fields.empty()) table->has_keys = false;
  return for_each_row(kOtherUniqueIndex,
                      [&](const sqlite::Statement&) { table->has_keys = false; });
}

absl::optional<FieldType> ChangeRecorder::KeyTypeOf(const std::string& sql_table,
                                                    const std::string& column,
                                                    absl::string_view declared) const {
  const absl::StatusOr<FieldType> type = sql::FieldTypeOfSqliteColumn(declared);
  if (!type.ok() || !MayBeKey(*type)) return absl::nullopt;
  const char* collation = nullptr;
  if (sqlite3_table_column_metadata(database_->handle(), "main", sql_table.c_str(), column.c_str(),
                                    nullptr, &collation, nullptr, nullptr, nullptr) != SQLITE_OK ||
      collation == nullptr || !absl::EqualsIgnoreCase(collation, "BINARY")) {
    return absl::nullopt;
  }
  return *type;
}

bool ChangeRecorder::AddKey(const LedgerEntry& entry, const Table& table,
                            const sql::ParameterizedStatement& statement) {
  if (!table.has_keys) return false;
  const absl::Span<ValueView> key = AllocateKey(table.key_fields.size());
  for (size_t i = 0; i < key.size(); ++i) {
    const Field& field = table.key_fields[i];
    bool found = false;
    for (size_t j = 0; j < statement.columns.size(); ++j) {
      if (!absl::EqualsIgnoreCase(statement.columns[j], field.name)) continue;
      // A value of another kind may be stored, or compared, as another value; null is no key.
      if (found || statement.parameters[j].kind() != KindOf(field.type)) return false;
      found = true;
      key[i] = Keep(statement.parameters[j], entry.statement);
    }
    if (!found) return false;
  }
  changes_.push_back({Change::Kind::kKey, entry.sequence, &table.name, table.key_fields, key});
  return true;
}

void ChangeRecorder::AddTable(int64_t sequence, const Table& table) {
  if (table.has_name) {
    changes_.push_back({Change::Kind::kTable, sequence, &table.name, {}, {}});
  } else {
    changes_.push_back({Change::Kind::kEverything, sequence, nullptr, {}, {}});
  }
}

absl::Span<ValueView> ChangeRecorder::AllocateKey(size_t size) {
  if (key_values_.empty() || key_values_.back().capacity() - key_values_.back().size() < size) {
    key_values_.emplace_back();
    key_values_.back().reserve(std::max(size, kValuesAtOnce));
  }
  std::vector<ValueView>& values = key_values_.back();
  values.resize(values.size() + size);
  return absl::MakeSpan(values).last(size);
}

ValueView ChangeRecorder::Keep(const ValueView& value, absl::string_view statement) {
  if (value.kind() != ValueKind::kText && value.kind() != ValueKind::kBytes) return value;
  const std::less_equal<const char*> not_behind;
  if (not_behind(statement.data(), value.data().data()) &&
      not_behind(value.data().data() + value.data().size(), statement.data() + statement.size())) {
    return value;
  }
  decoded_.emplace_back(value.data());
  return value.kind() == ValueKind::kText ? ValueView(decoded_.back())
                                          : ValueView::Bytes(decoded_.back());
}

void ChangeRecorder::ForgetTables() {
  for (auto& [name, table] : tables_) former_tables_.push_back(std::move(table));
  tables_.clear();
}

}  // namespace ctlstore::ldb
