// Statements with parameters for the rows of a control data table. The same text runs on MariaDB
// (with ANSI_QUOTES) and on SQLite.

#ifndef CTLSTORE_COMMON_SQL_DML_H_
#define CTLSTORE_COMMON_SQL_DML_H_

#include <string>

#include "common/schema/table_schema.h"

namespace ctlstore::sql {

// REPLACE INTO "fam___tbl" ("a","b") VALUES (?,?)
// One parameter for each field, in table order.
std::string UpsertSql(const TableSchema& schema);

// DELETE FROM "fam___tbl" WHERE "a" = ? AND "b" = ?
// One parameter for each key field, in key order.
std::string DeleteSql(const TableSchema& schema);

}  // namespace ctlstore::sql

#endif  // CTLSTORE_COMMON_SQL_DML_H_
