#include "cli/json_output.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>

namespace ctlstore::cli {
namespace {

TEST(JsonOutputTest, KeepsValuesExactly) {
  EXPECT_EQ(Compact(ToJson(ValueView())), "null");
  EXPECT_EQ(Compact(ToJson(std::numeric_limits<int64_t>::min())), "-9223372036854775808");
  EXPECT_EQ(Compact(ToJson(int64_t{9007199254740993})), "9007199254740993");
  EXPECT_EQ(Compact(ToJson(0.1)), "0.1");
  EXPECT_EQ(Compact(ToJson("a\"\n\xC3\xA9")), "\"a\\\"\\n\xC3\xA9\"");
  EXPECT_EQ(Compact(ToJson(ValueView::Bytes(absl::string_view("\0\1\2", 3)))), "\"AAEC\"");
}

TEST(JsonOutputTest, RowsKeepTheOrderOfTheirFields) {
  EXPECT_EQ(Compact(ToJson(NamedValues{{"z", Value::Integer(1)}, {"a", Value::Null()}})),
            "{\"z\":1,\"a\":null}");
}

TEST(JsonOutputTest, ShowsATablesDefinition) {
  const auto schema = TableSchema::Create(
      "geo", "cities", {{"country", FieldType::kString}, {"n", FieldType::kInteger}},
      {"n", "country"});
  ASSERT_TRUE(schema.ok());
  EXPECT_EQ(
      Compact(ToJson(*schema)),
      "{\"family\":\"geo\",\"name\":\"cities\",\"fields\":[{\"name\":\"country\",\"type\":"
      "\"string\"},{\"name\":\"n\",\"type\":\"integer\"}],\"key_fields\":[\"n\",\"country\"]}");
}

TEST(JsonOutputTest, BrokenTextBreaksNothing) {
  EXPECT_EQ(Compact(ToJson("\xFF")), "\"\xEF\xBF\xBD\"");
}

}  // namespace
}  // namespace ctlstore::cli
