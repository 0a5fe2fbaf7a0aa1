#include "cli/value_text.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "common/schema/errors.h"

namespace ctlstore::cli {
namespace {

TEST(ValueTextTest, ReadsWhatAFieldOfItsTypeTakes) {
  EXPECT_EQ(*ParseValueText("f", FieldType::kString, "42"), Value::Text("42"));
  EXPECT_EQ(*ParseValueText("f", FieldType::kText, ""), Value::Text(""));
  EXPECT_EQ(*ParseValueText("f", FieldType::kInteger, "-9223372036854775808"),
            Value::Integer(std::numeric_limits<int64_t>::min()));
  EXPECT_EQ(*ParseValueText("f", FieldType::kDecimal, "1.5e3"), Value::Decimal(1500));
  EXPECT_EQ(*ParseValueText("f", FieldType::kBinary, "0x00fF"),
            Value::Bytes(std::string("\0\xFF", 2)));
  EXPECT_EQ(*ParseValueText("f", FieldType::kBytestring, "base64:AP8="),
            Value::Bytes(std::string("\0\xFF", 2)));
  EXPECT_EQ(*ParseValueText("f", FieldType::kBytestring, "0x"), Value::Bytes(""));
}

TEST(ValueTextTest, RefusesWhatItDoesNot) {
  const struct {
    FieldType type;
    const char* text;
  } cases[] = {{FieldType::kInteger, ""},           {FieldType::kInteger, "1.0"},
               {FieldType::kInteger, " 1"},         {FieldType::kInteger, "9223372036854775808"},
               {FieldType::kInteger, "0x10"},       {FieldType::kDecimal, "one"},
               {FieldType::kDecimal, ""},           {FieldType::kBinary, "abc"},
               {FieldType::kBinary, "0xabc"},       {FieldType::kBinary, "0xgg"},
               {FieldType::kBytestring, "base64:?"}};
  for (const auto& test : cases) {
    const absl::Status status = ParseValueText("f", test.type, test.text).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << test.text;
    EXPECT_EQ(ErrorField(status), "f");
  }
}

TEST(ValueTextTest, TriesTheLikeliestMeaningFirst) {
  EXPECT_EQ(PossibleValues("NZ"), (std::vector<Value>{Value::Text("NZ")}));
  EXPECT_EQ(PossibleValues("42"), (std::vector<Value>{Value::Integer(42), Value::Text("42")}));
  EXPECT_EQ(PossibleValues("007"), (std::vector<Value>{Value::Integer(7), Value::Text("007")}));
  EXPECT_EQ(PossibleValues("0xff"),
            (std::vector<Value>{Value::Bytes("\xFF"), Value::Text("0xff")}));
  EXPECT_EQ(PossibleValues("99999999999999999999"),
            (std::vector<Value>{Value::Text("99999999999999999999")}));
}

TEST(ValueTextTest, ShowsValuesOnOneLine) {
  EXPECT_EQ(DisplayText(ValueView()), "null");
  EXPECT_EQ(DisplayText(int64_t{-5}), "-5");
  EXPECT_EQ(DisplayText(0.1), "0.1");
  EXPECT_EQ(DisplayText(1.0 / 3), "0.3333333333333333");
  EXPECT_EQ(DisplayText(1e300), "1e+300");
  EXPECT_EQ(DisplayText("a\n\t\\\x1b[31m\x7f \xC3\xA9"), "a\\n\\t\\\\\\x1b[31m\\x7f \xC3\xA9");
  EXPECT_EQ(DisplayText(ValueView::Bytes(absl::string_view("\0\xFF", 2))), "0x00ff");
}

}  // namespace
}  // namespace ctlstore::cli
