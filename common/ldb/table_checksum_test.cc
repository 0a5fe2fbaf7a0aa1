#include "common/ldb/table_checksum.h"

#include <gtest/gtest.h>
#include <xxhash.h>

#include <memory>
#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/ldb/ldb_test_util.h"
#include "common/ldb/row_encoding.h"

namespace ctlstore::ldb {
namespace {

class TableChecksumTest : public ::testing::Test {
 protected:
  ChecksummedTable Summed(const std::string& sql) {
    const std::string path = folder_.Path(absl::StrCat("ldb", files_++, ".db"));
    const std::unique_ptr<sqlite::Database> database = OpenPlain(path, /*read_only=*/false);
    EXPECT_TRUE(database->Execute(sql).ok());
    absl::StatusOr<ChecksummedTable> table = ChecksumTable(database.get(), "fam___tbl");
    EXPECT_TRUE(table.ok()) << table.status();
    return table.ok() ? *table : ChecksummedTable();
  }

  TestFolder folder_;
  int files_ = 0;
};

constexpr char kTable[] =
    "CREATE TABLE fam___tbl (\"k\" VARCHAR(191), \"v\" INTEGER, PRIMARY KEY(k))";

TEST_F(TableChecksumTest, IsTheSumOfTheDefinitionsAndTheRowsHashes) {
  std::string definition, row;
  for (const char* text : {"k", "string", "v", "integer", "k"}) AppendExact(text, &definition);
  AppendExact("x", &row);
  AppendExact(7, &row);
  unsigned __int128 sum = 0;
  for (const std::string& bytes : {definition, row}) {
    const XXH128_hash_t hash = XXH3_128bits(bytes.data(), bytes.size());
    sum += (static_cast<unsigned __int128>(hash.high64) << 64) + hash.low64;
  }
  const std::string expected =
      absl::StrCat(absl::Hex(static_cast<uint64_t>(sum >> 64), absl::kZeroPad16),
                   absl::Hex(static_cast<uint64_t>(sum), absl::kZeroPad16));
  const ChecksummedTable table =
      Summed(absl::StrCat(kTable, "; INSERT INTO fam___tbl VALUES ('x', 7)"));
  EXPECT_EQ(table.rows, 1);
  EXPECT_EQ(absl::BytesToHexString(table.checksum), expected);
}

TEST_F(TableChecksumTest, TheWayAndTheOrderOfKeepingTheRowsMakeNoDifference) {
  constexpr char kNumbers[] =
      "WITH RECURSIVE n(value) AS (SELECT 0 UNION ALL SELECT value + 1 FROM n WHERE value < 4999) "
      "SELECT value FROM n";
  const std::string rows = absl::StrCat(
      "; INSERT INTO fam___tbl SELECT 'Key' || (value * 7919 % 5000), value * 7919 % 5000 FROM (",
      kNumbers, ")");
  const std::string in_order =
      absl::StrCat("; INSERT INTO fam___tbl SELECT 'Key' || value, value FROM (", kNumbers, ")");
  const ChecksummedTable table = Summed(absl::StrCat(kTable, rows));
  EXPECT_EQ(table.rows, 5000);
  EXPECT_EQ(Summed(absl::StrCat(kTable, " WITHOUT ROWID", rows)).checksum, table.checksum);
  EXPECT_EQ(Summed(absl::StrCat(kTable, in_order)).checksum, table.checksum);
  // One value, one row more, one row twice in place of another one, another definition.
  for (const std::string& sql :
       {absl::StrCat(kTable, rows, "; UPDATE fam___tbl SET v = 1 WHERE k = 'Key4711'"),
        absl::StrCat(kTable, rows, "; DELETE FROM fam___tbl WHERE k = 'Key4711'"),
        absl::StrCat(kTable, rows, "; UPDATE fam___tbl SET v = x'31' WHERE k = 'Key1'"),
        absl::StrCat(kTable, rows, "; ALTER TABLE fam___tbl ADD COLUMN w TEXT")}) {
    EXPECT_NE(Summed(sql).checksum, table.checksum) << sql;
  }
}

TEST_F(TableChecksumTest, AnEmptyTableHasOneAndNoTableHasNone) {
  EXPECT_EQ(Summed(kTable).checksum.size(), 16u);
  const std::unique_ptr<sqlite::Database> database =
      OpenPlain(folder_.Path("empty.db"), /*read_only=*/false);
  EXPECT_TRUE(absl::IsNotFound(ChecksumTable(database.get(), "fam___tbl").status()));
}

}  // namespace
}  // namespace ctlstore::ldb
