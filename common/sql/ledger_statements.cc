#include "common/sql/ledger_statements.h"

#include <cstddef>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/sql/quote.h"
#include "common/sql/scanner.h"

namespace ctlstore::sql {
namespace {

// A column's type is words and perhaps a length in parentheses, without white space.
bool TakeColumnType(absl::string_view statement, Scanner* scanner, FieldType* type) {
  const size_t begin = scanner->SkipSpace();
  size_t end = begin;
  while (end < statement.size() && !Scanner::IsSpace(statement[end]) &&
         !absl::StrContains(",);", statement[end])) {
    ++end;
  }
  // The parenthesis that ends the type is part of it when there is one that begins it.
  if (end < statement.size() && statement[end] == ')' &&
      absl::StrContains(statement.substr(begin, end - begin), '(')) {
    ++end;
  }
  absl::StatusOr<FieldType> found = FieldTypeOfSqliteColumn(statement.substr(begin, end - begin));
  if (!found.ok()) return false;
  *type = *found;
  scanner->set_position(end);
  return true;
}

// A field as CREATE TABLE and ADD COLUMN define it.
bool TakeField(absl::string_view statement, Scanner* scanner, Field* field) {
  absl::string_view name;
  if (!scanner->TakeIdentifier(&name)) return false;
  field->name = std::string(name);
  return TakeColumnType(statement, scanner, &field->type);
}

bool TakeTableName(Scanner* scanner, TableName* table) {
  absl::string_view sql_name;
  if (!scanner->TakeIdentifier(&sql_name)) return false;
  absl::StatusOr<TableName> name = ParseSqlTableName(sql_name);
  if (!name.ok()) return false;
  *table = *std::move(name);
  return true;
}

bool ScanCreateTable(absl::string_view statement, TableName* table, std::vector<Field>* fields,
                     std::vector<std::string>* key_fields) {
  Scanner scanner(statement);
  if (!scanner.TakeWord("CREATE") || !scanner.TakeWord("TABLE") ||
      !TakeTableName(&scanner, table) || !scanner.TakeChar('(')) {
    return false;
  }
  while (!scanner.TakeWord("PRIMARY")) {
    Field field;
    if (!TakeField(statement, &scanner, &field) || !scanner.TakeChar(',')) return false;
    fields->push_back(std::move(field));
  }
  if (!scanner.TakeWord("KEY") || !scanner.TakeChar('(')) return false;
  do {
    absl::string_view name;
    if (!scanner.TakeIdentifier(&name)) return false;
    key_fields->push_back(std::string(name));
  } while (scanner.TakeChar(','));
  return scanner.TakeChar(')') && scanner.TakeChar(')') && scanner.TakeEnd();
}

bool ScanAddField(absl::string_view statement, AddedField* added) {
  Scanner scanner(statement);
  return scanner.TakeWord("ALTER") && scanner.TakeWord("TABLE") &&
         TakeTableName(&scanner, &added->table) && scanner.TakeWord("ADD") &&
         scanner.TakeWord("COLUMN") && TakeField(statement, &scanner, &added->field) &&
         scanner.TakeEnd();
}

}  // namespace

std::string CreateTableStatement(const TableSchema& schema) {
  std::string sql = absl::StrCat("CREATE TABLE ", SqlTableName(schema.name()), " (");
  for (const Field& field : schema.fields()) {
    AppendIdentifier(field.name, &sql);
    absl::StrAppend(&sql, " ", SqliteColumnType(field.type), ", ");
  }
  const char* separator = "PRIMARY KEY(";
  for (size_t i = 0; i < schema.key_positions().size(); ++i) {
    sql += separator;
    AppendIdentifier(schema.key_field(i).name, &sql);
    separator = ",";
  }
  sql += "));";
  return sql;
}

std::string AddFieldStatement(const TableName& table, const Field& field) {
  std::string sql = absl::StrCat("ALTER TABLE ", SqlTableName(table), " ADD COLUMN ");
  AppendIdentifier(field.name, &sql);
  absl::StrAppend(&sql, " ", SqliteColumnType(field.type));
  return sql;
}

std::string DropTableStatement(const TableName& table) {
  return absl::StrCat("DROP TABLE IF EXISTS ", SqlTableName(table));
}

std::string ClearTableStatement(const TableName& table) {
  return absl::StrCat("DELETE FROM ", SqlTableName(table));
}

std::string UpsertStatement(const TableSchema& schema, absl::Span<const ValueView> row) {
  std::string sql = absl::StrCat("REPLACE INTO ", SqlTableName(schema.name()));
  const char* separator = " (";
  for (const Field& field : schema.fields()) {
    sql += separator;
    AppendIdentifier(field.name, &sql);
    separator = ",";
  }
  separator = ") VALUES(";
  for (const ValueView& value : row) {
    sql += separator;
    AppendLiteral(value, &sql);
    separator = ",";
  }
  sql += ")";
  return sql;
}

std::string DeleteStatement(const TableSchema& schema, absl::Span<const ValueView> key) {
  std::string sql = absl::StrCat("DELETE FROM ", SqlTableName(schema.name()));
  const char* separator = " WHERE ";
  for (size_t i = 0; i < schema.key_positions().size(); ++i) {
    sql += separator;
    AppendIdentifier(schema.key_field(i).name, &sql);
    sql += " = ";
    AppendLiteral(key[i], &sql);
    separator = " AND ";
  }
  return sql;
}

absl::StatusOr<TableSchema> ParseCreateTable(absl::string_view statement) {
  TableName table;
  std::vector<Field> fields;
  std::vector<std::string> key_fields;
  if (!ScanCreateTable(statement, &table, &fields, &key_fields)) {
    return absl::InvalidArgumentError("not a CREATE TABLE of the ledger's form");
  }
  absl::StatusOr<TableSchema> schema =
      TableSchema::Create(table.family, table.table, fields, key_fields);
  if (!schema.ok()) return schema.status();
  // Names that are stored in another form than they are written in would make it another table.
  if (schema->fields() != fields || schema->key_field_names() != key_fields) {
    return absl::InvalidArgumentError("the names in a CREATE TABLE are not in lower case");
  }
  return schema;
}

absl::StatusOr<AddedField> ParseAddField(absl::string_view statement) {
  AddedField added;
  if (!ScanAddField(statement, &added)) {
    return absl::InvalidArgumentError("not an ALTER TABLE ADD COLUMN of the ledger's form");
  }
  absl::StatusOr<std::string> name = NormalizeFieldName("name", added.field.name);
  if (!name.ok()) return name.status();
  if (*name != added.field.name) {
    return absl::InvalidArgumentError("the name in an ADD COLUMN is not in lower case");
  }
  return added;
}

absl::StatusOr<TableName> ParseDropTable(absl::string_view statement) {
  Scanner scanner(statement);
  TableName table;
  if (scanner.TakeWord("DROP") && scanner.TakeWord("TABLE") && scanner.TakeWord("IF") &&
      scanner.TakeWord("EXISTS") && TakeTableName(&scanner, &table) && scanner.TakeEnd()) {
    return table;
  }
  return absl::InvalidArgumentError("not a DROP TABLE IF EXISTS of the ledger's form");
}

absl::StatusOr<TableName> ParseClearTable(absl::string_view statement) {
  Scanner scanner(statement);
  TableName table;
  if (scanner.TakeWord("DELETE") && scanner.TakeWord("FROM") && TakeTableName(&scanner, &table) &&
      scanner.TakeEnd()) {
    return table;
  }
  return absl::InvalidArgumentError("not a DELETE of all rows of the ledger's form");
}

absl::string_view SqliteColumnType(FieldType type) {
  switch (type) {
    case FieldType::kString:
      return "VARCHAR(191)";
    case FieldType::kInteger:
      return "INTEGER";
    case FieldType::kDecimal:
      return "REAL";
    case FieldType::kText:
      return "TEXT";
    case FieldType::kBinary:
      return "BLOB";
    case FieldType::kBytestring:
      return "BLOB(255)";
  }
  return "";
}

absl::StatusOr<FieldType> FieldTypeOfSqliteColumn(absl::string_view column_type) {
  for (FieldType type : {FieldType::kString, FieldType::kInteger, FieldType::kDecimal,
                         FieldType::kText, FieldType::kBinary, FieldType::kBytestring}) {
    if (absl::EqualsIgnoreCase(SqliteColumnType(type), column_type)) return type;
  }
  return absl::NotFoundError(
      absl::StrCat("no field has the column type ", absl::CHexEscape(column_type)));
}

}  // namespace ctlstore::sql
