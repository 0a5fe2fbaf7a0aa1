#include "common/ldb/adopt_snapshot.h"

#include <algorithm>
#include <filesystem>
#include <memory>
#include <system_error>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/ldb/ldb_tables.h"
#include "common/schema/errors.h"
#include "common/schema/names.h"
#include "common/schema/value.h"
#include "common/sqlite/database.h"

namespace ctlstore::ldb {
namespace {

constexpr absl::Duration kBusyTimeout = absl::Seconds(5);
constexpr char kForgetIdentity[] = "DELETE FROM _ldb_state WHERE name = 'identity'";
constexpr char kListTables[] =
    "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE "
    "'\\' ORDER BY name";
constexpr char kWriteFamilies[] = "REPLACE INTO _ldb_state (name, value) VALUES ('families', ?)";

// The first column of all rows.
absl::StatusOr<std::vector<Value>> ReadColumn(sqlite::Database* database, absl::string_view sql) {
  absl::StatusOr<std::unique_ptr<sqlite::Statement>> statement = database->Prepare(sql);
  if (!statement.ok()) return statement.status();
  std::vector<Value> values;
  while (true) {
    const absl::StatusOr<bool> row = (*statement)->Step();
    if (!row.ok()) return row.status();
    if (!*row) return values;
    values.push_back(Value((*statement)->Column(0)));
  }
}

// Which families the copy has; who does not say so has all.
absl::StatusOr<std::vector<std::string>> FamiliesOf(sqlite::Database* database) {
  absl::StatusOr<std::vector<Value>> stored =
      ReadColumn(database, "SELECT value FROM _ldb_state WHERE name = 'families'");
  if (!stored.ok()) return stored.status();
  std::vector<std::string> families;
  if (!stored->empty() && stored->front().kind() == ValueKind::kText &&
      !stored->front().data().empty()) {
    families = absl::StrSplit(stored->front().data(), ',');
  }
  return families;
}

absl::Status CheckFamilies(const std::vector<std::string>& had,
                           const std::vector<std::string>& wanted) {
  if (had.empty()) return absl::OkStatus();
  if (!wanted.empty() && std::includes(had.begin(), had.end(), wanted.begin(), wanted.end())) {
    return absl::OkStatus();
  }
  return ErrorWithReason(
      absl::StatusCode::kFailedPrecondition, reason::kFamiliesDiffer,
      absl::StrCat("the snapshot has the families ", absl::StrJoin(had, ","), ", and ",
                   wanted.empty() ? std::string("all") : absl::StrJoin(wanted, ","),
                   " are wanted"));
}

absl::Status DropOthers(sqlite::Database* database, const std::vector<std::string>& families) {
  const absl::StatusOr<std::vector<Value>> tables = ReadColumn(database, kListTables);
  if (!tables.ok()) return tables.status();
  for (const Value& table : *tables) {
    const std::string& sql_name = table.data();
    // The history tells keys of all families.
    const bool is_own = absl::StartsWith(sql_name, "_ldb_") && sql_name != "_ldb_changes";
    const absl::StatusOr<TableName> name = ParseSqlTableName(sql_name);
    if (is_own ||
        (name.ok() && std::binary_search(families.begin(), families.end(), name->family))) {
      continue;
    }
    const absl::Status dropped = database->Execute(
        absl::StrCat("DROP TABLE \"", absl::StrReplaceAll(sql_name, {{"\"", "\"\""}}), "\""));
    if (!dropped.ok()) return dropped;
  }
  return absl::OkStatus();
}

absl::Status WriteFamilies(sqlite::Database* database, const std::vector<std::string>& families) {
  absl::StatusOr<std::unique_ptr<sqlite::Statement>> statement = database->Prepare(kWriteFamilies);
  if (!statement.ok()) return statement.status();
  const std::string text = absl::StrJoin(families, ",");
  absl::Status status = (*statement)->Bind(1, text);
  return status.ok() ? (*statement)->Run() : status;
}

// Writes a compact copy, in which nothing is left of what was dropped.
absl::Status VacuumInto(sqlite::Database* database, const std::string& path) {
  absl::StatusOr<std::unique_ptr<sqlite::Statement>> statement = database->Prepare("VACUUM INTO ?");
  if (!statement.ok()) return statement.status();
  absl::Status status = (*statement)->Bind(1, path);
  return status.ok() ? (*statement)->Run() : status;
}

void RemoveFiles(const std::string& path) {
  std::error_code ignored;
  for (const char* suffix : {"", "-wal", "-shm"}) {
    std::filesystem::remove(absl::StrCat(path, suffix), ignored);
  }
}

// Changes the copy; `*less` says whether tables were taken out.
absl::Status Change(sqlite::Database* database, const std::vector<std::string>& families,
                    bool* less) {
  absl::Status status = database->Execute("PRAGMA synchronous=FULL");
  if (status.ok()) status = database->Execute("BEGIN IMMEDIATE");
  if (status.ok()) status = database->Execute(kCreateStateTable);
  if (!status.ok()) return status;
  const absl::StatusOr<std::vector<std::string>> had = FamiliesOf(database);
  if (!had.ok()) return had.status();
  status = CheckFamilies(*had, families);
  *less = *had != families;
  if (status.ok() && *less) status = DropOthers(database, families);
  if (status.ok() && *less) status = WriteFamilies(database, families);
  if (status.ok()) status = database->Execute(kForgetIdentity);
  return status.ok() ? database->Execute("COMMIT") : status;
}

}  // namespace

absl::Status AdoptSnapshot(const std::string& copy_path, const std::string& path,
                           const std::vector<std::string>& families) {
  bool less = false;
  {
    absl::StatusOr<std::unique_ptr<sqlite::Database>> database =
        sqlite::Database::Open(copy_path, sqlite::Database::Mode::kReadWrite, kBusyTimeout);
    if (!database.ok()) return database.status();
    absl::Status status = Change(database->get(), families, &less);
    if (status.ok() && less) status = VacuumInto(database->get(), path);
    bool wal_reset = false;
    // What was changed has to be in the file itself before its WAL is removed.
    if (status.ok() && !less) status = (*database)->Checkpoint(&wal_reset);
    if (status.ok() && !less && !wal_reset) {
      status = absl::UnavailableError(
          absl::StrCat(copy_path, " is open elsewhere, so that its WAL cannot be emptied"));
    }
    if (!status.ok()) {
      if (less) RemoveFiles(path);
      return status;
    }
  }
  if (less) {
    RemoveFiles(copy_path);
    return absl::OkStatus();
  }
  std::error_code error;
  std::filesystem::rename(copy_path, path, error);
  if (error) {
    return absl::UnavailableError(
        absl::StrCat("cannot move ", copy_path, " to ", path, ": ", error.message()));
  }
  RemoveFiles(copy_path);
  return absl::OkStatus();
}

}  // namespace ctlstore::ldb
