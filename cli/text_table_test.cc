#include "cli/text_table.h"

#include <gtest/gtest.h>

#include <sstream>
#include <string>

#include "absl/strings/str_cat.h"

namespace ctlstore::cli {
namespace {

TEST(TextTableTest, AlignsColumnsUnderTheirHeader) {
  std::ostringstream out;
  TextTable table({"CODE", "NAME", "N"}, &out);
  table.AddRow({"NZ", "New Zealand", "1"});
  table.AddRow({"\xC3\x85X", "\xC3\x85land", "22"});
  table.AddRow({"JP", "\xE6\x97\xA5\xE6\x9C\xAC", ""});
  EXPECT_EQ(out.str(), "");
  table.Finish();
  EXPECT_EQ(out.str(),
            "CODE  NAME         N\n"
            "NZ    New Zealand  1\n"
            "\xC3\x85X    \xC3\x85land        22\n"
            "JP    \xE6\x97\xA5\xE6\x9C\xAC\n");
}

TEST(TextTableTest, WritesManyRowsAsTheyCome) {
  std::ostringstream out;
  TextTable table({"N", "X"}, &out);
  for (int i = 0; i < 1500; ++i) table.AddRow({absl::StrCat(i), "x"});
  EXPECT_NE(out.str().find("1499  x\n"), std::string::npos);
  table.Finish();
  EXPECT_EQ(out.str().substr(0, 10), "N    X\n0  ");
}

TEST(TextTableTest, AVeryWideCellDoesNotWidenItsColumn) {
  std::ostringstream out;
  TextTable table({}, &out);
  table.AddRow({std::string(100, 'a'), "x"});
  table.AddRow({"b", "y"});
  table.Finish();
  EXPECT_EQ(out.str(), std::string(100, 'a') + "  x\nb" + std::string(61, ' ') + "y\n");
}

TEST(TextTableTest, MeasuresTextAsATerminalShowsIt) {
  EXPECT_EQ(DisplayWidth(""), 0u);
  EXPECT_EQ(DisplayWidth("abc"), 3u);
  EXPECT_EQ(DisplayWidth("\xC3\xA9"), 1u);
  EXPECT_EQ(DisplayWidth("e\xCC\x81"), 1u);
  EXPECT_EQ(DisplayWidth("\xE6\x97\xA5"), 2u);
  EXPECT_EQ(DisplayWidth("\xF0\x9F\x87\xB3\xF0\x9F\x87\xBF"), 2u);
  EXPECT_GT(DisplayWidth("\xFF\xF0"), 0u);
}

}  // namespace
}  // namespace ctlstore::cli
