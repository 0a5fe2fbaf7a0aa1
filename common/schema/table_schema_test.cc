#include "common/schema/table_schema.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "absl/strings/str_cat.h"
#include "common/schema/errors.h"
#include "common/schema/limits.h"

namespace ctlstore {
namespace {

using testing::HasSubstr;

void ExpectInvalid(const absl::Status& status, absl::string_view reason, absl::string_view field,
                   absl::string_view part_of_message = "") {
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_EQ(ErrorReason(status), reason) << status;
  EXPECT_EQ(ErrorField(status), field) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(std::string(part_of_message)));
}

std::vector<Field> Fields(int count, FieldType type) {
  std::vector<Field> fields;
  for (int i = 0; i < count; ++i) fields.push_back({absl::StrCat("f", i), type});
  return fields;
}

std::vector<std::string> Names(const std::vector<Field>& fields) {
  std::vector<std::string> names;
  for (const Field& field : fields) names.push_back(field.name);
  return names;
}

TEST(TableSchemaTest, KnowsItsFieldsAndItsKeyInKeyOrder) {
  absl::StatusOr<TableSchema> schema = TableSchema::Create(
      "Fam", "Tbl",
      {{"A", FieldType::kString}, {"b", FieldType::kText}, {"c", FieldType::kInteger}}, {"C", "a"});
  ASSERT_TRUE(schema.ok()) << schema.status();
  EXPECT_EQ(schema->name(), (TableName{"fam", "tbl"}));
  EXPECT_THAT(schema->key_positions(), testing::ElementsAre(2, 0));
  EXPECT_THAT(schema->key_field_names(), testing::ElementsAre("c", "a"));
  EXPECT_EQ(schema->key_field(0), (Field{"c", FieldType::kInteger}));
  EXPECT_TRUE(schema->is_key(0));
  EXPECT_FALSE(schema->is_key(1));
  EXPECT_EQ(schema->FindField("b"), 1u);
  EXPECT_EQ(schema->FindField("B"), absl::nullopt);
}

TEST(TableSchemaTest, WhatIsWrongIsNamed) {
  const std::vector<Field> good = {{"a", FieldType::kString}, {"b", FieldType::kText}};
  ExpectInvalid(TableSchema::Create("f", "tbl", good, {"a"}).status(), reason::kInvalidName,
                "family");
  ExpectInvalid(TableSchema::Create("fam", "t", good, {"a"}).status(), reason::kInvalidName,
                "name");
  ExpectInvalid(TableSchema::Create("fam", "tbl", {}, {"a"}).status(), reason::kInvalidSchema,
                "fields");
  ExpectInvalid(TableSchema::Create("fam", "tbl", good, {}).status(), reason::kInvalidSchema,
                "key_fields");
  ExpectInvalid(
      TableSchema::Create("fam", "tbl", {{"a", FieldType::kString}, {"1", FieldType::kText}}, {"a"})
          .status(),
      reason::kInvalidName, "fields[1].name");
  ExpectInvalid(
      TableSchema::Create("fam", "tbl", {{"a", FieldType::kString}, {"A", FieldType::kText}}, {"a"})
          .status(),
      reason::kInvalidSchema, "fields[1].name", "two fields");
  ExpectInvalid(TableSchema::Create("fam", "tbl", good, {"a", "nope"}).status(),
                reason::kInvalidSchema, "key_fields[1]", "nope");
  ExpectInvalid(TableSchema::Create("fam", "tbl", good, {"a", "a"}).status(),
                reason::kInvalidSchema, "key_fields[1]");
  ExpectInvalid(TableSchema::Create("fam", "tbl", good, {"b"}).status(), reason::kInvalidSchema,
                "key_fields[0]", "text");
}

TEST(TableSchemaTest, OnlyShortTypesMayBeKeys) {
  for (FieldType type : {FieldType::kString, FieldType::kInteger, FieldType::kBytestring}) {
    EXPECT_TRUE(MayBeKey(type));
    EXPECT_TRUE(TableSchema::Create("fam", "tbl", {{"a", type}}, {"a"}).ok());
  }
  for (FieldType type : {FieldType::kDecimal, FieldType::kText, FieldType::kBinary}) {
    EXPECT_FALSE(MayBeKey(type));
    EXPECT_FALSE(TableSchema::Create("fam", "tbl", {{"a", type}}, {"a"}).ok());
  }
}

TEST(TableSchemaTest, LimitsAreInclusive) {
  const auto create = [](int count, FieldType type, int keys) {
    std::vector<Field> fields = Fields(count, type);
    std::vector<std::string> key = Names(fields);
    key.resize(keys);
    return TableSchema::Create("fam", "tbl", fields, key).status();
  };
  EXPECT_TRUE(create(limits::kFieldsMax, FieldType::kInteger, 1).ok());
  ExpectInvalid(create(limits::kFieldsMax + 1, FieldType::kInteger, 1), reason::kInvalidSchema,
                "fields", "190");
  EXPECT_TRUE(create(20, FieldType::kInteger, limits::kKeyFieldsMax).ok());
  ExpectInvalid(create(20, FieldType::kInteger, limits::kKeyFieldsMax + 1), reason::kInvalidSchema,
                "key_fields", "16");
  // 4 * 764 bytes fit in 3072, and 12 * 255 do.
  EXPECT_TRUE(create(5, FieldType::kString, 4).ok());
  ExpectInvalid(create(5, FieldType::kString, 5), reason::kInvalidSchema, "key_fields", "3820");
  EXPECT_TRUE(create(13, FieldType::kBytestring, 12).ok());
  ExpectInvalid(create(13, FieldType::kBytestring, 13), reason::kInvalidSchema, "key_fields");
  // 85 * 766 bytes fit in 65,535.
  EXPECT_TRUE(create(85, FieldType::kString, 1).ok());
  ExpectInvalid(create(86, FieldType::kString, 1), reason::kInvalidSchema, "fields", "65876");
}

TEST(TableSchemaTest, FieldsAreAddedBehindItsOwn) {
  const TableSchema schema = *TableSchema::Create(
      "fam", "tbl", {{"a", FieldType::kString}, {"b", FieldType::kText}}, {"a"});
  std::vector<Field> added;
  absl::StatusOr<TableSchema> wider =
      schema.WithFields({{"C", FieldType::kDecimal}, {"b", FieldType::kText}}, &added);
  ASSERT_TRUE(wider.ok()) << wider.status();
  EXPECT_THAT(added, testing::ElementsAre(Field{"c", FieldType::kDecimal}));
  EXPECT_EQ(
      *wider,
      *TableSchema::Create(
          "fam", "tbl",
          {{"a", FieldType::kString}, {"b", FieldType::kText}, {"c", FieldType::kDecimal}}, {"a"}));
  EXPECT_EQ(*wider->WithFields({}, &added), *wider);
  EXPECT_TRUE(added.empty());

  const absl::Status differs = schema.WithFields({{"b", FieldType::kInteger}}, &added).status();
  EXPECT_EQ(differs.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(ErrorReason(differs), reason::kFieldDiffers);
  ExpectInvalid(
      schema.WithFields({{"x", FieldType::kText}, {"X", FieldType::kText}}, &added).status(),
      reason::kInvalidSchema, "fields[1].name");
  ExpectInvalid(schema.WithFields({{"1", FieldType::kText}}, &added).status(), reason::kInvalidName,
                "fields[0].name");
  ExpectInvalid(schema.WithFields(Fields(190, FieldType::kText), &added).status(),
                reason::kInvalidSchema, "fields");
}

TEST(TableSchemaTest, ADifferenceIsToldInWords) {
  const auto create = [](std::vector<Field> fields, std::vector<std::string> key) {
    return *TableSchema::Create("fam", "tbl", std::move(fields), key);
  };
  const TableSchema schema =
      create({{"a", FieldType::kString}, {"b", FieldType::kInteger}}, {"a", "b"});
  EXPECT_EQ(DescribeDifference(schema, schema), "");
  EXPECT_THAT(
      DescribeDifference(
          schema,
          create({{"a", FieldType::kString}, {"b", FieldType::kInteger}, {"c", FieldType::kText}},
                 {"a", "b"})),
      HasSubstr("no field c text"));
  EXPECT_THAT(
      DescribeDifference(
          schema, create({{"a", FieldType::kString}, {"b", FieldType::kString}}, {"a", "b"})),
      HasSubstr("b integer was wanted as string"));
  EXPECT_THAT(DescribeDifference(schema, create({{"a", FieldType::kString}}, {"a"})),
              HasSubstr("has the field b integer, which was not wanted"));
  EXPECT_THAT(
      DescribeDifference(
          schema, create({{"a", FieldType::kString}, {"b", FieldType::kInteger}}, {"b", "a"})),
      HasSubstr("its key is (a, b), wanted was (b, a)"));
  EXPECT_THAT(
      DescribeDifference(
          schema, create({{"b", FieldType::kInteger}, {"a", FieldType::kString}}, {"a", "b"})),
      HasSubstr("order"));
}

TEST(TableSchemaTest, TypesHaveNames) {
  for (FieldType type : {FieldType::kString, FieldType::kInteger, FieldType::kDecimal,
                         FieldType::kText, FieldType::kBinary, FieldType::kBytestring}) {
    EXPECT_EQ(FieldTypeFromName(FieldTypeName(type)), type);
  }
  EXPECT_EQ(FieldTypeFromName("varchar"), absl::nullopt);
  EXPECT_EQ(FieldTypeFromName(""), absl::nullopt);
}

TEST(CheckValueTest, NullIsForFieldsOutsideTheKey) {
  EXPECT_TRUE(CheckValue("v", FieldType::kString, true, ValueView()).ok());
  ExpectInvalid(CheckValue("v", FieldType::kString, false, ValueView()), reason::kInvalidValue,
                "v");
}

TEST(CheckValueTest, KindsDoNotMix) {
  const std::vector<std::pair<FieldType, ValueView>> good = {
      {FieldType::kString, "x"},
      {FieldType::kInteger, 1},
      {FieldType::kDecimal, 1.5},
      {FieldType::kText, "x"},
      {FieldType::kBinary, ValueView::Bytes("x")},
      {FieldType::kBytestring, ValueView::Bytes("x")}};
  for (const auto& [type, unused] : good) {
    for (const auto& [other, value] : good) {
      const absl::Status status = CheckValue("v", type, true, value);
      if (KindOf(type) == KindOf(other)) {
        EXPECT_TRUE(status.ok()) << status;
      } else {
        ExpectInvalid(status, reason::kInvalidValue, "v", FieldTypeName(type));
      }
    }
  }
}

TEST(CheckValueTest, LengthsAreInclusiveAndToldWithTheLimit) {
  std::string characters;
  for (int i = 0; i < 191; ++i) characters += "😀";
  EXPECT_TRUE(CheckValue("v", FieldType::kString, true, characters).ok());
  ExpectInvalid(CheckValue("v", FieldType::kString, true, characters + "x"), reason::kTooLarge, "v",
                "at most 191 characters, the value has 192");
  const std::string bytes(255, '\xFF');
  EXPECT_TRUE(CheckValue("v", FieldType::kBytestring, true, ValueView::Bytes(bytes)).ok());
  ExpectInvalid(CheckValue("v", FieldType::kBytestring, true, ValueView::Bytes(bytes + "x")),
                reason::kTooLarge, "v", "256");
  const std::string large(limits::kValueMaxBytes, 'x');
  for (FieldType type : {FieldType::kText, FieldType::kBinary}) {
    const bool text = type == FieldType::kText;
    const std::string larger = large + "x";
    EXPECT_TRUE(
        CheckValue("v", type, true, text ? ValueView(large) : ValueView::Bytes(large)).ok());
    ExpectInvalid(CheckValue("v", type, true, text ? ValueView(larger) : ValueView::Bytes(larger)),
                  reason::kTooLarge, "v", "524289");
  }
}

TEST(CheckValueTest, TextIsUtf8WithoutNul) {
  for (FieldType type : {FieldType::kString, FieldType::kText}) {
    EXPECT_TRUE(CheckValue("v", type, true, "").ok());
    ExpectInvalid(CheckValue("v", type, true, "\xFF"), reason::kInvalidValue, "v", "UTF-8");
    ExpectInvalid(CheckValue("v", type, true, absl::string_view("a\0", 2)), reason::kInvalidValue,
                  "v", "NUL");
  }
}

TEST(CheckValueTest, DecimalsAreFiniteAndNotNegativeZero) {
  using Limits = std::numeric_limits<double>;
  for (double decimal : {0.0, Limits::max(), Limits::lowest(), Limits::denorm_min()}) {
    EXPECT_TRUE(CheckValue("v", FieldType::kDecimal, true, decimal).ok());
  }
  for (double decimal : {-0.0, Limits::infinity(), -Limits::infinity(), Limits::quiet_NaN()}) {
    ExpectInvalid(CheckValue("v", FieldType::kDecimal, true, decimal), reason::kInvalidValue, "v");
  }
}

TEST(AdaptValueTest, IntegersBecomeDecimalsWhereThatIsExact) {
  constexpr int64_t kExact = int64_t{1} << 53;
  for (int64_t integer : {int64_t{0}, int64_t{-7}, kExact, -kExact}) {
    EXPECT_EQ(AdaptValue(FieldType::kDecimal, integer), ValueView(static_cast<double>(integer)));
    EXPECT_EQ(AdaptValue(FieldType::kInteger, integer), ValueView(integer));
  }
  for (int64_t integer : {kExact + 1, -kExact - 1, std::numeric_limits<int64_t>::max()}) {
    EXPECT_EQ(AdaptValue(FieldType::kDecimal, integer), ValueView(integer));
  }
  EXPECT_EQ(AdaptValue(FieldType::kDecimal, "1"), ValueView("1"));
}

}  // namespace
}  // namespace ctlstore
