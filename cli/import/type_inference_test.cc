#include "cli/import/type_inference.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace ctlstore::cli {
namespace {

using Kind = Cell::Kind;

const std::string& LongText(size_t characters) {
  static std::vector<std::string>* const kept = new std::vector<std::string>;
  std::string text;
  for (size_t i = 0; i < characters; ++i) text += "\xC3\xA9";
  kept->push_back(text);
  return kept->back();
}

struct Case {
  const char* name;
  std::vector<Cell> cells;
  FieldType type;
  FieldType key_type;
};

TEST(TypeInferenceTest, FindsTheNarrowestTypeThatHoldsAllOfAColumn) {
  const Case cases[] = {
      {"nothing", {}, FieldType::kString, FieldType::kString},
      {"nulls", {{Kind::kNull, ""}, {Kind::kEmpty, ""}}, FieldType::kString, FieldType::kString},
      {"integers",
       {{Kind::kNumber, "1"}, {Kind::kNull, ""}, {Kind::kNumber, "-9223372036854775808"}},
       FieldType::kInteger,
       FieldType::kInteger},
      {"booleans", {{Kind::kBoolean, "true"}}, FieldType::kInteger, FieldType::kInteger},
      {"booleans and integers",
       {{Kind::kBoolean, "true"}, {Kind::kNumber, "7"}},
       FieldType::kInteger,
       FieldType::kInteger},
      {"fractions", {{Kind::kNumber, "1.5"}}, FieldType::kDecimal, FieldType::kString},
      {"fractions and integers",
       {{Kind::kNumber, "1.5"}, {Kind::kNumber, "3"}},
       FieldType::kDecimal,
       FieldType::kString},
      {"fractions and integers that a double rounds",
       {{Kind::kNumber, "1.5"}, {Kind::kNumber, "9007199254740993"}},
       FieldType::kString,
       FieldType::kString},
      {"more than 64 bits, exact as a double",
       {{Kind::kNumber, "9223372036854775808"}},
       FieldType::kDecimal,
       FieldType::kString},
      {"more than 64 bits, not exact",
       {{Kind::kNumber, "18446744073709551615"}},
       FieldType::kString,
       FieldType::kString},
      {"numbers and texts",
       {{Kind::kNumber, "1"}, {Kind::kText, "x"}},
       FieldType::kString,
       FieldType::kString},
      {"booleans and texts",
       {{Kind::kBoolean, "true"}, {Kind::kText, "x"}},
       FieldType::kString,
       FieldType::kString},
      {"texts of digits stay texts", {{Kind::kText, "12"}}, FieldType::kString, FieldType::kString},
      {"untyped integers", {{Kind::kUntyped, "12"}}, FieldType::kInteger, FieldType::kInteger},
      {"leading zeros mean a text",
       {{Kind::kUntyped, "12"}, {Kind::kUntyped, "007"}},
       FieldType::kString,
       FieldType::kString},
      {"untyped fractions", {{Kind::kUntyped, "1.25"}}, FieldType::kDecimal, FieldType::kString},
      {"untyped empty text", {{Kind::kUntyped, ""}}, FieldType::kString, FieldType::kString},
      {"out of every range", {{Kind::kUntyped, "1e400"}}, FieldType::kString, FieldType::kString},
      {"191 characters", {{Kind::kText, LongText(191)}}, FieldType::kString, FieldType::kString},
      {"192 characters", {{Kind::kText, LongText(192)}}, FieldType::kText, FieldType::kString},
      {"objects", {{Kind::kJson, "{}"}}, FieldType::kText, FieldType::kString},
      {"objects and numbers",
       {{Kind::kJson, "{}"}, {Kind::kNumber, "1"}},
       FieldType::kText,
       FieldType::kString},
  };
  for (const Case& test : cases) {
    ColumnProfile profile;
    for (const Cell& cell : test.cells) profile.Add(cell);
    EXPECT_EQ(FieldTypeName(profile.Type(false)), FieldTypeName(test.type)) << test.name;
    EXPECT_EQ(FieldTypeName(profile.Type(true)), FieldTypeName(test.key_type)) << test.name;
  }
}

}  // namespace
}  // namespace ctlstore::cli
