#include "common/ctldb/catalog_columns.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "common/ctldb/catalog.h"
#include "common/ctldb/testing/ctldb_test_base.h"

namespace ctlstore::ctldb {
namespace {

using ::ctlstore::ctldb::testing::CtldbTest;
using ::ctlstore::ctldb::testing::MustSchema;
using ::testing::IsEmpty;

class CatalogColumnsTest : public CtldbTest {};

CTLSTORE_FOR_BOTH_KINDS(CatalogColumnsTest);

TEST_P(CatalogColumnsTest, TellsColumnsAndTheirPlaceInTheKey) {
  std::unique_ptr<Connection> connection = Open();
  const TableSchema schema =
      MustSchema("fam", "tbl", {{"a", FieldType::kInteger}, {"b", FieldType::kString}}, {"b", "a"});
  ASSERT_TRUE(connection->Execute(connection->dialect().CreateTable(schema)).ok());
  absl::StatusOr<std::vector<CatalogColumn>> columns =
      ReadCatalogColumns(connection.get(), Dialect::Match::kName, "fam___tbl");
  ASSERT_TRUE(columns.ok()) << columns.status();
  ASSERT_EQ(columns->size(), 2);
  EXPECT_EQ((*columns)[0].name, "a");
  EXPECT_EQ((*columns)[0].key_position, 2);
  EXPECT_EQ((*columns)[1].name, "b");
  EXPECT_EQ((*columns)[1].key_position, 1);
  EXPECT_THAT(*ReadCatalogColumns(connection.get(), Dialect::Match::kName, "fam___none"),
              IsEmpty());
}

TEST_P(CatalogColumnsTest, ATableThatComesAndGoesIsThereAsAWholeOrNotAtAll) {
  const TableSchema schema = MustSchema(
      "fam", "coming",
      {{"a", FieldType::kString}, {"b", FieldType::kInteger}, {"c", FieldType::kText}}, {"b", "a"});
  std::unique_ptr<Connection> changing = Open();
  std::unique_ptr<Connection> reading = Open();
  std::atomic<bool> done = false;
  std::thread changer([&] {
    for (int i = 0; i < 100; ++i) {
      absl::StatusOr<int64_t> created = changing->Execute(changing->dialect().CreateTable(schema));
      EXPECT_TRUE(created.ok()) << created.status();
      absl::StatusOr<int64_t> dropped = changing->Execute("DROP TABLE fam___coming");
      EXPECT_TRUE(dropped.ok()) << dropped.status();
    }
    done = true;
  });
  while (!done) {
    absl::StatusOr<TableSchema> read = ReadTable(reading.get(), schema.name());
    if (absl::IsNotFound(read.status())) continue;
    EXPECT_TRUE(read.ok()) << read.status();
    if (read.ok()) {
      EXPECT_EQ(*read, schema) << DescribeDifference(*read, schema);
    }
  }
  changer.join();
}

}  // namespace
}  // namespace ctlstore::ctldb
