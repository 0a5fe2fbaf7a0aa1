#include "executive/json_mutation.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/schema/errors.h"
#include "common/schema/table_schema.h"

namespace ctlstore::executive {
namespace {

// What the value that JSON has as `json` is in a request, or its error's message.
std::string ValueOf(const std::string& json) {
  const auto parsed = JsonMutation::Parse(
      "geo", absl::StrCat(R"({"mutations":[{"table":"t","values":{"f":)", json, "}}]}"));
  if (!parsed.ok()) return std::string(parsed.status().message());
  return DebugString((*parsed)->request().mutations[0].values[0].second);
}

TEST(JsonMutationTest, HasAllThatTheBodyHas) {
  const auto parsed = JsonMutation::Parse("geo", R"({
      "cookie": "AP8=", "check_cookie": "",
      "mutations": [
        {"table": "countries", "values": {"code": "NZ", "flag": null, "size": 5}},
        {"table": "cities", "delete": true, "values": {"id": 1}},
        {"table": "rivers", "delete": false}]})");
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  const MutateRequest& request = (*parsed)->request();
  EXPECT_EQ(request.family, "geo");
  EXPECT_EQ(request.cookie, absl::string_view("\0\xff", 2));
  EXPECT_EQ(request.check_cookie, absl::string_view(""));
  EXPECT_TRUE(request.bytes_are_base64);
  ASSERT_EQ(request.mutations.size(), 3u);
  EXPECT_EQ(request.mutations[0].table, "countries");
  EXPECT_FALSE(request.mutations[0].remove);
  ASSERT_EQ(request.mutations[0].values.size(), 3u);
  EXPECT_EQ(request.mutations[0].values[0].first, "code");
  EXPECT_EQ(request.mutations[0].values[0].second, ValueView("NZ"));
  EXPECT_TRUE(request.mutations[0].values[1].second.is_null());
  EXPECT_EQ(request.mutations[0].values[2].second, ValueView(5));
  EXPECT_TRUE(request.mutations[1].remove);
  EXPECT_EQ(request.mutations[2].table, "rivers");
  EXPECT_FALSE(request.mutations[2].remove);
}

TEST(JsonMutationTest, WhatIsNullIsNotThere) {
  const auto parsed = JsonMutation::Parse("geo", R"({"cookie": null, "check_cookie": null,
                 "mutations": [{"table": null, "delete": null, "values": null}]})");
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_FALSE((*parsed)->request().cookie.has_value());
  EXPECT_FALSE((*parsed)->request().check_cookie.has_value());
  EXPECT_EQ((*parsed)->request().mutations.size(), 1u);
  EXPECT_TRUE((*JsonMutation::Parse("geo", "{}"))->request().mutations.empty());
}

TEST(JsonMutationTest, NumbersAreExact) {
  EXPECT_EQ(ValueOf("9007199254740993"), "9007199254740993");
  EXPECT_EQ(ValueOf("9223372036854775807"), "9223372036854775807");
  EXPECT_EQ(ValueOf("-9223372036854775808"), "-9223372036854775808");
  EXPECT_EQ(ValueOf("-0"), "0");
  EXPECT_EQ(ValueOf("true"), "1");
  EXPECT_EQ(ValueOf("false"), "0");
  EXPECT_EQ(ValueOf("null"), "null");
  EXPECT_EQ(ValueOf("0.5"), "0.5");
  // Decimals that are whole stay decimals.
  const auto kind = [](const std::string& number) {
    const auto parsed = JsonMutation::Parse(
        "geo", absl::StrCat(R"({"mutations":[{"values":{"f":)", number, "}}]}"));
    return (*parsed)->request().mutations[0].values[0].second.kind();
  };
  EXPECT_EQ(kind("1.0"), ValueKind::kDecimal);
  EXPECT_EQ(kind("1e3"), ValueKind::kDecimal);
  EXPECT_EQ(kind("1"), ValueKind::kInteger);
  // Larger than integers are, and exactly a decimal.
  EXPECT_EQ(kind("9223372036854775808"), ValueKind::kDecimal);
  EXPECT_EQ(kind("100000000000000000000"), ValueKind::kDecimal);
}

TEST(JsonMutationTest, RefusesNumbersThatNoFieldHolds) {
  for (const char* number : {"9223372036854775809", "18446744073709551617", "1e-400", "0.0001e-330",
                             "100000000000000000001"}) {
    EXPECT_EQ(ValueOf(number), "mutations[0].values.f: no field can hold the number exactly")
        << number;
  }
  EXPECT_EQ(ValueOf("1e400"), "body: is not JSON at byte 46: number overflow");
  EXPECT_EQ(ValueOf("0e-999"), ValueOf("0.0"));
}

TEST(JsonMutationTest, ErrorsNameThePlace) {
  const std::vector<std::pair<std::string, std::string>> bodies = {
      {"[]", "body"},
      {R"({"cookies": ""})", "cookies"},
      {R"({"cookie": 1})", "cookie"},
      {R"({"check_cookie": "?"})", "check_cookie"},
      {R"({"mutations": {}})", "mutations"},
      {R"({"mutations": [{}, 1]})", "mutations[1]"},
      {R"({"mutations": [{"table": 1}]})", "mutations[0].table"},
      {R"({"mutations": [{"delete": "true"}]})", "mutations[0].delete"},
      {R"({"mutations": [{"delete": 1}]})", "mutations[0].delete"},
      {R"({"mutations": [{"values": []}]})", "mutations[0].values"},
      {R"({"mutations": [{"value": {}}]})", "mutations[0].value"},
      {R"({"mutations": [{"values": {"f": [1]}}]})", "mutations[0].values.f"},
      {R"({"mutations": [{"values": {"f": {}}}]})", "mutations[0].values.f"},
      {R"({"mutations": [{"values": {"f": 1, "f": 1}}]})", "body"},
  };
  for (const auto& [body, field] : bodies) {
    const auto parsed = JsonMutation::Parse("geo", body);
    EXPECT_TRUE(absl::IsInvalidArgument(parsed.status())) << body;
    EXPECT_EQ(ErrorField(parsed.status()), field) << parsed.status();
  }
}

