#include "cli/import/number_text.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>

namespace ctlstore::cli {
namespace {

TEST(NumberTextTest, TakesJsonsNotationOnly) {
  for (const char* text : {"", "-", "+1", "007", "1.", ".5", "1e", "1e+", " 1", "1 ", "0x1", "NaN",
                           "Infinity", "1,5", "1_000", "--1", "1.5.2", "1e5.5", "-a"}) {
    EXPECT_FALSE(ParseNumberText(text).has_value()) << text;
  }
  for (const char* text : {"0", "-0", "1", "-12", "1.5", "0.5", "-0.0", "1e5", "1E-5", "1.5e+3"}) {
    EXPECT_TRUE(ParseNumberText(text).has_value()) << text;
  }
}

TEST(NumberTextTest, HoldsIntegersOf64BitsExactly) {
  EXPECT_EQ(ParseNumberText("9223372036854775807")->integer, std::numeric_limits<int64_t>::max());
  EXPECT_EQ(ParseNumberText("-9223372036854775808")->integer, std::numeric_limits<int64_t>::min());
  EXPECT_FALSE(ParseNumberText("9223372036854775808")->integer.has_value());
  EXPECT_FALSE(ParseNumberText("1.0")->integer.has_value());
  EXPECT_FALSE(ParseNumberText("1e2")->integer.has_value());
}

TEST(NumberTextTest, NeverRoundsAWholeNumber) {
  EXPECT_EQ(ParseNumberText("9007199254740992")->decimal, 9007199254740992.0);
  EXPECT_FALSE(ParseNumberText("9007199254740993")->decimal.has_value());
  EXPECT_EQ(ParseNumberText("9223372036854775808")->decimal, 9223372036854775808.0);
  EXPECT_FALSE(ParseNumberText("18446744073709551615")->decimal.has_value());
  EXPECT_EQ(ParseNumberText("0.1")->decimal, 0.1);
}

TEST(NumberTextTest, RefusesWhatNoDoubleReaches) {
  EXPECT_FALSE(ParseNumberText("1e400")->decimal.has_value());
  EXPECT_FALSE(ParseNumberText("-1e400")->decimal.has_value());
}

TEST(NumberTextTest, MinusZeroIsZero) {
  for (const char* text : {"-0", "-0.0", "-0e5"}) {
    ASSERT_TRUE(ParseNumberText(text)->decimal.has_value() || ParseNumberText(text)->integer == 0);
    EXPECT_FALSE(std::signbit(ParseNumberText(text)->decimal.value_or(0))) << text;
  }
}

}  // namespace
}  // namespace ctlstore::cli
