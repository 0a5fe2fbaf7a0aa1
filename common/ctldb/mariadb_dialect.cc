#include "common/ctldb/mariadb_dialect.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/sql/quote.h"

namespace ctlstore::ctldb {
namespace {

absl::string_view ColumnType(FieldType type) {
  switch (type) {
    case FieldType::kString:
      return "VARCHAR(191)";
    case FieldType::kInteger:
      return "BIGINT";
    case FieldType::kDecimal:
      return "DOUBLE";
    case FieldType::kText:
      return "MEDIUMTEXT";
    case FieldType::kBinary:
      return "MEDIUMBLOB";
    case FieldType::kBytestring:
      return "VARBINARY(255)";
  }
  return "";
}

// Such names are the server's, not a database's, and of at most 64 characters.
constexpr char kDdlLockName[] = "CONCAT('ctlstore.', SHA1(DATABASE()))";
constexpr char kPruneLockName[] = "CONCAT('ctlstore.prune.', SHA1(DATABASE()))";

bool IsText(FieldType type) { return type == FieldType::kString || type == FieldType::kText; }

}  // namespace

std::string MariadbDialect::TableOptions() const {
  return absl::StrCat(" ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE ", collation_);
}

std::string MariadbDialect::Column(const Field& field) const {
  std::string column;
  sql::AppendIdentifier(field.name, &column);
  absl::StrAppend(&column, " ", ColumnType(field.type));
  if (IsText(field.type)) absl::StrAppend(&column, " CHARACTER SET utf8mb4 COLLATE ", collation_);
  return column;
}

std::vector<std::string> MariadbDialect::OwnTables() const {
  const char* const kTables[] = {
      "families (id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, name VARCHAR(191) NOT NULL UNIQUE)",
      "mutators (writer VARCHAR(191) NOT NULL PRIMARY KEY, secret VARCHAR(255) NOT NULL, "
      "cookie BLOB, clock BIGINT NOT NULL DEFAULT 0)",
      "ctlstore_dml_ledger (seq BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, "
      "leader_ts DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6), statement MEDIUMTEXT NOT NULL)",
      "locks (id VARCHAR(191) NOT NULL PRIMARY KEY, clock BIGINT NOT NULL DEFAULT 0)",
      "max_table_sizes (family_name VARCHAR(191) NOT NULL, table_name VARCHAR(191) NOT NULL, "
      "warn_size_bytes BIGINT NOT NULL, max_size_bytes BIGINT NOT NULL, "
      "PRIMARY KEY (family_name, table_name))",
      "max_writer_rates (writer_name VARCHAR(191) NOT NULL PRIMARY KEY, "
      "max_rows_per_minute BIGINT NOT NULL)",
      "writer_usage (writer_name VARCHAR(191) NOT NULL, bucket BIGINT NOT NULL, "
      "amount BIGINT NOT NULL, PRIMARY KEY (writer_name, bucket))",
      "ctlstore_schema_intents (id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, "
      "statements MEDIUMTEXT NOT NULL, "
      "created_at DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6))",
  };
  std::vector<std::string> statements;
  for (const char* table : kTables) {
    statements.push_back(absl::StrCat("CREATE TABLE IF NOT EXISTS ", table, TableOptions()));
  }
  return statements;
}

std::string MariadbDialect::TakeDdlLock() const {
  return absl::StrCat("SELECT COALESCE(GET_LOCK(", kDdlLockName,
                      ", @@SESSION.lock_wait_timeout), 0)");
}

std::string MariadbDialect::GiveDdlLock() const {
  return absl::StrCat("SELECT RELEASE_LOCK(", kDdlLockName, ")");
}

std::string MariadbDialect::TakePruneLock() const {
  return absl::StrCat("SELECT COALESCE(GET_LOCK(", kPruneLockName, ", 0), 0)");
}

std::string MariadbDialect::GivePruneLock() const {
  return absl::StrCat("SELECT RELEASE_LOCK(", kPruneLockName, ")");
}

absl::string_view MariadbDialect::LockOnlyRows() const {
  return "SET TRANSACTION ISOLATION LEVEL READ COMMITTED";
}

std::string MariadbDialect::CreateTable(const TableSchema& schema) const {
  std::string sql = "CREATE TABLE ";
  sql::AppendIdentifier(SqlTableName(schema.name()), &sql);
  sql.append(" (");
  for (size_t i = 0; i < schema.fields().size(); ++i) {
    absl::StrAppend(&sql, Column(schema.fields()[i]), schema.is_key(i) ? " NOT NULL" : "", ", ");
  }
  sql.append("PRIMARY KEY (");
  for (size_t i = 0; i < schema.key_positions().size(); ++i) {
    if (i > 0) sql.append(", ");
    sql::AppendIdentifier(schema.key_field(i).name, &sql);
  }
  absl::StrAppend(&sql, "))", TableOptions());
  return sql;
}

std::vector<std::string> MariadbDialect::AddFields(const TableName& table,
                                                   absl::Span<const Field> fields) const {
  if (fields.empty()) return {};
  // One statement, because each commits by itself.
  std::string sql = "ALTER TABLE ";
  sql::AppendIdentifier(SqlTableName(table), &sql);
  for (size_t i = 0; i < fields.size(); ++i) {
    absl::StrAppend(&sql, i > 0 ? ", " : " ", "ADD COLUMN ", Column(fields[i]));
  }
  return {sql};
}

std::string MariadbDialect::ColumnsQuery(Match match) const {
  const absl::string_view condition =
      match == Match::kName ? "table_name = ?" : "table_name LIKE ? ESCAPE '!'";
  // A union instead of a join: the server looks a schema's or a table's columns up only for
  // conditions with constants, and would read every table of every database for a join. Its two
  // halves are no one state of the catalog, so both say which columns are in the key.
  return absl::StrCat(
      "SELECT table_name, column_name, MAX(column_type), "
      "CASE WHEN MAX(column_type) = '' OR MAX(in_key) <> (MAX(position) > 0) THEN -1 "
      "ELSE MAX(position) END FROM ("
      "SELECT table_name AS table_name, column_name AS column_name, column_type AS column_type, "
      "ordinal_position AS ordinal, column_key = 'PRI' AS in_key, 0 AS position "
      "FROM information_schema.columns WHERE table_schema = DATABASE() AND ",
      condition,
      " UNION ALL "
      "SELECT table_name, column_name, '', 0, 0, seq_in_index FROM information_schema.statistics "
      "WHERE table_schema = DATABASE() AND index_name = 'PRIMARY' AND ",
      condition, ") parts GROUP BY table_name, column_name ORDER BY table_name, MAX(ordinal)");
}

absl::StatusOr<FieldType> MariadbDialect::TypeOfColumn(absl::string_view column_type) const {
  const std::string type = absl::AsciiStrToLower(column_type);
  // Older servers show a display width: bigint(20).
  if (type == "bigint" || (absl::StartsWith(type, "bigint(") && absl::EndsWith(type, ")"))) {
    return FieldType::kInteger;
  }
  for (const FieldType field_type : {FieldType::kString, FieldType::kDecimal, FieldType::kText,
                                     FieldType::kBinary, FieldType::kBytestring}) {
    if (type == absl::AsciiStrToLower(ColumnType(field_type))) return field_type;
  }
  return absl::NotFoundError(absl::StrCat("no field type has the column type ", column_type));
}

std::string MariadbDialect::OnDuplicateAdd(absl::string_view /*key*/,
                                           absl::string_view column) const {
  return absl::StrCat(" ON DUPLICATE KEY UPDATE ", column, " = ", column, " + VALUES(", column,
                      ")");
}

absl::string_view MariadbDialect::TableSizesQuery() const {
  return "SELECT table_name, CAST(COALESCE(data_length + index_length, 0) AS SIGNED) "
         "FROM information_schema.tables WHERE table_schema = DATABASE() "
         "AND table_type = 'BASE TABLE' AND table_name LIKE '%!_!_!_%' ESCAPE '!'";
}

absl::string_view MariadbDialect::FreshTableSizes() const {
  // MySQL shows figures that are up to a day old otherwise. MariaDB, which has no such variable,
  // passes over comments for MySQL 8.
  return "SET SESSION time_zone = '+00:00' /*!80000 , information_schema_stats_expiry = 0 */";
}

}  // namespace ctlstore::ctldb
