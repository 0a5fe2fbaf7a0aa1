#include "common/ctldb/statement_cache.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

namespace ctlstore::ctldb {
namespace {

TEST(StatementCacheTest, KeepsTheLastUsedUpToItsCapacity) {
  StatementCache<int> cache(2);
  EXPECT_EQ(cache.Find("a"), nullptr);
  cache.Add("a", std::make_unique<int>(1));
  cache.Add("b", std::make_unique<int>(2));
  ASSERT_NE(cache.Find("a"), nullptr);
  EXPECT_EQ(*cache.Find("a"), 1);

  cache.Add("c", std::make_unique<int>(3));
  EXPECT_EQ(cache.size(), 2u);
  EXPECT_EQ(cache.Find("b"), nullptr);
  EXPECT_NE(cache.Find("a"), nullptr);
  EXPECT_NE(cache.Find("c"), nullptr);
}

TEST(StatementCacheTest, ClearsAll) {
  StatementCache<std::string> cache(4);
  cache.Add("a", std::make_unique<std::string>("x"));
  cache.Clear();
  EXPECT_EQ(cache.size(), 0u);
  EXPECT_EQ(cache.Find("a"), nullptr);
  EXPECT_EQ(*cache.Add("a", std::make_unique<std::string>("y")), "y");
}

}  // namespace
}  // namespace ctlstore::ctldb
