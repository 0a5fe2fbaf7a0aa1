#include "common/ldb/table_digest.h"

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/types/optional.h"
#include "common/base/digest.h"
#include "common/ldb/ldb_test_util.h"
#include "common/ldb/ordered_rows.h"
#include "common/ldb/row_encoding.h"
#include "common/ldb/table_definition.h"

namespace ctlstore::ldb {
namespace {

struct DigestedTable {
  int64_t rows = 0;
  std::string digest;
  // The index of the key had them in another order.
  bool sorted = false;
};

// Reads all rows of a table, as `ctlstore verify` does.
absl::StatusOr<DigestedTable> DigestTable(sqlite::Database* database,
                                          const std::string& sql_table) {
  absl::StatusOr<absl::optional<TableDefinition>> definition =
      ReadTableDefinition(database, sql_table);
  if (!definition.ok()) return definition.status();
  if (!definition->has_value()) {
    return absl::NotFoundError(absl::StrCat("there is no table ", sql_table));
  }
  DigestedTable table;
  for (const OrderedRows::Order order :
       {OrderedRows::Order::kByIndex, OrderedRows::Order::kSorted}) {
    absl::StatusOr<std::unique_ptr<OrderedRows>> rows =
        OrderedRows::Open(database, sql_table, **definition, order);
    if (!rows.ok()) return rows.status();
    TableDigest digest(**definition);
    table.rows = 0;
    table.sorted = order == OrderedRows::Order::kSorted;
    while (true) {
      absl::Status status = (*rows)->Next();
      if (!status.ok()) return status;
      if ((*rows)->at_end() || (*rows)->out_of_order()) break;
      digest.AddRow((*rows)->row());
      ++table.rows;
    }
    if ((*rows)->out_of_order()) continue;
    table.digest = digest.Finish();
    return table;
  }
  return absl::InternalError(absl::StrCat(sql_table, ": the rows cannot be put in order"));
}

class TableDigestTest : public ::testing::Test {
 protected:
  DigestedTable Digested(const std::string& sql) {
    const std::string path = folder_.Path(absl::StrCat("ldb", files_++, ".db"));
    database_ = OpenPlain(path, /*read_only=*/false);
    sqlite3_db_config(database_->handle(), SQLITE_DBCONFIG_DQS_DML, 0, nullptr);
    EXPECT_TRUE(database_->Execute(sql).ok());
    absl::StatusOr<DigestedTable> table = DigestTable(database_.get(), "fam___tbl");
    EXPECT_TRUE(table.ok()) << table.status();
    return table.ok() ? *table : DigestedTable();
  }

  TestFolder folder_;
  int files_ = 0;
  std::unique_ptr<sqlite::Database> database_;
};

constexpr char kTable[] =
    "CREATE TABLE fam___tbl (\"v\" TEXT, \"b\" INTEGER, \"a\" VARCHAR(191), PRIMARY KEY(a, b));";

TEST_F(TableDigestTest, IsOfTheDefinitionAndTheRowsInTheOrderOfTheirKeys) {
  const DigestedTable table = Digested(absl::StrCat(
      kTable, "INSERT INTO fam___tbl VALUES ('z', 2, 'y'), ('', 10, 'x'), (NULL, 9, 'x')"));
  std::string bytes;
  for (const char* text : {"v", "text", "b", "integer", "a", "string", "a", "b"}) {
    AppendExact(text, &bytes);
  }
  AppendExact(ValueView(), &bytes);
  AppendExact(9, &bytes);
  AppendExact("x", &bytes);
  AppendExact("", &bytes);
  AppendExact(10, &bytes);
  AppendExact("x", &bytes);
  AppendExact("z", &bytes);
  AppendExact(2, &bytes);
  AppendExact("y", &bytes);
  EXPECT_EQ(table.rows, 3);
  EXPECT_EQ(table.digest, Sha256(bytes));
}

TEST_F(TableDigestTest, TheWayOfKeepingTheRowsMakesNoDifference) {
  constexpr char kColumns[] = "CREATE TABLE fam___tbl (\"k\" VARCHAR(191)";
  constexpr char kRows[] =
      "INSERT INTO fam___tbl SELECT 'Key' || (value * 7919 % 5000), value "
      "FROM (WITH RECURSIVE n(value) AS (SELECT 0 UNION ALL SELECT value + 1 FROM n "
      "WHERE value < 4999) SELECT value FROM n)";
  const std::string expected =
      Digested(absl::StrCat(kColumns, ", \"v\" INTEGER, PRIMARY KEY(k));", kRows)).digest;
  for (const char* sql : {", \"v\" INTEGER, PRIMARY KEY(k)) WITHOUT ROWID;",
                          // The index has another order than the keys.
                          " COLLATE NOCASE, \"v\" INTEGER, PRIMARY KEY(k));",
                          " COLLATE NOCASE, \"v\" INTEGER, PRIMARY KEY(k)) WITHOUT ROWID;"}) {
    const DigestedTable table = Digested(absl::StrCat(kColumns, sql, kRows));
    EXPECT_EQ(table.digest, expected) << sql;
    EXPECT_FALSE(table.sorted) << sql;
    EXPECT_EQ(table.rows, 5000);
  }
  const DigestedTable other =
      Digested(absl::StrCat(kColumns, ", \"v\" INTEGER, PRIMARY KEY(k));", kRows,
                            "; UPDATE fam___tbl SET v = v + 1 WHERE k = 'Key4711'"));
  EXPECT_EQ(other.rows, 5000);
  EXPECT_NE(other.digest, expected);
}

TEST_F(TableDigestTest, AnIndexOutOfOrderMakesNoDifferenceButIsTold) {
  constexpr char kRows[] = "INSERT INTO fam___tbl VALUES ('a', 1), ('B', 2), ('c', 3);";
  const DigestedTable expected = Digested(absl::StrCat(
      "CREATE TABLE fam___tbl (\"k\" VARCHAR(191), \"v\" INTEGER, PRIMARY KEY(k));", kRows));
  EXPECT_FALSE(expected.sorted);
  Digested(
      absl::StrCat("CREATE TABLE fam___tbl (\"k\" VARCHAR(191) COLLATE NOCASE, \"v\" INTEGER, "
                   "PRIMARY KEY(k));",
                   kRows, "PRAGMA writable_schema=ON;",
                   "UPDATE sqlite_schema SET sql = replace(sql, 'COLLATE NOCASE', '')"));
  auto again = OpenPlain(folder_.Path("ldb1.db"));
  const absl::StatusOr<DigestedTable> table = DigestTable(again.get(), "fam___tbl");
  ASSERT_TRUE(table.ok()) << table.status();
  EXPECT_TRUE(table->sorted);
  EXPECT_EQ(table->digest, expected.digest);
  EXPECT_EQ(table->rows, 3);
}

TEST_F(TableDigestTest, AnEmptyTableHasADigest) {
  const DigestedTable table = Digested(kTable);
  EXPECT_EQ(table.rows, 0);
  EXPECT_EQ(table.digest.size(), 32u);
}

TEST_F(TableDigestTest, ATableThatIsNotThereIsNotFound) {
  Digested(kTable);
  EXPECT_EQ(DigestTable(database_.get(), "fam___other").status().code(),
            absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace ctlstore::ldb
