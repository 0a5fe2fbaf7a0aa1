#include "cli/import/column_names.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/match.h"

namespace ctlstore::cli {
namespace {

TEST(ColumnNamesTest, MakesFieldNames) {
  EXPECT_EQ(*FieldNameForColumn("alpha_2"), "alpha_2");
  EXPECT_EQ(*FieldNameForColumn(" ISO Code "), "iso_code");
  EXPECT_EQ(*FieldNameForColumn("2nd"), "f_2nd");
  EXPECT_EQ(*FieldNameForColumn("_id"), "f_id");
  EXPECT_EQ(*FieldNameForColumn("Gr\xC3\xB6\xC3\x9F"
                                "e (m\xC2\xB2)"),
            "gr__e__m__");
  EXPECT_EQ(*FieldNameForColumn("a.b-c"), "a_b_c");
}

TEST(ColumnNamesTest, RefusesWhatCannotBecomeAName) {
  EXPECT_TRUE(absl::IsInvalidArgument(FieldNameForColumn("").status()));
  EXPECT_TRUE(absl::IsInvalidArgument(FieldNameForColumn("  ").status()));
  EXPECT_TRUE(absl::IsInvalidArgument(FieldNameForColumn(std::string(65, 'a')).status()));
}

TEST(ColumnNamesTest, RefusesTwoThatBecomeTheSame) {
  EXPECT_EQ(*FieldNamesForColumns(std::vector<std::string>{"A", "b"}),
            (std::vector<std::string>{"a", "b"}));
  const auto clash = FieldNamesForColumns(std::vector<std::string>{"Name", "x", "name"});
  EXPECT_TRUE(absl::IsInvalidArgument(clash.status()));
  EXPECT_TRUE(absl::StrContains(clash.status().message(), "Name")) << clash.status();
  EXPECT_TRUE(absl::StrContains(clash.status().message(), "column name")) << clash.status();
}

}  // namespace
}  // namespace ctlstore::cli