// Random requests come out as they went in; views stay valid.
TEST(JsonMutationTest, RandomRequestsComeOutAsTheyWentIn) {
  std::mt19937 random(99);
  for (int round = 0; round < 300; ++round) {
    std::string body = "{\"mutations\":[";
    std::vector<std::map<std::string, std::string>> expected;
    const size_t count = 1 + random() % 20;
    for (size_t i = 0; i < count; ++i) {
      absl::StrAppend(&body, i == 0 ? "" : ",", "{\"table\":\"t", i, "\",\"values\":{");
      std::map<std::string, std::string>& values = expected.emplace_back();
      const size_t fields = random() % 10;
      for (size_t j = 0; j < fields; ++j) {
        const std::string name = absl::StrCat("f", j);
        absl::StrAppend(&body, j == 0 ? "" : ",", "\"", name, "\":");
        if (random() % 2 == 0) {
          const int64_t number = static_cast<int64_t>((uint64_t{random()} << 32) | random());
          absl::StrAppend(&body, number);
          values[name] = absl::StrCat(number);
        } else {
          std::string text;
          for (size_t k = random() % 30; k > 0; --k) {
            const char c = static_cast<char>('a' + random() % 26);
            text.push_back(c);
          }
          absl::StrAppend(&body, "\"\\u00e9", text, "\\n\"");
          values[name] = DebugString(ValueView(absl::StrCat("\xc3\xa9", text, "\n")));
        }
      }
      body += "}}";
    }
    body += "]}";
    const auto parsed = JsonMutation::Parse("family", body);
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    body.assign(body.size(), '!');
    const MutateRequest request = (*parsed)->request();
    ASSERT_EQ(request.mutations.size(), count);
    for (size_t i = 0; i < count; ++i) {
      EXPECT_EQ(request.mutations[i].table, absl::StrCat("t", i));
      std::map<std::string, std::string> values;
      for (const auto& [name, value] : request.mutations[i].values) {
        values[std::string(name)] = DebugString(value);
      }
      EXPECT_EQ(values, expected[i]);
    }
  }
}

// Base64 becomes bytes where the field's type is known.
TEST(JsonMutationTest, ThePlanDecodesBytes) {
  const auto schema = std::make_shared<const TableSchema>(*TableSchema::Create(
      "geo", "flags",
      {{"id", FieldType::kBytestring}, {"image", FieldType::kBinary}, {"note", FieldType::kText}},
      {"id"}));
  const auto plan_of = [&schema](const MutateRequest& request) {
    return MutationPlan::Create(
        request, [&schema](const TableName&) -> absl::StatusOr<std::shared_ptr<const TableSchema>> {
          return schema;
        });
  };
  const auto parsed = JsonMutation::Parse("geo", R"({"mutations": [
      {"table": "flags", "values": {"id": "AQ==", "image": "/////w==", "note": "AQ=="}},
      {"table": "flags", "delete": true, "values": {"id": ""}}]})");
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  absl::StatusOr<MutationPlan> plan = plan_of((*parsed)->request());
  ASSERT_TRUE(plan.ok()) << plan.status();
  const MutationPlan moved = *std::move(plan);
  EXPECT_EQ(
      moved.statements()[0],
      "REPLACE INTO geo___flags (\"id\",\"image\",\"note\") VALUES(x'01',x'ffffffff','AQ==')");
  EXPECT_EQ(moved.statements()[1], "DELETE FROM geo___flags WHERE \"id\" = x''");

  const auto wrong =
      JsonMutation::Parse("geo", R"({"mutations": [{"table": "flags", "values": {"id": "AQ"}}]})");
  const absl::Status status = plan_of((*wrong)->request()).status();
  EXPECT_EQ(ErrorField(status), std::string("mutations[0].values.id"));
  EXPECT_EQ(ErrorReason(status), std::string(reason::kInvalidValue));

  // Elsewhere text is no bytes.
  MutateRequest plain = (*parsed)->request();
  plain.bytes_are_base64 = false;
  EXPECT_FALSE(plan_of(plain).ok());
}

TEST(JsonMutationTest, SurvivesAnything) {
  std::mt19937 random(815);
  const std::string valid =
      R"({"cookie":"AP8=","mutations":[{"table":"t","delete":true,"values":{"a":1,"b":"x\u00e9"}}]})";
  int parsed = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string body = valid;
    for (size_t i = 1 + random() % 3; i > 0; --i) {
      const size_t at = random() % body.size();
      switch (random() % 3) {
        case 0:
          body[at] = static_cast<char>(random());
          break;
        case 1:
          body.erase(at, random() % 4);
          break;
        default:
          body.insert(at, valid.substr(random() % valid.size(), random() % 10));
      }
      if (body.empty()) body = "{";
    }
    const auto result = JsonMutation::Parse("geo", body);
    if (result.ok()) {
      ++parsed;
    } else {
      EXPECT_TRUE(absl::IsInvalidArgument(result.status())) << result.status();
    }
  }
  EXPECT_GT(parsed, 100);
}

}  // namespace
}  // namespace ctlstore::executive
