#include "cli/verify/ledger_changes.h"

#include <limits>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "common/ldb/row_encoding.h"
#include "common/schema/ledger_entry.h"
#include "common/schema/names.h"
#include "common/schema/table_schema.h"
#include "common/sql/ledger_statements.h"
#include "common/sql/parameterized_statement.h"

namespace ctlstore::cli {
namespace {

absl::optional<TableName> DefinedTable(absl::string_view statement) {
  if (absl::StatusOr<TableSchema> schema = sql::ParseCreateTable(statement); schema.ok()) {
    return schema->name();
  }
  if (absl::StatusOr<sql::AddedField> added = sql::ParseAddField(statement); added.ok()) {
    return added->table;
  }
  if (absl::StatusOr<TableName> dropped = sql::ParseDropTable(statement); dropped.ok()) {
    return *dropped;
  }
  return absl::nullopt;
}

// The key of the row that the statement writes or deletes; false where it cannot be told.
bool ReadKey(const sql::ParameterizedStatement& statement, const TableDefinition& definition,
             std::vector<Value>* key) {
  key->clear();
  for (const size_t position : definition.key) {
    const TableDefinition::Column& column = definition.columns[position];
    bool found = false;
    for (size_t i = 0; i < statement.columns.size() && !found; ++i) {
      if (statement.columns[i] != column.name) continue;
      const ValueView& value = statement.parameters[i];
      // A literal of another kind is converted in a way that is the databases' affair.
      if (!column.type.has_value() || value.kind() != KindOf(*column.type)) return false;
      key->push_back(Value(value));
      found = true;
    }
    if (!found) return false;
  }
  return !key->empty();
}

// The values of the row that a REPLACE writes; false where they cannot be told.
bool ReadRow(const sql::ParameterizedStatement& statement, const TableDefinition& definition,
             std::vector<Value>* row) {
  size_t found = 0;
  for (const TableDefinition::Column& column : definition.columns) {
    row->emplace_back();
    for (size_t i = 0; i < statement.columns.size(); ++i) {
      if (statement.columns[i] != column.name) continue;
      const ValueView& value = statement.parameters[i];
      if (!value.is_null() && (!column.type.has_value() || value.kind() != KindOf(*column.type))) {
        return false;
      }
      row->back() = Value(value);
      ++found;
    }
  }
  return found == statement.columns.size();
}

absl::Status ReadEntries(
    ctldb::Connection* connection, int64_t after, int64_t up_to,
    absl::FunctionRef<void(int64_t sequence, absl::string_view statement)> take) {
  return connection->Query(
      "SELECT seq, statement FROM ctlstore_dml_ledger WHERE seq > ? AND seq <= ? ORDER BY seq",
      {after, up_to}, [&](absl::Span<const ValueView> row) {
        if (row[0].kind() != ValueKind::kInteger ||
            (row[1].kind() != ValueKind::kText && row[1].kind() != ValueKind::kBytes)) {
          return absl::InternalError("a ledger entry is not an integer and a statement");
        }
        take(row[0].integer(), row[1].data());
        return absl::OkStatus();
      });
}

class Reading {
 public:
  Reading(const LedgerRange& range,
          const std::map<std::string, const TableDefinition*>& definitions, size_t max_keys,
          LedgerChanges* changes)
      : range_(range), definitions_(definitions), max_keys_(max_keys), changes_(*changes) {}

  void Take(int64_t sequence, absl::string_view statement) {
    if (statement == kBeginMarker || statement == kCommitMarker) return;
    const bool rows_count = sequence <= range_.last;
    if (sql::ParameterizeStatement(statement, &statement_)) {
      if (rows_count) TakeRow();
      return;
    }
    if (absl::StatusOr<TableName> cleared = sql::ParseClearTable(statement); cleared.ok()) {
      TableChanges* changes = Wanted(SqlTableName(*cleared));
      if (rows_count && changes != nullptr) changes->all_rows = true;
      return;
    }
    const absl::optional<TableName> defined = DefinedTable(statement);
    if (!defined.has_value()) {
      for (auto& [name, changes] : changes_) changes.definition = true;
    } else if (TableChanges* changes = Wanted(SqlTableName(*defined)); changes != nullptr) {
      changes->definition = true;
    }
  }

 private:
  TableChanges* Wanted(const std::string& sql_table) {
    const auto found = changes_.find(sql_table);
    return found == changes_.end() ? nullptr : &found->second;
  }

  void TakeRow() {
    const std::string table(statement_.sql_table);
    TableChanges* changes = Wanted(table);
    if (changes == nullptr || changes->all_rows) return;
    const auto definition = definitions_.find(table);
    std::vector<Value> key;
    if (definition == definitions_.end() || definition->second == nullptr ||
        !ReadKey(statement_, *definition->second, &key)) {
      changes->all_rows = true;
      return;
    }
    std::string bytes;
    for (const Value& value : key) ldb::AppendOrdered(value, &bytes);
    changes->keys.emplace(std::move(bytes), std::move(key));
    if (changes->keys.size() > max_keys_) {
      changes->all_rows = true;
      changes->keys = Keys();
    }
  }

