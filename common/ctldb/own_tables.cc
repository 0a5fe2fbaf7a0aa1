#include "common/ctldb/own_tables.h"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/ctldb/catalog_columns.h"

namespace ctlstore::ctldb {
namespace {

constexpr absl::string_view kLedgerLockRow = "ledger";
constexpr absl::string_view kSchemaVersionRow = "schema";

enum class Kind { kInteger, kText, kTextOrBytes, kTime };

struct Column {
  const char* name;
  Kind kind;
  // From 1; 0 for a column outside the primary key.
  int64_t key_position;
};

struct Table {
  const char* name;
  std::vector<Column> columns;
};

// What the code relies on; other columns may be there too.
const std::vector<Table>& NeededTables() {
  static const auto* const tables = new std::vector<Table>{
      {"families", {{"id", Kind::kInteger, 1}, {"name", Kind::kText, 0}}},
      {"mutators",
       {{"writer", Kind::kTextOrBytes, 1},
        {"secret", Kind::kTextOrBytes, 0},
        {"cookie", Kind::kTextOrBytes, 0},
        {"clock", Kind::kInteger, 0}}},
      {"ctlstore_dml_ledger",
       {{"seq", Kind::kInteger, 1},
        {"leader_ts", Kind::kTime, 0},
        {"statement", Kind::kTextOrBytes, 0}}},
      {"locks", {{"id", Kind::kText, 1}, {"clock", Kind::kInteger, 0}}},
      {"max_table_sizes",
       {{"family_name", Kind::kText, 1},
        {"table_name", Kind::kText, 2},
        {"warn_size_bytes", Kind::kInteger, 0},
        {"max_size_bytes", Kind::kInteger, 0}}},
      {"max_writer_rates",
       {{"writer_name", Kind::kTextOrBytes, 1}, {"max_rows_per_minute", Kind::kInteger, 0}}},
      {"writer_usage",
       {{"writer_name", Kind::kTextOrBytes, 1},
        {"bucket", Kind::kInteger, 2},
        {"amount", Kind::kInteger, 0}}},
      {"ctlstore_schema_intents", {{"id", Kind::kInteger, 1}, {"statements", Kind::kText, 0}}},
  };
  return *tables;
}

// With names and types in lower case.
absl::StatusOr<std::vector<CatalogColumn>> ReadColumns(Connection* connection,
                                                       const std::string& table) {
  absl::StatusOr<std::vector<CatalogColumn>> found =
      ReadCatalogColumns(connection, Dialect::Match::kName, table);
  if (!found.ok()) return found.status();
  std::vector<CatalogColumn> columns;
  for (CatalogColumn& column : *found) {
    if (!absl::EqualsIgnoreCase(column.table, table)) continue;
    absl::AsciiStrToLower(&column.name);
    absl::AsciiStrToLower(&column.type);
    columns.push_back(std::move(column));
  }
  return columns;
}

bool IsOfKind(absl::string_view type, Kind kind) {
  const bool text = absl::StrContains(type, "char") || absl::StrContains(type, "text");
  switch (kind) {
    case Kind::kInteger:
      return absl::StrContains(type, "int");
    case Kind::kText:
      return text;
    case Kind::kTextOrBytes:
      return text || absl::StrContains(type, "blob") || absl::StrContains(type, "binary");
    case Kind::kTime:
      return text || absl::StartsWith(type, "datetime") || absl::StartsWith(type, "timestamp");
  }
  return false;
}

absl::Status CheckTable(const Table& table, const std::vector<CatalogColumn>& found) {
  const auto wrong = [&table](absl::string_view what) {
    return absl::FailedPreconditionError(
        absl::StrCat("the ctldb's table ", table.name, " is not ctlstore's: ", what));
  };
  for (const Column& column : table.columns) {
    const CatalogColumn* match = nullptr;
    for (const CatalogColumn& candidate : found) {
      if (candidate.name == column.name) match = &candidate;
    }
    if (match == nullptr) return wrong(absl::StrCat("it has no column ", column.name));
    if (!IsOfKind(match->type, column.kind)) {
      return wrong(absl::StrCat("its column ", column.name, " is a ", match->type));
    }
    if (match->key_position != column.key_position) {
      return wrong(column.key_position == 0
                       ? absl::StrCat("its column ", column.name, " is in the primary key")
                       : absl::StrCat("its column ", column.name, " is not number ",
                                      column.key_position, " of the primary key"));
    }
  }
  for (const CatalogColumn& column : found) {
    if (column.key_position == 0) continue;
    bool expected = false;
    for (const Column& needed : table.columns) {
      expected = expected || (column.name == needed.name && needed.key_position > 0);
    }
    if (!expected) return wrong(absl::StrCat("its column ", column.name, " is in the primary key"));
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> LockRowExists(Connection* connection, absl::string_view id) {
  bool exists = false;
  absl::Status status = connection->Query("SELECT clock FROM locks WHERE id = ?", {id},
                                          [&](absl::Span<const ValueView>) {
                                            exists = true;
                                            return absl::OkStatus();
                                          });
  if (!status.ok()) return status;
  return exists;
}

absl::Status CreateMissing(Connection* connection) {
  for (const std::string& statement : connection->dialect().OwnTables()) {
    absl::StatusOr<int64_t> created = connection->Execute(statement);
    if (!created.ok()) return created.status();
  }
  return absl::OkStatus();
}

absl::Status EnsureLockRow(Connection* connection, absl::string_view id) {
  absl::StatusOr<bool> exists = LockRowExists(connection, id);
  if (!exists.ok()) return exists.status();
  if (*exists) return absl::OkStatus();
  return connection
      ->Execute(absl::StrCat(connection->dialect().InsertIgnore(),
                             " INTO locks (id, clock) VALUES (?, ?)"),
                {id, 0})
      .status();
}

// Runs `change` in a transaction where changes of tables can be in one, else by itself.
absl::Status InTransactionIfPossible(Connection* connection, absl::Status (*change)(Connection*)) {
  if (!connection->dialect().transactional_ddl()) return change(connection);
  absl::Status status = connection->BeginWrite();
  if (!status.ok()) return status;
  status = change(connection);
  if (status.ok()) status = connection->Commit();
  connection->Rollback();
  return status;
}

}  // namespace

absl::Status EnsureOwnTables(Connection* connection) {
  // What is there is looked at first, so that a user without the right to create tables can use a
  // complete ctldb.
  bool created = false;
  for (const Table& table : NeededTables()) {
    absl::StatusOr<std::vector<CatalogColumn>> columns = ReadColumns(connection, table.name);
    if (!columns.ok()) return columns.status();
    if (columns->empty() && !created) {
      absl::Status status = InTransactionIfPossible(connection, CreateMissing);
      if (!status.ok()) return status;
      created = true;
      columns = ReadColumns(connection, table.name);
      if (!columns.ok()) return columns.status();
    }
    absl::Status status = CheckTable(table, *columns);
    if (!status.ok()) return status;
  }
  absl::Status status = EnsureLockRow(connection, kLedgerLockRow);
  if (!status.ok()) return status;
  // Whoever counts the first change of a table adds this row where it is missing, so a user who may
  // not add it is not refused for that.
  status = EnsureLockRow(connection, kSchemaVersionRow);
  if (!absl::IsPermissionDenied(status) && !absl::IsFailedPrecondition(status)) return status;
  return absl::OkStatus();
}

}  // namespace ctlstore::ctldb
