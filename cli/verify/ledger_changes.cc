#include "cli/verify/ledger_changes.h"

#include <utility>

#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "cli/verify/row_encoding.h"
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
    for (const Value& value : key) AppendOrdered(value, &bytes);
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
  return connection->Query(
      "SELECT seq, statement FROM ctlstore_dml_ledger WHERE seq > ? ORDER BY seq", {range.first},
      [&](absl::Span<const ValueView> row) {
        if (row[0].kind() != ValueKind::kInteger ||
            (row[1].kind() != ValueKind::kText && row[1].kind() != ValueKind::kBytes)) {
          return absl::InternalError("a ledger entry is not an integer and a statement");
        }
        reading.Take(row[0].integer(), row[1].data());
        return absl::OkStatus();
      });
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
