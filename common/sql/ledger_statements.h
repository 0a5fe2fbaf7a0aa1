// The statements of the ledger, written and read: SQL text that any SQLite can run as it is. The
// format is that of the Go ctlstore (docs/formats.md), so that both kinds of reflector can play one
// ledger.

#ifndef CTLSTORE_COMMON_SQL_LEDGER_STATEMENTS_H_
#define CTLSTORE_COMMON_SQL_LEDGER_STATEMENTS_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "common/schema/names.h"
#include "common/schema/table_schema.h"
#include "common/schema/value.h"

namespace ctlstore::sql {

// CREATE TABLE fam___tbl ("a" VARCHAR(191), "b" INTEGER, PRIMARY KEY("a"));
std::string CreateTableStatement(const TableSchema& schema);

// ALTER TABLE fam___tbl ADD COLUMN "c" TEXT
std::string AddFieldStatement(const TableName& table, const Field& field);

// DROP TABLE IF EXISTS fam___tbl
std::string DropTableStatement(const TableName& table);

// DELETE FROM fam___tbl
std::string ClearTableStatement(const TableName& table);

// REPLACE INTO fam___tbl ("a","b") VALUES('x',1)
// `row` has a value for each field, in table order.
std::string UpsertStatement(const TableSchema& schema, absl::Span<const ValueView> row);

// DELETE FROM fam___tbl WHERE "a" = 'x' AND "b" = 1
// `key` has a value for each key field, in key order.
std::string DeleteStatement(const TableSchema& schema, absl::Span<const ValueView> key);

// The reverse of CreateTableStatement. INVALID_ARGUMENT where `statement` is anything else.
absl::StatusOr<TableSchema> ParseCreateTable(absl::string_view statement);

struct AddedField {
  TableName table;
  Field field;
};

// The reverse of AddFieldStatement. INVALID_ARGUMENT where `statement` is anything else.
absl::StatusOr<AddedField> ParseAddField(absl::string_view statement);

// The reverse of DropTableStatement and ClearTableStatement. INVALID_ARGUMENT where `statement` is
// anything else; ParseDropTable takes no DROP without IF EXISTS, ParseClearTable no DELETE with a
// condition.
absl::StatusOr<TableName> ParseDropTable(absl::string_view statement);
absl::StatusOr<TableName> ParseClearTable(absl::string_view statement);

// The column type of a field in SQLite, e.g. VARCHAR(191), and the reverse, which takes what
// `PRAGMA table_info` says (any case). NOT_FOUND for types that no field has.
absl::string_view SqliteColumnType(FieldType type);
absl::StatusOr<FieldType> FieldTypeOfSqliteColumn(absl::string_view column_type);

}  // namespace ctlstore::sql

#endif  // CTLSTORE_COMMON_SQL_LEDGER_STATEMENTS_H_
