#include "common/ctldb/sqlite_dialect.h"

#include "absl/strings/str_cat.h"
#include "common/schema/limits.h"
#include "common/sql/ledger_statements.h"
#include "common/sql/quote.h"

namespace ctlstore::ctldb {
namespace {

std::string Quoted(absl::string_view name) {
  std::string quoted;
  sql::AppendIdentifier(name, &quoted);
  return quoted;
}

// `"name" TYPE` and the check. A check that comes out as NULL, as for a length of NULL, passes.
std::string Column(const Field& field, bool nullable) {
  const std::string name = Quoted(field.name);
  absl::string_view storage;
  std::string length;
  switch (field.type) {
    case FieldType::kString:
      storage = "text";
      length = absl::StrCat(" AND length(", name, ") <= ", limits::kStringMaxCharacters);
      break;
    case FieldType::kInteger:
      storage = "integer";
      break;
    case FieldType::kDecimal:
      storage = "real";
      break;
    case FieldType::kText:
      storage = "text";
      break;
    case FieldType::kBinary:
      storage = "blob";
      break;
    case FieldType::kBytestring:
      storage = "blob";
      length = absl::StrCat(" AND length(", name, ") <= ", limits::kBytestringMaxBytes);
      break;
  }
  return absl::StrCat(name, " ", sql::SqliteColumnType(field.type), nullable ? "" : " NOT NULL",
                      " CHECK (typeof(", name, ") IN ('", storage, "', 'null')", length, ")");
}

}  // namespace

std::vector<std::string> SqliteDialect::OwnTables() const {
  const char* const kTables[] = {
      "families (id INTEGER PRIMARY KEY, name VARCHAR(191) NOT NULL UNIQUE)",
      "mutators (writer VARCHAR(191) NOT NULL PRIMARY KEY, secret VARCHAR(255) NOT NULL, "
      "cookie BLOB, clock BIGINT NOT NULL DEFAULT 0)",
      "ctlstore_dml_ledger (seq INTEGER PRIMARY KEY, "
      "leader_ts TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')), "
      "statement TEXT NOT NULL)",
      "locks (id VARCHAR(191) NOT NULL PRIMARY KEY, clock BIGINT NOT NULL DEFAULT 0)",
      "max_table_sizes (family_name VARCHAR(191) NOT NULL, table_name VARCHAR(191) NOT NULL, "
      "warn_size_bytes BIGINT NOT NULL, max_size_bytes BIGINT NOT NULL, "
      "PRIMARY KEY (family_name, table_name))",
      "max_writer_rates (writer_name VARCHAR(191) NOT NULL PRIMARY KEY, "
      "max_rows_per_minute BIGINT NOT NULL)",
      "writer_usage (writer_name VARCHAR(191) NOT NULL, bucket BIGINT NOT NULL, "
      "amount BIGINT NOT NULL, PRIMARY KEY (writer_name, bucket))",
      // AUTOINCREMENT: an id is never used again.
      "ctlstore_schema_intents (id INTEGER PRIMARY KEY AUTOINCREMENT, statements TEXT NOT NULL, "
      "created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')))",
  };
  std::vector<std::string> statements;
  for (const char* table : kTables) {
    statements.push_back(absl::StrCat("CREATE TABLE IF NOT EXISTS ", table));
  }
  return statements;
}

std::string SqliteDialect::CreateTable(const TableSchema& schema) const {
  std::string sql = absl::StrCat("CREATE TABLE ", Quoted(SqlTableName(schema.name())), " (");
  for (size_t i = 0; i < schema.fields().size(); ++i) {
    absl::StrAppend(&sql, Column(schema.fields()[i], !schema.is_key(i)), ", ");
  }
  sql.append("PRIMARY KEY (");
  for (size_t i = 0; i < schema.key_positions().size(); ++i) {
    absl::StrAppend(&sql, i > 0 ? ", " : "", Quoted(schema.key_field(i).name));
  }
  sql.append("))");
  return sql;
}

std::vector<std::string> SqliteDialect::AddFields(const TableName& table,
                                                  absl::Span<const Field> fields) const {
  std::vector<std::string> statements;
  for (const Field& field : fields) {
    statements.push_back(absl::StrCat("ALTER TABLE ", Quoted(SqlTableName(table)), " ADD COLUMN ",
                                      Column(field, /*nullable=*/true)));
  }
  return statements;
}

std::string SqliteDialect::ColumnsQuery(Match match) const {
  const absl::string_view condition = match == Match::kName ? "= ?" : "LIKE ? ESCAPE '!'";
  return absl::StrCat(
      "SELECT t.name, c.name, c.type, c.pk FROM (SELECT name FROM sqlite_master "
      "WHERE type = 'table' AND name ",
      condition, ") t JOIN pragma_table_info(t.name) c WHERE t.name ", condition,
      " ORDER BY t.name, c.cid");
}

absl::StatusOr<FieldType> SqliteDialect::TypeOfColumn(absl::string_view column_type) const {
  return sql::FieldTypeOfSqliteColumn(column_type);
}

std::string SqliteDialect::OnDuplicateAdd(absl::string_view key, absl::string_view column) const {
  return absl::StrCat(" ON CONFLICT (", key, ") DO UPDATE SET ", column, " = ", column,
                      " + excluded.", column);
}

absl::string_view SqliteDialect::TableSizesQuery() const {
  return "SELECT m.tbl_name, SUM(d.pgsize) FROM sqlite_master m JOIN dbstat d ON d.name = m.name "
         "WHERE d.aggregate = 1 AND m.tbl_name LIKE '%!_!_!_%' ESCAPE '!' GROUP BY m.tbl_name";
}

}  // namespace ctlstore::ctldb
