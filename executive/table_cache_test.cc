#include "executive/table_cache.h"

#include <gtest/gtest.h>

#include <memory>

namespace ctlstore::executive {
namespace {

TableSchema Schema(FieldType type) {
  return *TableSchema::Create("fam", "tbl", {{"id", FieldType::kInteger}, {"x", type}}, {"id"});
}

TEST(TableCache, KnowsWhatWasPutLast) {
  TableCache cache;
  const TableName name{"fam", "tbl"};
  EXPECT_EQ(cache.Find(name), nullptr);
  const std::shared_ptr<const TableSchema> first = cache.Put(Schema(FieldType::kText), 0);
  EXPECT_EQ(cache.Find(name), first);
  const std::shared_ptr<const TableSchema> second = cache.Put(Schema(FieldType::kBinary), 0);
  EXPECT_EQ(cache.Find(name), second);
  // Who still uses the first one is not disturbed.
  EXPECT_EQ(first->fields()[1].type, FieldType::kText);
  cache.Forget(name);
  EXPECT_EQ(cache.Find(name), nullptr);
}

TEST(TableCacheTest, AnotherVersionForgetsAllAndTakesNothingOlder) {
  TableCache cache;
  EXPECT_EQ(cache.version(), 0);
  cache.Put(Schema(FieldType::kText), 0);
  cache.SetVersion(0);
  EXPECT_NE(cache.Find(Schema(FieldType::kText).name()), nullptr);
  cache.SetVersion(7);
  EXPECT_EQ(cache.version(), 7);
  EXPECT_EQ(cache.Find(Schema(FieldType::kText).name()), nullptr);
  // Read before the change, put after it.
  EXPECT_EQ(*cache.Put(Schema(FieldType::kText), 0), Schema(FieldType::kText));
  EXPECT_EQ(cache.Find(Schema(FieldType::kText).name()), nullptr);
  cache.Put(Schema(FieldType::kBinary), 7);
  EXPECT_NE(cache.Find(Schema(FieldType::kText).name()), nullptr);
}

}  // namespace
}  // namespace ctlstore::executive
