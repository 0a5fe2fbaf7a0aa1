#include "cli/field_list.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "cli/exit_status.h"

namespace ctlstore::cli {
namespace {

TEST(FieldListTest, ReadsNamesAndTypes) {
  EXPECT_EQ(*ParseFieldList("code:string, n:INTEGER,,b:bytestring"),
            (std::vector<Field>{{"code", FieldType::kString},
                                {"n", FieldType::kInteger},
                                {"b", FieldType::kBytestring}}));
  EXPECT_TRUE(ParseFieldList("")->empty());
  EXPECT_EQ(ParseNameList(" a,b , c"), (std::vector<std::string>{"a", "b", "c"}));
}

TEST(FieldListTest, SaysWhichTypesThereAre) {
  const absl::Status status = ParseFieldList("a:varchar").status();
  EXPECT_TRUE(IsUsageError(status)) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "bytestring")) << status;
  EXPECT_TRUE(IsUsageError(ParseFieldList("a").status()));
}

}  // namespace
}  // namespace ctlstore::cli
