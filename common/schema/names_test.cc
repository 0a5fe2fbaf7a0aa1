#include "common/schema/names.h"

#include <gtest/gtest.h>

#include <set>

#include "common/schema/errors.h"

namespace ctlstore {
namespace {

void ExpectInvalid(const absl::Status& status, absl::string_view field) {
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_EQ(ErrorReason(status), reason::kInvalidName) << status;
  EXPECT_EQ(ErrorField(status), field) << status;
}

TEST(NamesTest, NamesAreStoredInLowerCase) {
  EXPECT_EQ(*NormalizeFamilyName("family", "FaM_1"), "fam_1");
  EXPECT_EQ(*NormalizeTableName("table", "TBL"), "tbl");
  EXPECT_EQ(*NormalizeFieldName("name", "A__b"), "a__b");
}

TEST(NamesTest, LengthsAreInclusive) {
  EXPECT_TRUE(NormalizeFamilyName("f", "abc").ok());
  EXPECT_TRUE(NormalizeFamilyName("f", std::string(30, 'a')).ok());
  ExpectInvalid(NormalizeFamilyName("f", "ab").status(), "f");
  ExpectInvalid(NormalizeFamilyName("f", std::string(31, 'a')).status(), "f");
  EXPECT_TRUE(NormalizeTableName("t", "abc").ok());
  EXPECT_TRUE(NormalizeTableName("t", std::string(50, 'a')).ok());
  ExpectInvalid(NormalizeTableName("t", "ab").status(), "t");
  ExpectInvalid(NormalizeTableName("t", std::string(51, 'a')).status(), "t");
  EXPECT_TRUE(NormalizeFieldName("n", "a").ok());
  EXPECT_TRUE(NormalizeFieldName("n", std::string(64, 'a')).ok());
  ExpectInvalid(NormalizeFieldName("n", "").status(), "n");
  ExpectInvalid(NormalizeFieldName("n", std::string(65, 'a')).status(), "n");
}

TEST(NamesTest, OnlyPlainCharactersAreTaken) {
  for (absl::string_view name :
       {"1abc", "_abc", "a bc", "a-bc", "a\"bc", "a;bc", "abc\n", "äbc", "a.bc"}) {
    ExpectInvalid(NormalizeFamilyName("f", name).status(), "f");
    ExpectInvalid(NormalizeTableName("t", name).status(), "t");
    ExpectInvalid(NormalizeFieldName("n", name).status(), "n");
  }
  ExpectInvalid(NormalizeTableName("t", absl::string_view("ab\0c", 4)).status(), "t");
  ExpectInvalid(NormalizeFamilyName("f", "a__b").status(), "f");
  ExpectInvalid(NormalizeTableName("t", "a___b").status(), "t");
}

TEST(NamesTest, WritersAreAnyTextOfTheirLength) {
  EXPECT_TRUE(CheckWriterName("writer", "Ö?\n").ok());
  EXPECT_TRUE(CheckWriterName("writer", std::string(50, 'w')).ok());
  ExpectInvalid(CheckWriterName("writer", "ab"), "writer");
  ExpectInvalid(CheckWriterName("writer", std::string(51, 'w')), "writer");
  ExpectInvalid(CheckWriterName("writer", "ab\xFF"), "writer");
  ExpectInvalid(CheckWriterName("writer", absl::string_view("ab\0", 3)), "writer");
}

TEST(NamesTest, SecretsAreAnyBytesAndNeverInAMessage) {
  EXPECT_TRUE(CheckWriterSecret("secret", absl::string_view("\0\xFF\0", 3)).ok());
  EXPECT_TRUE(CheckWriterSecret("secret", std::string(100, 's')).ok());
  ExpectInvalid(CheckWriterSecret("secret", "ab"), "secret");
  const absl::Status status = CheckWriterSecret("path", std::string(101, 'q'));
  ExpectInvalid(status, "path");
  EXPECT_EQ(status.message().find("qq"), absl::string_view::npos);
}

TEST(NamesTest, TwoNamesAreCheckedTogether) {
  EXPECT_EQ(*NormalizeName("FAM", "Tbl"), (TableName{"fam", "tbl"}));
  ExpectInvalid(NormalizeName("f", "tbl").status(), "family");
  ExpectInvalid(NormalizeName("fam", "t").status(), "table");
}

TEST(NamesTest, ASqlNameIsReadBackAsWhatItWasMadeOf) {
  std::set<std::string> sql_names;
  for (const char* family : {"fam", "fam_", "f_a", "f_m_"}) {
    for (const char* table : {"tbl", "t_b", "tbl_", "t_b_"}) {
      const TableName name = *NormalizeName(family, table);
      EXPECT_TRUE(sql_names.insert(SqlTableName(name)).second);
      absl::StatusOr<TableName> parsed = ParseSqlTableName(SqlTableName(name));
      ASSERT_TRUE(parsed.ok()) << SqlTableName(name);
      EXPECT_EQ(*parsed, name);
    }
  }
}

TEST(NamesTest, OtherNamesAreNoTables) {
  for (absl::string_view name :
       {"", "___", "fam", "fam__tbl", "fam___", "___tbl", "fa___tbl", "fam___tb", "FAM___tbl",
        "fam___tbl___x", "fam_____tbl", "_ldb_seq", "sqlite_sequence", "fam___1bl"}) {
    EXPECT_EQ(ParseSqlTableName(name).status().code(), absl::StatusCode::kNotFound) << name;
  }
}

}  // namespace
}  // namespace ctlstore