  const LedgerRange& range_;
  const std::map<std::string, const TableDefinition*>& definitions_;
  const size_t max_keys_;
  LedgerChanges& changes_;
  sql::ParameterizedStatement statement_;
};

}  // namespace

absl::Status ReadLedgerChanges(ctldb::Connection* connection, const LedgerRange& range,
                               const std::map<std::string, const TableDefinition*>& definitions,
                               size_t max_keys, LedgerChanges* changes) {
  // Whether there is anything else than what follows `first`: a ledger may begin anywhere, but what
  // was taken out of its beginning cannot be told any more.
  bool known = true;
  absl::Status status = connection->Query(
      "SELECT MIN(seq) FROM ctlstore_dml_ledger", {}, [&](absl::Span<const ValueView> row) {
        known = row[0].is_null() || row[0].integer() <= range.first + 1;
        return absl::OkStatus();
      });
  if (!status.ok()) return status;
  if (!known) {
    for (auto& [name, table] : *changes) table.definition = true;
    return absl::OkStatus();
  }
  Reading reading(range, definitions, max_keys, changes);
  return ReadEntries(connection, range.first, std::numeric_limits<int64_t>::max(),
                     [&reading](int64_t sequence, absl::string_view statement) {
                       reading.Take(sequence, statement);
                     });
}

absl::StatusOr<absl::flat_hash_map<std::string, LedgerRow>> ReadLedgerRows(
    ctldb::Connection* connection, const LedgerRange& range, const std::string& sql_table,
    const TableDefinition& definition, const Keys& keys, size_t max_bytes) {
  absl::flat_hash_map<std::string, LedgerRow> rows;
  bool whole_table = false;
  size_t bytes = 0;
  sql::ParameterizedStatement statement;
  std::vector<Value> key;
  absl::Status status =
      ReadEntries(connection, range.first, range.last, [&](int64_t, absl::string_view text) {
        if (text == kBeginMarker || text == kCommitMarker) return;
        if (!sql::ParameterizeStatement(text, &statement)) {
          absl::optional<TableName> table = DefinedTable(text);
          if (absl::StatusOr<TableName> cleared = sql::ParseClearTable(text); cleared.ok()) {
            table = *std::move(cleared);
          }
          whole_table = whole_table || !table.has_value() || SqlTableName(*table) == sql_table;
          return;
        }
        if (statement.sql_table != sql_table) return;
        if (!ReadKey(statement, definition, &key)) {
          whole_table = true;
          return;
        }
        std::string key_bytes;
        for (const Value& value : key) ldb::AppendOrdered(value, &key_bytes);
        if (!keys.contains(key_bytes)) return;
        LedgerRow& row = rows[key_bytes];
        row = LedgerRow();
        if (statement.kind == sql::ParameterizedStatement::Kind::kDelete) {
          row.known = true;
          return;
        }
        // Counted for each version of a row, so this is too much rather than too little.
        bytes += text.size();
        row.values.emplace();
        row.known = bytes <= max_bytes && ReadRow(statement, definition, &*row.values);
        if (!row.known) row.values.reset();
      });
  if (!status.ok()) return status;
  if (whole_table) rows.clear();
  return rows;
}

absl::StatusOr<PendingSchemaChanges> ReadPendingSchemaChanges(ctldb::Connection* connection) {
  PendingSchemaChanges pending;
  absl::Status status = connection->Query(
      "SELECT statements FROM ctlstore_schema_intents", {}, [&](absl::Span<const ValueView> row) {
        for (const absl::string_view statement :
             absl::StrSplit(row[0].data(), '\n', absl::SkipEmpty())) {
          if (statement == kBeginMarker || statement == kCommitMarker) continue;
          if (absl::StatusOr<TableSchema> schema = sql::ParseCreateTable(statement); schema.ok()) {
            pending.created.insert(SqlTableName(schema->name()));
          } else if (absl::StatusOr<sql::AddedField> added = sql::ParseAddField(statement);
                     added.ok()) {
            pending.added_columns[SqlTableName(added->table)].insert(added->field.name);
          } else if (absl::StatusOr<TableName> dropped = sql::ParseDropTable(statement);
                     dropped.ok()) {
            pending.dropped.insert(SqlTableName(*dropped));
          } else {
            pending.unknown = true;
          }
        }
        return absl::OkStatus();
      });
  // A Go executive's ctldb has none.
  if (!status.ok() && !absl::IsNotFound(status)) return status;
  return pending;
}

absl::StatusOr<int64_t> LastSequence(ctldb::Connection* connection) {
  int64_t last = 0;
  absl::Status status = connection->Query("SELECT COALESCE(MAX(seq), 0) FROM ctlstore_dml_ledger",
                                          {}, [&last](absl::Span<const ValueView> row) {
                                            last = row[0].integer();
                                            return absl::OkStatus();
                                          });
  if (absl::IsNotFound(status)) {
    return absl::UnavailableError("the ctldb has no ledger yet; an executive creates it");
  }
  if (!status.ok()) return status;
  return last;
}

}  // namespace ctlstore::cli
