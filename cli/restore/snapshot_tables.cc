#include "cli/restore/snapshot_tables.h"

#include <sqlite3.h>

#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/ldb/table_checksum.h"
#include "common/schema/errors.h"
#include "common/schema/names.h"
#include "common/sqlite/database.h"

namespace ctlstore::cli {
namespace {

using snapshot::TableSummary;

absl::Status Damaged(absl::string_view what) {
  return ErrorWithReason(absl::StatusCode::kDataLoss, reason::kSnapshotDamaged, what);
}

absl::StatusOr<std::vector<std::string>> ListTables(sqlite::Database* database) {
  absl::StatusOr<std::unique_ptr<sqlite::Statement>> statement =
      database->Prepare("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name");
  if (!statement.ok()) return statement.status();
  std::vector<std::string> tables;
  absl::StatusOr<bool> row;
  while ((row = (*statement)->Step()).ok() && *row) {
    const absl::string_view name = (*statement)->Column(0).data();
    if (absl::StartsWith(name, "_ldb_") || absl::StartsWith(name, "sqlite_")) continue;
    tables.emplace_back(name);
  }
  if (!row.ok()) return row.status();
  return tables;
}

absl::Status Compare(const std::string& name, const TableSummary& said,
                     const ldb::ChecksummedTable& found) {
  if (found.rows != said.rows) {
    return Damaged(absl::StrCat("the table ", name, " has ", found.rows,
                                " rows, and by the manifest ", said.rows));
  }
  if (found.checksum == said.checksum) return absl::OkStatus();
  return Damaged(absl::StrCat("the table ", name, " has the checksum ",
                              absl::BytesToHexString(found.checksum), ", and by the manifest ",
                              absl::BytesToHexString(said.checksum)));
}

}  // namespace

absl::Status CheckTables(const std::string& ldb_path, const snapshot::Manifest& manifest) {
  absl::StatusOr<std::unique_ptr<sqlite::Database>> database =
      sqlite::Database::Open(ldb_path, sqlite::Database::Mode::kReadOnly, absl::Seconds(5));
  if (!database.ok()) return database.status();
  sqlite3_db_config((*database)->handle(), SQLITE_DBCONFIG_DQS_DML, 0, nullptr);
  absl::Status status = (*database)->Execute("BEGIN");
  if (!status.ok()) return status;
  absl::StatusOr<std::vector<std::string>> tables = ListTables(database->get());
  if (!tables.ok()) return tables.status();

  // By the name in the database.
  std::map<std::string, const TableSummary*> said;
  for (const TableSummary& table : manifest.tables) {
    said[SqlTableName({table.family, table.table})] = &table;
  }
  for (const std::string& table : *tables) {
    const auto found = said.find(table);
    const absl::StatusOr<TableName> name = ParseSqlTableName(table);
    const std::string shown = name.ok() ? absl::StrCat(name->family, ".", name->table) : table;
    if (found == said.end()) {
      return Damaged(absl::StrCat("it has a table ", shown, " that the manifest does not name"));
    }
    absl::StatusOr<ldb::ChecksummedTable> summed = ldb::ChecksumTable(database->get(), table);
    if (!summed.ok()) return summed.status();
    status = Compare(shown, *found->second, *summed);
    if (!status.ok()) return status;
    said.erase(found);
  }
  if (said.empty()) return absl::OkStatus();
  const TableSummary& missing = *said.begin()->second;
  return Damaged(absl::StrCat("it has no table ", missing.family, ".", missing.table,
                              ", which the manifest names"));
}

}  // namespace ctlstore::cli
