#include "common/ctldb/catalog.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/ctldb/testing/ctldb_test_base.h"
#include "common/schema/errors.h"

namespace ctlstore::ctldb {
namespace {

using ::ctlstore::ctldb::testing::CtldbTest;
using ::ctlstore::ctldb::testing::MustSchema;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class CatalogTest : public CtldbTest {
 protected:
  void Create(Connection* connection, const TableSchema& schema) {
    absl::StatusOr<int64_t> created =
        connection->Execute(connection->dialect().CreateTable(schema));
    ASSERT_TRUE(created.ok()) << created.status();
  }
};

CTLSTORE_FOR_BOTH_KINDS(CatalogTest);

TEST_P(CatalogTest, KnowsFamilies) {
  std::unique_ptr<Connection> connection = OpenReady();
  EXPECT_THAT(*ListFamilies(connection.get()), IsEmpty());
  EXPECT_FALSE(*FamilyExists(connection.get(), "geo"));
  ASSERT_TRUE(CreateFamily(connection.get(), "geo").ok());
  ASSERT_TRUE(CreateFamily(connection.get(), "geo").ok());
  ASSERT_TRUE(CreateFamily(connection.get(), "config").ok());
  EXPECT_TRUE(*FamilyExists(connection.get(), "geo"));
  EXPECT_THAT(*ListFamilies(connection.get()), ElementsAre("config", "geo"));
}

TEST_P(CatalogTest, ReadsBackEveryDefinition) {
  std::unique_ptr<Connection> connection = Open();
  const TableSchema all = MustSchema("fam", "all_types",
                                     {{"d", FieldType::kDecimal},
                                      {"s", FieldType::kString},
                                      {"i", FieldType::kInteger},
                                      {"t", FieldType::kText},
                                      {"b", FieldType::kBinary},
                                      {"y", FieldType::kBytestring}},
                                     {"y", "s", "i"});
  Create(connection.get(), all);
  absl::StatusOr<TableSchema> read = ReadTable(connection.get(), all.name());
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(*read, all) << DescribeDifference(*read, all);

  // Names that SQL has a meaning for, and added fields behind the first ones.
  TableSchema odd =
      MustSchema("select", "table_where",
                 {{"key", FieldType::kInteger}, {"order", FieldType::kText}}, {"key"});
  Create(connection.get(), odd);
  std::vector<Field> added;
  odd = *odd.WithFields({{"group", FieldType::kString}, {"a", FieldType::kBinary}}, &added);
  for (const std::string& statement : connection->dialect().AddFields(odd.name(), added)) {
    ASSERT_TRUE(connection->Execute(statement).ok());
  }
  read = ReadTable(connection.get(), odd.name());
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(*read, odd) << DescribeDifference(*read, odd);

  absl::StatusOr<TableSchema> missing = ReadTable(connection.get(), {"fam", "missing"});
  EXPECT_EQ(missing.status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ErrorReason(missing.status()), reason::kTableNotFound);
}

TEST_P(CatalogTest, ListsTheTablesOfAFamilyOnly) {
  std::unique_ptr<Connection> connection = OpenReady();
  const std::vector<Field> fields = {{"id", FieldType::kInteger}};
  for (const char* family : {"a_b", "axb", "a_b_c", "a_ba"}) {
    for (const char* table : {"two", "one"}) {
      Create(connection.get(), MustSchema(family, table, fields, {"id"}));
    }
  }
  const auto names = [](const absl::StatusOr<std::vector<TableSchema>>& tables) {
    std::vector<std::string> result;
    for (const TableSchema& table : *tables) result.push_back(SqlTableName(table.name()));
    return result;
  };
  EXPECT_THAT(names(ReadTables(connection.get(), "a_b")), ElementsAre("a_b___one", "a_b___two"));
  EXPECT_THAT(names(ReadTables(connection.get(), "")),
              ElementsAre("a_b___one", "a_b___two", "a_b_c___one", "a_b_c___two", "a_ba___one",
                          "a_ba___two", "axb___one", "axb___two"));
  EXPECT_THAT(names(ReadTables(connection.get(), "nobody")), IsEmpty());
}

TEST_P(CatalogTest, LeavesTablesOfOthersOut) {
  std::unique_ptr<Connection> connection = Open();
  Create(connection.get(), MustSchema("fam", "good", {{"id", FieldType::kInteger}}, {"id"}));
  const std::string integer = is_mariadb() ? "BIGINT" : "INTEGER";
  for (const std::string& definition : {
           absl::StrCat("fam___no_key (id ", integer, ")"),
           absl::StrCat("fam___odd_type (id ", integer, " PRIMARY KEY, t DATETIME)"),
           std::string("fam___long_string (id VARCHAR(192) PRIMARY KEY)"),
           absl::StrCat("fam____odd_name (id ", integer, " PRIMARY KEY)"),
           absl::StrCat("fam_other (id ", integer, " PRIMARY KEY)"),
       }) {
    absl::StatusOr<int64_t> created =
        connection->Execute(absl::StrCat("CREATE TABLE ", definition));
    ASSERT_TRUE(created.ok()) << created.status();
  }
  absl::StatusOr<std::vector<TableSchema>> tables = ReadTables(connection.get(), "fam");
  ASSERT_TRUE(tables.ok()) << tables.status();
  ASSERT_EQ(tables->size(), 1u);
  EXPECT_EQ((*tables)[0].name().table, "good");

  // Asked for by name, such a table is neither there nor missing.
  absl::Status status = ReadTable(connection.get(), {"fam", "odd_type"}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("column t"));
}

TEST_P(CatalogTest, DoesNotSeeOtherDatabases) {
  const TableSchema schema = MustSchema("fam", "tbl", {{"id", FieldType::kInteger}}, {"id"});
  std::unique_ptr<Connection> other = testing::MustOpen(testing::NewTarget(GetParam()));
  Create(other.get(), schema);
  std::unique_ptr<Connection> connection = Open();
  EXPECT_EQ(ReadTable(connection.get(), schema.name()).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_THAT(*ReadTables(connection.get(), ""), IsEmpty());
}

}  // namespace
}  // namespace ctlstore::ctldb
