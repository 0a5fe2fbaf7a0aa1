#include "executive/testing/ledger_comparison.h"

#include <sqlite3.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/types/span.h"
#include "common/ctldb/catalog.h"
#include "common/schema/table_schema.h"
#include "common/schema/value.h"
#include "common/sql/ledger_statements.h"

namespace ctlstore::executive {
namespace {

using Rows = std::vector<std::string>;

absl::Status Differs(const std::string& what) { return absl::FailedPreconditionError(what); }

// A value as bytes that are equal exactly where the values are.
std::string Encode(const ValueView& value) {
  std::string text = absl::StrCat(ValueKindName(value.kind()), ":");
  switch (value.kind()) {
    case ValueKind::kNull:
      break;
    case ValueKind::kInteger:
      absl::StrAppend(&text, value.integer());
      break;
    case ValueKind::kDecimal: {
      uint64_t bits = 0;
      const double decimal = value.decimal();
      std::memcpy(&bits, &decimal, sizeof(bits));
      absl::StrAppend(&text, bits);
      break;
    }
    case ValueKind::kText:
    case ValueKind::kBytes:
      absl::StrAppend(&text, value.data().size(), ":", value.data());
      break;
  }
  return text;
}

std::string SelectAll(const TableSchema& schema) {
  std::vector<std::string> names;
  for (const Field& field : schema.fields()) names.push_back(absl::StrCat("\"", field.name, "\""));
  return absl::StrCat("SELECT ", absl::StrJoin(names, ", "), " FROM ", SqlTableName(schema.name()));
}

absl::StatusOr<Rows> CtldbRows(const TableSchema& schema, ctldb::Connection* connection) {
  Rows rows;
  absl::Status status =
      connection->Query(SelectAll(schema), {}, [&rows](absl::Span<const ValueView> row) {
        rows.push_back(absl::StrJoin(row, "|", [](std::string* out, const ValueView& value) {
          out->append(Encode(value));
        }));
        return absl::OkStatus();
      });
  if (!status.ok()) return status;
  std::sort(rows.begin(), rows.end());
  return rows;
}

struct CloseDatabase {
  void operator()(sqlite3* database) const { sqlite3_close(database); }
};
using Database = std::unique_ptr<sqlite3, CloseDatabase>;

struct FinalizeStatement {
  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};
using Statement = std::unique_ptr<sqlite3_stmt, FinalizeStatement>;

ValueView ColumnOf(sqlite3_stmt* statement, int i) {
  const auto data = [&](const void* start) {
    return absl::string_view(static_cast<const char*>(start),
                             static_cast<size_t>(sqlite3_column_bytes(statement, i)));
  };
  switch (sqlite3_column_type(statement, i)) {
    case SQLITE_INTEGER:
      return ValueView(int64_t{sqlite3_column_int64(statement, i)});
    case SQLITE_FLOAT:
      return ValueView(sqlite3_column_double(statement, i));
    case SQLITE_TEXT:
      return ValueView(data(sqlite3_column_text(statement, i)));
    case SQLITE_BLOB:
      return ValueView::Bytes(data(sqlite3_column_blob(statement, i)));
    default:
      return ValueView();
  }
}

absl::StatusOr<Rows> LocalRows(const TableSchema& schema, sqlite3* database) {
  sqlite3_stmt* prepared = nullptr;
  if (sqlite3_prepare_v2(database, SelectAll(schema).c_str(), -1, &prepared, nullptr) !=
      SQLITE_OK) {
    return Differs(sqlite3_errmsg(database));
  }
  const Statement statement(prepared);
  Rows rows;
  int code = sqlite3_step(prepared);
  for (; code == SQLITE_ROW; code = sqlite3_step(prepared)) {
    std::vector<std::string> values;
    for (int i = 0; i < sqlite3_column_count(prepared); ++i) {
      values.push_back(Encode(ColumnOf(prepared, i)));
    }
    rows.push_back(absl::StrJoin(values, "|"));
  }
  if (code != SQLITE_DONE) return Differs(sqlite3_errmsg(database));
  std::sort(rows.begin(), rows.end());
  return rows;
}

// Plays the entries, keeping to the markers. `*definitions` receives the tables by their names.
absl::Status Play(const std::vector<LedgerEntry>& ledger, sqlite3* database,
                  std::map<TableName, TableSchema>* definitions) {
  bool open = false;
  int64_t last = 0;
  for (const LedgerEntry& entry : ledger) {
    if (entry.sequence != last + 1) {
      return Differs(absl::StrCat("sequence ", entry.sequence, " follows ", last));
    }
    last = entry.sequence;
    if (entry.statement == kBeginMarker || entry.statement == kCommitMarker) {
      const bool begins = entry.statement == kBeginMarker;
      if (begins == open) {
        return Differs(absl::StrCat("marker out of place at sequence ", entry.sequence));
      }
      open = begins;
      continue;
    }
    if (sqlite3_exec(database, entry.statement.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) {
      return Differs(absl::StrCat("sequence ", entry.sequence, ": ", sqlite3_errmsg(database)));
    }
    absl::StatusOr<TableSchema> created = sql::ParseCreateTable(entry.statement);
    if (created.ok()) definitions->emplace(created->name(), *created);
    absl::StatusOr<sql::AddedField> added = sql::ParseAddField(entry.statement);
    if (added.ok()) {
      TableSchema& schema = definitions->at(added->table);
      std::vector<Field> fields;
      absl::StatusOr<TableSchema> changed = schema.WithFields({added->field}, &fields);
      if (!changed.ok()) return changed.status();
      schema = *std::move(changed);
    }
  }
  if (open) return Differs("the ledger ends within a transaction");
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<LedgerEntry>> ReadLedger(ctldb::Connection* connection) {
  std::vector<LedgerEntry> ledger;
  absl::Status status =
      connection->Query("SELECT seq, leader_ts, statement FROM ctlstore_dml_ledger ORDER BY seq",
                        {}, [&ledger](absl::Span<const ValueView> row) {
                          LedgerEntry entry;
                          entry.sequence = row[0].integer();
                          entry.leader_time = std::string(row[1].data());
                          entry.statement = std::string(row[2].data());
                          ledger.push_back(std::move(entry));
                          return absl::OkStatus();
                        });
  if (!status.ok()) return status;
  return ledger;
}

absl::Status CompareLedgerWithTables(ctldb::Connection* connection) {
  absl::StatusOr<std::vector<LedgerEntry>> ledger = ReadLedger(connection);
  if (!ledger.ok()) return ledger.status();
  sqlite3* opened = nullptr;
  const int code = sqlite3_open(":memory:", &opened);
  const Database database(opened);
  if (code != SQLITE_OK) return absl::InternalError("SQLite cannot open a database in memory");
  std::map<TableName, TableSchema> played;
  absl::Status status = Play(*ledger, database.get(), &played);
  if (!status.ok()) return status;

  absl::StatusOr<std::vector<TableSchema>> tables = ctldb::ReadTables(connection, "");
  if (!tables.ok()) return tables.status();
  if (tables->size() != played.size()) {
    return Differs(
        absl::StrCat("the ctldb has ", tables->size(), " tables, the ledger ", played.size()));
  }
  for (const TableSchema& schema : *tables) {
    const std::string name = SqlTableName(schema.name());
    const auto definition = played.find(schema.name());
    if (definition == played.end()) return Differs(absl::StrCat("the ledger has no ", name));
    if (definition->second != schema) {
      return Differs(absl::StrCat(name, ": ", DescribeDifference(definition->second, schema)));
    }
    absl::StatusOr<Rows> expected = CtldbRows(schema, connection);
    if (!expected.ok()) return expected.status();
    absl::StatusOr<Rows> actual = LocalRows(schema, database.get());
    if (!actual.ok()) return actual.status();
    if (*expected == *actual) continue;
    const auto difference =
        std::mismatch(expected->begin(), expected->end(), actual->begin(), actual->end());
    auto shown = [](const Rows& rows, Rows::const_iterator row) {
      return row == rows.end() ? std::string("nothing") : row->substr(0, 200);
    };
    return Differs(absl::StrCat(name, ": the ctldb has ", expected->size(), " rows, the ledger ",
                                actual->size(),
                                "; first difference: ", shown(*expected, difference.first), " and ",
                                shown(*actual, difference.second)));
  }
  return absl::OkStatus();
}

}  // namespace ctlstore::executive
