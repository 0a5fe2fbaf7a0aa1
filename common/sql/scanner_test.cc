#include "common/sql/scanner.h"

#include <gtest/gtest.h>

namespace ctlstore::sql {
namespace {

TEST(ScannerTest, TakesWholeWordsInAnyCase) {
  Scanner scanner("  rePlace\n\tINTO");
  EXPECT_FALSE(scanner.TakeWord("INTO"));
  EXPECT_TRUE(scanner.TakeWord("REPLACE"));
  EXPECT_TRUE(scanner.TakeWord("INTO"));
  EXPECT_TRUE(scanner.TakeEnd());
}

TEST(ScannerTest, DoesNotTakeThePartOfAWord) {
  for (absl::string_view text : {"INTO_", "INTO1", "INTO$", "INTO\xC3\xA9", "INT", "XINTO"}) {
    EXPECT_FALSE(Scanner(text).TakeWord("INTO")) << text;
  }
}

TEST(ScannerTest, VerticalTabAndNulAreNoWhiteSpace) {
  EXPECT_FALSE(Scanner("\vINTO").TakeWord("INTO"));
  EXPECT_FALSE(Scanner(absl::string_view("\0INTO", 5)).TakeWord("INTO"));
}

TEST(ScannerTest, TakesBareAndQuotedNames) {
  absl::string_view name;
  Scanner scanner(R"(fam___tbl "a b;?" x)");
  ASSERT_TRUE(scanner.TakeIdentifier(&name));
  EXPECT_EQ(name, "fam___tbl");
  ASSERT_TRUE(scanner.TakeIdentifier(&name));
  EXPECT_EQ(name, "a b;?");
  ASSERT_TRUE(scanner.TakeIdentifier(&name));
  EXPECT_EQ(name, "x");
  EXPECT_TRUE(scanner.TakeEnd());
}

TEST(ScannerTest, RefusesOtherNames) {
  absl::string_view name;
  for (absl::string_view text : {"", "\"\"", "\"a", "\"a\"\"b\"", "1a", "a$", "\xC3\xA9", "'a'",
                                 "[a]", "`a`", "x'00'", "?"}) {
    EXPECT_FALSE(Scanner(text).TakeIdentifier(&name)) << text;
  }
}

TEST(ScannerTest, TheEndIsOneSemicolonOrNone) {
  for (absl::string_view text : {"", " ", ";", " ; \n"}) EXPECT_TRUE(Scanner(text).TakeEnd());
  for (absl::string_view text : {";;", "; x", "-- x", "x"}) EXPECT_FALSE(Scanner(text).TakeEnd());
}

}  // namespace
}  // namespace ctlstore::sql
