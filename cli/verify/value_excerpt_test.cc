#include "cli/verify/value_excerpt.h"

#include <gtest/gtest.h>

#include <string>

namespace ctlstore::cli {
namespace {

TEST(ValueExcerptTest, ShortValuesAreShownWholeWithTheirKind) {
  EXPECT_EQ(Excerpt(ValueView(), 1), "null");
  EXPECT_EQ(Excerpt(1, "1"), "integer 1");
  EXPECT_EQ(Excerpt("1", 1), "text \"1\"");
  EXPECT_EQ(Excerpt(0.5, ValueView()), "decimal 0.5");
  EXPECT_EQ(Excerpt("", ValueView()), "text \"\"");
  EXPECT_EQ(Excerpt("é \n\"", ""), "text \"é \\n\\\"\"");
  EXPECT_EQ(Excerpt(ValueView::Bytes(absl::string_view("\0\xFF", 2)), ""), "bytes x'00ff'");
}

TEST(ValueExcerptTest, LongValuesAreCutAroundWhereTheyBeginToDiffer) {
  const std::string a(1000, 'a');
  std::string b = a;
  b[500] = 'b';
  EXPECT_EQ(Excerpt(b, a), "text \"..." + std::string(10, 'a') + "b" + std::string(49, 'a') +
                               "...\" (bytes 490 to 550 of 1000)");
  EXPECT_EQ(Excerpt(a, b),
            "text \"..." + std::string(60, 'a') + "...\" (bytes 490 to 550 of 1000)");
  // One goes on where the other ends.
  EXPECT_EQ(Excerpt(a + "!", a),
            "text \"..." + std::string(59, 'a') + "!\" (bytes 941 to 1001 of 1001)");
  EXPECT_EQ(Excerpt(a, ValueView()),
            "text \"" + std::string(60, 'a') + "...\" (bytes 0 to 60 of 1000)");
  EXPECT_EQ(Excerpt(ValueView::Bytes(a), ValueView::Bytes(b)).substr(0, 14), "bytes x'...616");
}

TEST(ValueExcerptTest, CharactersAreNotCut) {
  std::string a;
  for (int i = 0; i < 100; ++i) a += "漢";
  for (const size_t place : {0, 10, 11, 12, 100, 101, 102, 298, 299}) {
    std::string b = a;
    b[place] = 'x';
    EXPECT_EQ(Excerpt(a, b).find("\\x"), std::string::npos) << Excerpt(a, b);
  }
}

TEST(ValueExcerptTest, TextThatIsNoneIsShownByteByByte) {
  EXPECT_EQ(Excerpt("a\xFF", "ab"), "text \"a\\xff\"");
}

}  // namespace
}  // namespace ctlstore::cli
