#include "common/sql/ledger_statements.h"

#include <gtest/gtest.h>

#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/sql/random_data.h"
#include "common/sqlite/database.h"

namespace ctlstore::sql {
namespace {

TableSchema AllTypes() {
  return *TableSchema::Create("fam", "tbl",
                              {{"a", FieldType::kString},
                               {"b", FieldType::kInteger},
                               {"c", FieldType::kDecimal},
                               {"d", FieldType::kText},
                               {"e", FieldType::kBinary},
                               {"f", FieldType::kBytestring}},
                              {"f", "a"});
}

TEST(LedgerStatementsTest, CreateTable) {
  EXPECT_EQ(CreateTableStatement(*TableSchema::Create(
                "fam", "tbl", {{"a", FieldType::kString}, {"b", FieldType::kInteger}}, {"a"})),
            "CREATE TABLE fam___tbl (\"a\" VARCHAR(191), \"b\" INTEGER, PRIMARY KEY(\"a\"));");
  EXPECT_EQ(CreateTableStatement(AllTypes()),
            "CREATE TABLE fam___tbl (\"a\" VARCHAR(191), \"b\" INTEGER, \"c\" REAL, \"d\" TEXT, "
            "\"e\" BLOB, \"f\" BLOB(255), PRIMARY KEY(\"f\",\"a\"));");
}

TEST(LedgerStatementsTest, AddField) {
  EXPECT_EQ(AddFieldStatement({"fam", "tbl"}, {"c", FieldType::kText}),
            "ALTER TABLE fam___tbl ADD COLUMN \"c\" TEXT");
}

TEST(LedgerStatementsTest, DropTable) {
  EXPECT_EQ(DropTableStatement({"fam", "tbl"}), "DROP TABLE IF EXISTS fam___tbl");
}

TEST(LedgerStatementsTest, ClearTable) {
  EXPECT_EQ(ClearTableStatement({"fam", "tbl"}), "DELETE FROM fam___tbl");
}

TEST(LedgerStatementsTest, Upsert) {
  EXPECT_EQ(UpsertStatement(
                *TableSchema::Create(
                    "fam", "tbl", {{"a", FieldType::kString}, {"b", FieldType::kInteger}}, {"a"}),
                {"x", 1}),
            "REPLACE INTO fam___tbl (\"a\",\"b\") VALUES('x',1)");
  EXPECT_EQ(UpsertStatement(AllTypes(), {"it's", -1, 0.5, ValueView(), ValueView::Bytes("\xAB"),
                                         ValueView::Bytes("")}),
            "REPLACE INTO fam___tbl (\"a\",\"b\",\"c\",\"d\",\"e\",\"f\") "
            "VALUES('it''s',-1,0.5,NULL,x'ab',x'')");
}

TEST(LedgerStatementsTest, Delete) {
  EXPECT_EQ(DeleteStatement(AllTypes(), {ValueView::Bytes("z"), "x"}),
            "DELETE FROM fam___tbl WHERE \"f\" = x'7a' AND \"a\" = 'x'");
}

TEST(LedgerStatementsTest, SqliteRunsAllOfThem) {
  std::unique_ptr<sqlite::Database> database =
      *sqlite::Database::Open(":memory:", sqlite::Database::Mode::kReadWrite, absl::ZeroDuration());
  RandomData random(1);
  for (int i = 0; i < 300; ++i) {
    TableSchema schema = random.Table("fam", absl::StrCat("tbl", i));
    ASSERT_TRUE(database->Execute(CreateTableStatement(schema)).ok());
    const Field added{"added", random.Type()};
    ASSERT_TRUE(database->Execute(AddFieldStatement(schema.name(), added)).ok());
    std::vector<Field> ignored;
    schema = *schema.WithFields({added}, &ignored);
    std::vector<Value> row;
    for (size_t field = 0; field < schema.fields().size(); ++field) {
      row.push_back(random.Of(schema.fields()[field].type, !schema.is_key(field)));
    }
    std::vector<ValueView> values(row.begin(), row.end());
    ASSERT_TRUE(database->Execute(UpsertStatement(schema, values)).ok());
    std::vector<ValueView> key;
    for (size_t position : schema.key_positions()) key.push_back(values[position]);
    ASSERT_TRUE(database->Execute(DeleteStatement(schema, key)).ok());
    ASSERT_EQ(database->changes(), 1) << DeleteStatement(schema, key);
    ASSERT_TRUE(database->Execute(UpsertStatement(schema, values)).ok());
    ASSERT_TRUE(database->Execute(ClearTableStatement(schema.name())).ok());
    ASSERT_EQ(database->changes(), 1) << ClearTableStatement(schema.name());
    ASSERT_TRUE(database->Execute(DropTableStatement(schema.name())).ok());
    ASSERT_FALSE(database->Execute(ClearTableStatement(schema.name())).ok());
    ASSERT_TRUE(database->Execute(DropTableStatement(schema.name())).ok());
  }
}

TEST(LedgerStatementsTest, ParsesWhatItWrites) {
  RandomData random(2);
  for (int i = 0; i < 2000; ++i) {
    const TableSchema schema = random.Table("fam_ily", absl::StrCat("tbl", i));
    absl::StatusOr<TableSchema> parsed = ParseCreateTable(CreateTableStatement(schema));
    ASSERT_TRUE(parsed.ok()) << CreateTableStatement(schema) << parsed.status();
    ASSERT_EQ(*parsed, schema);
    const Field field{absl::StrCat("f", i), random.Type()};
    absl::StatusOr<AddedField> added = ParseAddField(AddFieldStatement(schema.name(), field));
    ASSERT_TRUE(added.ok()) << added.status();
    ASSERT_EQ(added->table, schema.name());
    ASSERT_EQ(added->field, field);
    ASSERT_EQ(*ParseDropTable(DropTableStatement(schema.name())), schema.name());
    ASSERT_EQ(*ParseClearTable(ClearTableStatement(schema.name())), schema.name());
  }
}

TEST(LedgerStatementsTest, ParsesOtherSpacingAndCase) {
  for (absl::string_view statement :
       {"create table fam___tbl(\"a\" varchar(191),\"b\" integer,primary key (\"a\"))",
        "CREATE TABLE \"fam___tbl\" (\n\t\"a\" VARCHAR(191) , b INTEGER,\n\tPRIMARY KEY( a )\n);\n",
        "  CREATE\nTABLE fam___tbl (a VARCHAR(191), b INTEGER, PRIMARY KEY(a)) ; "}) {
    absl::StatusOr<TableSchema> parsed = ParseCreateTable(statement);
    ASSERT_TRUE(parsed.ok()) << statement << parsed.status();
    EXPECT_EQ(*parsed,
              *TableSchema::Create("fam", "tbl",
                                   {{"a", FieldType::kString}, {"b", FieldType::kInteger}}, {"a"}));
  }
  EXPECT_TRUE(ParseAddField("alter table fam___tbl add column c blob(255);").ok());
  const TableName name{"fam", "tbl"};
  EXPECT_EQ(*ParseDropTable(" drop\ttable if exists\n\"fam___tbl\" ;\n"), name);
  EXPECT_EQ(*ParseClearTable("delete from\n\"fam___tbl\";"), name);
}

TEST(LedgerStatementsTest, RefusesToParseAnythingElse) {
  for (absl::string_view statement :
       {"",
        "CREATE TABLE",
        "CREATE TABLE fam___tbl",
        "CREATE TABLE fam___tbl ();",
        "CREATE TABLE fam___tbl (\"a\" VARCHAR(191));",
        "CREATE TABLE fam___tbl (PRIMARY KEY(\"a\"));",
        "CREATE TABLE fam___tbl (\"a\" VARCHAR(191), PRIMARY KEY(\"b\"));",
        "CREATE TABLE fam___tbl (\"a\" VARCHAR(191), PRIMARY KEY());",
        "CREATE TABLE fam___tbl (\"a\" TEXT, PRIMARY KEY(\"a\"));",
        "CREATE TABLE fam___tbl (\"a\" VARCHAR(191) NOT NULL, PRIMARY KEY(\"a\"));",
        "CREATE TABLE fam___tbl (\"a\" VARCHAR(192), PRIMARY KEY(\"a\"));",
        "CREATE TABLE fam___tbl (\"a\" VARCHAR(191), PRIMARY KEY(\"a\")) WITHOUT ROWID;",
        "CREATE TABLE fam___tbl (\"a\" VARCHAR(191), PRIMARY KEY(\"a\"));;",
        "CREATE TABLE fam___tbl (\"a\" VARCHAR(191), PRIMARY KEY(\"a\")); DROP TABLE x",
        "CREATE TABLE fam___tbl (\"A\" VARCHAR(191), PRIMARY KEY(\"A\"));",
        "CREATE TABLE FAM___tbl (\"a\" VARCHAR(191), PRIMARY KEY(\"a\"));",
        "CREATE TABLE tbl (\"a\" VARCHAR(191), PRIMARY KEY(\"a\"));",
        "CREATE TABLE main.fam___tbl (\"a\" VARCHAR(191), PRIMARY KEY(\"a\"));",
        "CREATE TEMP TABLE fam___tbl (\"a\" VARCHAR(191), PRIMARY KEY(\"a\"));",
        "CREATE TABLE fam___tbl (\"a\" VARCHAR(191), \"a\" TEXT, PRIMARY KEY(\"a\"));"}) {
    EXPECT_EQ(ParseCreateTable(statement).status().code(), absl::StatusCode::kInvalidArgument)
        << statement;
  }
  for (absl::string_view statement :
       {"", "ALTER TABLE fam___tbl ADD COLUMN", "ALTER TABLE fam___tbl ADD COLUMN \"c\"",
        "ALTER TABLE fam___tbl ADD \"c\" TEXT", "ALTER TABLE fam___tbl ADD COLUMN \"c\" TEXT x",
        "ALTER TABLE fam___tbl ADD COLUMN \"C\" TEXT", "ALTER TABLE tbl ADD COLUMN \"c\" TEXT",
        "ALTER TABLE fam___tbl ADD COLUMN \"c\" TEXT DEFAULT 1",
        "ALTER TABLE fam___tbl DROP COLUMN \"c\"", "ALTER TABLE fam___tbl ADD COLUMN \"1\" TEXT"}) {
    EXPECT_EQ(ParseAddField(statement).status().code(), absl::StatusCode::kInvalidArgument)
        << statement;
  }
}

TEST(LedgerStatementsTest, RefusesToParseAnythingElseAsADropOrAClear) {
  for (absl::string_view statement :
       {"", "DROP", "DROP TABLE IF EXISTS", "DROP TABLE fam___tbl", "DROP TABLE IF EXISTS tbl",
        "DROP TABLE IF EXISTS FAM___tbl", "DROP TABLE IF EXISTS fam___tbl, fam___two",
        "DROP TABLE IF EXISTS fam___tbl CASCADE", "DROP TABLE IF EXISTS main.fam___tbl",
        "DROP TABLE IF EXISTS fam___tbl; DROP TABLE fam___two", "DROP TABLE IF EXISTS fam___tbl;;",
        "DROP TABLE IF EXISTS _ldb_seq", "DROP VIEW IF EXISTS fam___tbl",
        "DROP TABLE IFEXISTS fam___tbl", "DELETE FROM fam___tbl"}) {
    EXPECT_EQ(ParseDropTable(statement).status().code(), absl::StatusCode::kInvalidArgument)
        << statement;
  }
  for (absl::string_view statement :
       {"", "DELETE", "DELETE FROM", "DELETE FROM tbl", "DELETE FROM FAM___tbl",
        "DELETE FROM fam___tbl WHERE \"a\" = 1", "DELETE FROM fam___tbl WHERE 1",
        "DELETE FROM fam___tbl LIMIT 1", "DELETE FROM main.fam___tbl", "DELETE fam___tbl",
        "DELETE FROM fam___tbl; DELETE FROM fam___two", "DELETE FROM fam___tbl;;",
        "DELETE FROM fam___tbl -- all", "DELETE FROM fam___tbl x",
        "DROP TABLE IF EXISTS fam___tbl"}) {
    EXPECT_EQ(ParseClearTable(statement).status().code(), absl::StatusCode::kInvalidArgument)
        << statement;
  }
}

TEST(LedgerStatementsTest, DamagedStatementsAreRefusedOrStillMeanATable) {
  RandomData random(3);
  for (int i = 0; i < 50000; ++i) {
    const TableSchema schema = random.Table("fam", "tbl");
    const size_t kind = random.Below(4);
    std::string statement = kind == 0   ? CreateTableStatement(schema)
                            : kind == 1 ? AddFieldStatement(schema.name(), {"x", random.Type()})
                            : kind == 2 ? DropTableStatement(schema.name())
                                        : ClearTableStatement(schema.name());
    for (size_t changes = random.Below(3); changes > 0; --changes) {
      const size_t at = random.Below(statement.size() + 1);
      if (random.OneIn(2)) {
        statement.insert(at, random.Text(4));
      } else {
        statement.erase(at, random.Below(8));
      }
      if (statement.empty()) statement = " ";
    }
    // What is understood is what is written, but for spacing and quotes.
    absl::StatusOr<TableSchema> table = ParseCreateTable(statement);
    if (table.ok()) {
      ASSERT_TRUE(ParseCreateTable(CreateTableStatement(*table)).ok()) << statement;
    }
    absl::StatusOr<AddedField> added = ParseAddField(statement);
    absl::StatusOr<TableName> dropped = ParseDropTable(statement);
    absl::StatusOr<TableName> cleared = ParseClearTable(statement);
    ASSERT_LE(table.ok() + added.ok() + dropped.ok() + cleared.ok(), 1) << statement;
    if (dropped.ok()) {
      ASSERT_EQ(*ParseDropTable(DropTableStatement(*dropped)), *dropped);
    }
    if (cleared.ok()) {
      ASSERT_EQ(*ParseClearTable(ClearTableStatement(*cleared)), *cleared);
    }
    // Garbage of any kind is taken without a crash.
    ParseCreateTable(random.Bytes(60)).status().IgnoreError();
    ParseAddField(random.Bytes(60)).status().IgnoreError();
    ParseDropTable(random.Bytes(60)).status().IgnoreError();
    ParseClearTable(random.Bytes(60)).status().IgnoreError();
  }
}

TEST(LedgerStatementsTest, ColumnTypesAndBack) {
  for (FieldType type : {FieldType::kString, FieldType::kInteger, FieldType::kDecimal,
                         FieldType::kText, FieldType::kBinary, FieldType::kBytestring}) {
    EXPECT_EQ(*FieldTypeOfSqliteColumn(SqliteColumnType(type)), type);
    EXPECT_EQ(*FieldTypeOfSqliteColumn(absl::AsciiStrToLower(SqliteColumnType(type))), type);
  }
  for (absl::string_view other :
       {"", "VARCHAR", "VARCHAR(190)", "BIGINT", "BLOB(256)", "DATETIME"}) {
    EXPECT_EQ(FieldTypeOfSqliteColumn(other).status().code(), absl::StatusCode::kNotFound) << other;
  }
}

}  // namespace
}  // namespace ctlstore::sql
