#include "common/sql/dml.h"

#include <cstddef>

#include "common/schema/names.h"
#include "common/sql/quote.h"

namespace ctlstore::sql {

std::string UpsertSql(const TableSchema& schema) {
  std::string sql = "REPLACE INTO ";
  AppendIdentifier(SqlTableName(schema.name()), &sql);
  std::string parameters;
  const char* separator = " (";
  for (const Field& field : schema.fields()) {
    sql += separator;
    AppendIdentifier(field.name, &sql);
    parameters += parameters.empty() ? "?" : ",?";
    separator = ",";
  }
  sql += ") VALUES (";
  sql += parameters;
  sql += ")";
  return sql;
}

std::string DeleteSql(const TableSchema& schema) {
  std::string sql = "DELETE FROM ";
  AppendIdentifier(SqlTableName(schema.name()), &sql);
  const char* separator = " WHERE ";
  for (size_t i = 0; i < schema.key_positions().size(); ++i) {
    sql += separator;
    AppendIdentifier(schema.key_field(i).name, &sql);
    sql += " = ?";
    separator = " AND ";
  }
  return sql;
}

}  // namespace ctlstore::sql
