#include "common/ldb/statement_cache.h"

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "common/ldb/ldb_test_util.h"

namespace ctlstore::ldb {
namespace {

TEST(StatementCacheTest, GivesTheSameStatementForTheSameText) {
  std::unique_ptr<sqlite::Database> database = OpenPlain(":memory:", /*read_only=*/false);
  StatementCache cache(database.get(), 2);
  sqlite::Statement* const one = *cache.Get("SELECT 1");
  sqlite::Statement* const two = *cache.Get("SELECT 2");
  EXPECT_NE(one, two);
  EXPECT_EQ(*cache.Get("SELECT 1"), one);
  EXPECT_EQ(*cache.Get("SELECT 2"), two);
}

TEST(StatementCacheTest, StaysWithinItsCapacityAndKeepsWhatIsUsed) {
  std::unique_ptr<sqlite::Database> database = OpenPlain(":memory:", /*read_only=*/false);
  StatementCache cache(database.get(), 3);
  sqlite::Statement* const used = *cache.Get("SELECT 'used'");
  for (int i = 0; i < 50; ++i) {
    const std::string sql = absl::StrCat("SELECT ", i);
    ASSERT_TRUE((*cache.Get(sql))->Step().value());
    EXPECT_EQ((*cache.Get(sql))->Column(0), ValueView(i));
    (*cache.Get(sql))->Reset();
    EXPECT_EQ(*cache.Get("SELECT 'used'"), used);
    EXPECT_LE(cache.size(), 3u);
  }
}

TEST(StatementCacheTest, KeepsNothingThatCannotBePrepared) {
  std::unique_ptr<sqlite::Database> database = OpenPlain(":memory:", /*read_only=*/false);
  StatementCache cache(database.get(), 3);
  EXPECT_FALSE(cache.Get("SELECT nothing").ok());
  EXPECT_EQ(cache.size(), 0u);
}

}  // namespace
}  // namespace ctlstore::ldb
