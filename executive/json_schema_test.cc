#include "executive/json_schema.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/schema/errors.h"

namespace ctlstore::executive {
namespace {

constexpr char kAllTypes[] =
    R"({"family":"geo","name":"all","fields":[["a","string"],["b","integer"],["c","decimal"],)"
    R"(["d","text"],["e","binary"],["f","bytestring"]],"keyFields":["b","a"]})";

TEST(JsonSchemaTest, TablesComeOutAsTheyWentIn) {
  const auto tables = ParseTables(absl::StrCat("[", kAllTypes, "]"));
  ASSERT_TRUE(tables.ok()) << tables.status();
  ASSERT_EQ(tables->size(), 1u);
  EXPECT_EQ(ToJson((*tables)[0]), kAllTypes);
  EXPECT_EQ(ToJson(*tables), absl::StrCat("[", kAllTypes, "]"));
  EXPECT_EQ(ToJson(std::vector<TableSchema>()), "[]");
}

TEST(JsonSchemaTest, ATableOfAPathHasItsNamesFromThere) {
  const auto table =
      ParseTable("Geo", "Rivers", R"({"fields":[["Name","string"]],"keyFields":["name"]})");
  ASSERT_TRUE(table.ok()) << table.status();
  EXPECT_EQ(
      ToJson(*table),
      R"({"family":"geo","name":"rivers","fields":[["name","string"]],"keyFields":["name"]})");
}

TEST(JsonSchemaTest, FieldsAreNamesAndTypes) {
  const auto fields = ParseFields(R"({"fields":[["a","string"],["B","bytestring"]]})");
  ASSERT_TRUE(fields.ok()) << fields.status();
  EXPECT_EQ(*fields,
            (std::vector<Field>{{"a", FieldType::kString}, {"B", FieldType::kBytestring}}));
  EXPECT_TRUE(ParseFields("{}")->empty());
}

TEST(JsonSchemaTest, ErrorsNameThePlaceInTheBody) {
  const std::vector<std::pair<std::string, std::string>> bodies = {
      {"[]", "body"},
      {"{", "body"},
      {R"({"fields":1})", "fields"},
      {R"({"fields":[["a"]]})", "fields[0]"},
      {R"({"fields":[["a","string"],"b"]})", "fields[1]"},
      {R"({"fields":[["a",1]]})", "fields[0]"},
      {R"({"fields":[["a","strong"]]})", "fields[0][1]"},
      {R"({"fields":[["a!","string"]],"keyFields":["a!"]})", "fields[0].name"},
      {R"({"fields":[["a","string"]],"keyFields":"a"})", "keyFields"},
      {R"({"fields":[["a","string"]],"keyFields":[1]})", "keyFields[0]"},
      {R"({"fields":[["a","string"]],"keyFields":["b"]})", "keyFields[0]"},
      {R"({"fields":[["a","string"]]})", "keyFields"},
      {R"({"fields":[["a","text"]],"keyFields":["a"]})", "keyFields[0]"},
      {R"({"field":[]})", "field"},
  };
  for (const auto& [body, field] : bodies) {
    const auto table = ParseTable("geo", "rivers", body);
    EXPECT_TRUE(absl::IsInvalidArgument(table.status())) << body;
    EXPECT_EQ(ErrorField(table.status()), field) << table.status();
    EXPECT_EQ(table.status().message().substr(0, field.size() + 2), absl::StrCat(field, ": "));
  }
  const std::string good = R"({"fields":[["a","string"]],"keyFields":["a"]})";
  EXPECT_EQ(ErrorField(ParseTable("g", "rivers", good).status()), std::string("family"));
  EXPECT_EQ(ErrorField(ParseTable("geo", "r", good).status()), std::string("table"));
}

TEST(JsonSchemaTest, ErrorsNameTheTableOfSeveral) {
  const std::vector<std::pair<std::string, std::string>> second = {
      {R"({"family":"geo","name":"r","fields":[["a","string"]],"keyFields":["a"]})",
       "tables[1].name"},
      {R"({"name":"rivers","fields":[["a","string"]],"keyFields":["a"]})", "tables[1].family"},
      {R"({"family":"geo","name":"rivers","fields":[["a","string"]],"keyFields":["b"]})",
       "tables[1].keyFields[0]"},
      {R"({"family":"geo","name":1})", "tables[1].name"},
      {R"({"more":1})", "tables[1].more"},
  };
  for (const auto& [table, field] : second) {
    const auto tables = ParseTables(absl::StrCat("[", kAllTypes, ",", table, "]"));
    EXPECT_EQ(ErrorField(tables.status()), field) << tables.status();
  }
  EXPECT_EQ(ErrorField(ParseTables("{}").status()), std::string("body"));
  std::string many = "[{}";
  for (int i = 0; i < 100; ++i) many += ",{}";
  EXPECT_EQ(ErrorReason(ParseTables(many + "]").status()), std::string(reason::kTooLarge));
}

}  // namespace
}  // namespace ctlstore::executive
