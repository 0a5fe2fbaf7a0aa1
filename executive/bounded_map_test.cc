#include "executive/bounded_map.h"

#include <gtest/gtest.h>

#include <string>

namespace ctlstore::executive {
namespace {

TEST(BoundedMap, FindsWhatWasPutLast) {
  BoundedMap<int> map(10);
  EXPECT_EQ(map.Find("a"), nullptr);
  map.Put("a", 1);
  map.Put("b", 2);
  map.Put("a", 3);
  EXPECT_EQ(*map.Find("a"), 3);
  EXPECT_EQ(*map.Find("b"), 2);
  EXPECT_EQ(map.size(), 2);
  map.Erase("a");
  map.Erase("a");
  EXPECT_EQ(map.Find("a"), nullptr);
  EXPECT_EQ(map.size(), 1);
}

TEST(BoundedMap, DropsWhatWasPutLongestAgo) {
  BoundedMap<int> map(3);
  map.Put("a", 1);
  map.Put("b", 2);
  map.Put("c", 3);
  map.Put("a", 4);
  map.Put("d", 5);
  EXPECT_EQ(map.size(), 3);
  EXPECT_EQ(map.Find("b"), nullptr);
  EXPECT_EQ(*map.Find("a"), 4);
  for (int i = 0; i < 1000; ++i) map.Put(std::to_string(i), i);
  EXPECT_EQ(map.size(), 3);
  EXPECT_EQ(*map.Find("997"), 997);
}

TEST(BoundedMap, MayBeToldToPutWhatItHolds) {
  BoundedMap<std::string> map(1);
  map.Put("a", std::string(100, 'a'));
  map.Put("a", *map.Find("a"));
  EXPECT_EQ(*map.Find("a"), std::string(100, 'a'));
}

}  // namespace
}  // namespace ctlstore::executive
