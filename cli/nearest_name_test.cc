#include "cli/nearest_name.h"

#include <gtest/gtest.h>

namespace ctlstore::cli {
namespace {

TEST(NearestNameTest, FindsWhatWasProbablyMeant) {
  const std::vector<std::string> names = {"get", "list", "import", "executive", "table", "a"};
  EXPECT_EQ(NearestName("gte", names), "get");
  EXPECT_EQ(NearestName("lst", names), "list");
  EXPECT_EQ(NearestName("improt", names), "import");
  EXPECT_EQ(NearestName("exekutive", names), "executive");
  EXPECT_EQ(NearestName("tables", names), "table");
}

TEST(NearestNameTest, IsSilentAboutSomethingElse) {
  const std::vector<std::string> names = {"get", "list", "a"};
  EXPECT_EQ(NearestName("supervise", names), "");
  EXPECT_EQ(NearestName("xyz", names), "");
  EXPECT_EQ(NearestName("", names), "");
}

}  // namespace
}  // namespace ctlstore::cli
