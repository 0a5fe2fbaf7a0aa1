#include "cli/import/cell_conversion.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <string>

#include "absl/strings/match.h"
#include "common/schema/errors.h"

namespace ctlstore::cli {
namespace {

using Kind = Cell::Kind;

absl::StatusOr<Value> Convert(FieldType type, Kind kind, const std::string& text,
                              bool key = false) {
  return ConvertCell(Field{"f", type}, key, Cell{kind, text});
}

TEST(CellConversionTest, ConvertsExactly) {
  EXPECT_EQ(*Convert(FieldType::kInteger, Kind::kNumber, "9223372036854775807"),
            Value::Integer(std::numeric_limits<int64_t>::max()));
  EXPECT_EQ(*Convert(FieldType::kInteger, Kind::kUntyped, "-5"), Value::Integer(-5));
  EXPECT_EQ(*Convert(FieldType::kInteger, Kind::kBoolean, "true"), Value::Integer(1));
  EXPECT_EQ(*Convert(FieldType::kInteger, Kind::kBoolean, "false"), Value::Integer(0));
  EXPECT_EQ(*Convert(FieldType::kDecimal, Kind::kNumber, "3"), Value::Decimal(3));
  EXPECT_EQ(*Convert(FieldType::kDecimal, Kind::kNumber, "-0.0"), Value::Decimal(0));
  EXPECT_EQ(*Convert(FieldType::kDecimal, Kind::kBoolean, "true"), Value::Decimal(1));
  EXPECT_EQ(*Convert(FieldType::kText, Kind::kNumber, "1.10"), Value::Text("1.10"));
  EXPECT_EQ(*Convert(FieldType::kString, Kind::kBoolean, "true"), Value::Text("true"));
  EXPECT_EQ(*Convert(FieldType::kText, Kind::kJson, "{\"a\":[]}"), Value::Text("{\"a\":[]}"));
  EXPECT_EQ(*Convert(FieldType::kBinary, Kind::kText, "AAEC"),
            Value::Bytes(std::string("\0\1\2", 3)));
  EXPECT_EQ(*Convert(FieldType::kBytestring, Kind::kUntyped, "AAEC"),
            Value::Bytes(std::string("\0\1\2", 3)));
}

TEST(CellConversionTest, AnEmptyFieldIsNullExceptInAKeyOfText) {
  for (FieldType type : {FieldType::kString, FieldType::kText, FieldType::kInteger,
                         FieldType::kDecimal, FieldType::kBinary, FieldType::kBytestring}) {
    EXPECT_EQ(*Convert(type, Kind::kEmpty, ""), Value::Null()) << FieldTypeName(type);
    EXPECT_EQ(*Convert(type, Kind::kNull, ""), Value::Null()) << FieldTypeName(type);
  }
  EXPECT_EQ(*Convert(FieldType::kString, Kind::kEmpty, "", true), Value::Text(""));
  EXPECT_FALSE(Convert(FieldType::kString, Kind::kNull, "", true).ok());
  EXPECT_FALSE(Convert(FieldType::kInteger, Kind::kEmpty, "", true).ok());
  EXPECT_FALSE(Convert(FieldType::kBytestring, Kind::kEmpty, "", true).ok());
  EXPECT_EQ(*Convert(FieldType::kString, Kind::kUntyped, ""), Value::Text(""));
  EXPECT_EQ(*Convert(FieldType::kInteger, Kind::kUntyped, ""), Value::Null());
}

TEST(CellConversionTest, RefusesWhatTheFieldCannotHold) {
  const struct {
    FieldType type;
    Kind kind;
    std::string text;
  } cases[] = {
      {FieldType::kInteger, Kind::kNumber, "1.5"},
      {FieldType::kInteger, Kind::kNumber, "1.0"},
      {FieldType::kInteger, Kind::kNumber, "9223372036854775808"},
      {FieldType::kInteger, Kind::kText, "1"},
      {FieldType::kInteger, Kind::kUntyped, "twelve"},
      {FieldType::kInteger, Kind::kJson, "[1]"},
      {FieldType::kDecimal, Kind::kNumber, "9007199254740993"},
      {FieldType::kDecimal, Kind::kUntyped, "1e400"},
      {FieldType::kDecimal, Kind::kText, "1.5"},
      {FieldType::kString, Kind::kText, std::string(192, 'x')},
      {FieldType::kString, Kind::kText, std::string("a\0b", 3)},
      {FieldType::kText, Kind::kUntyped, "\xFF"},
      {FieldType::kBinary, Kind::kText, "not base64!"},
      {FieldType::kBinary, Kind::kNumber, "12"},
      {FieldType::kBytestring, Kind::kJson, "[]"},
  };
  for (const auto& test : cases) {
    const absl::StatusOr<Value> value = Convert(test.type, test.kind, test.text);
    ASSERT_TRUE(absl::IsInvalidArgument(value.status()))
        << FieldTypeName(test.type) << " " << test.text;
    EXPECT_EQ(ErrorField(value.status()), "f") << value.status();
    if (test.text.size() > 5) {
      EXPECT_FALSE(absl::StrContains(value.status().message(), test.text)) << value.status();
    }
  }
}

}  // namespace
}  // namespace ctlstore::cli
