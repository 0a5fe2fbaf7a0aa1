#include "sidecar/json_key.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/schema/errors.h"

namespace ctlstore::sidecar {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<Value> Key(absl::string_view body) {
  const auto key = ParseJsonKey(body);
  EXPECT_TRUE(key.ok()) << body << ": " << key.status();
  return key.value_or(std::vector<Value>());
}

// The field that the error names, and its reason.
std::string Error(absl::string_view body) {
  const auto key = ParseJsonKey(body);
  EXPECT_TRUE(absl::IsInvalidArgument(key.status())) << body << ": " << key.status();
  return absl::StrCat(ErrorField(key.status()).value_or("none"), " ",
                      ErrorReason(key.status()).value_or("none"));
}

TEST(JsonKeyTest, TakesValuesOfEachKind) {
  EXPECT_THAT(Key(R"({"Key":[{"Value":"a\u00e9\n"},{"Value":7},{"Binary":"AP8="}]})"),
              ElementsAre(Value::Text("a\xc3\xa9\n"), Value::Integer(7),
                          Value::Bytes(std::string("\0\xff", 2))));
  EXPECT_THAT(Key(R"({"Key":[{"Value":1.5},{"Value":""},{"Binary":""}]})"),
              ElementsAre(Value::Decimal(1.5), Value::Text(""), Value::Bytes("")));
}

TEST(JsonKeyTest, IntegersAreExact) {
  for (const int64_t integer : {int64_t{9007199254740993}, std::numeric_limits<int64_t>::max(),
                                std::numeric_limits<int64_t>::min(), int64_t{0}}) {
    EXPECT_THAT(Key(absl::StrCat(R"({"Key":[{"Value":)", integer, "}]}")),
                ElementsAre(Value::Integer(integer)));
  }
}

TEST(JsonKeyTest, GoClientsSendBothMembersAndOneIsNull) {
  EXPECT_THAT(Key(R"({"Key":[{"Value":null,"Binary":"YQ=="},{"Value":"b","Binary":null}]})"),
              ElementsAre(Value::Bytes("a"), Value::Text("b")));
}

TEST(JsonKeyTest, NoKeyIsNoValues) {
  EXPECT_THAT(Key("{}"), IsEmpty());
  EXPECT_THAT(Key(R"({"Key":null})"), IsEmpty());
  EXPECT_THAT(Key(R"({"Key":[]})"), IsEmpty());
}

TEST(JsonKeyTest, ErrorsNameTheField) {
  EXPECT_EQ(Error(""), "body INVALID_REQUEST");
  EXPECT_EQ(Error("{"), "body INVALID_REQUEST");
  EXPECT_EQ(Error("[]"), "body INVALID_REQUEST");
  EXPECT_EQ(Error("null"), "body INVALID_REQUEST");
  EXPECT_EQ(Error(R"({"Key":[]}{})"), "body INVALID_REQUEST");
  EXPECT_EQ(Error(R"({"Keys":[]})"), "Keys UNKNOWN_FIELD");
  EXPECT_EQ(Error(R"({"Key":"NZ"})"), "Key INVALID_REQUEST");
  EXPECT_EQ(Error(R"({"Key":["NZ"]})"), "Key[0] INVALID_REQUEST");
  EXPECT_EQ(Error(R"({"Key":[{"Value":1},{}]})"), "Key[1] INVALID_KEY");
  EXPECT_EQ(Error(R"({"Key":[{"Value":null}]})"), "Key[0] INVALID_KEY");
  EXPECT_EQ(Error(R"({"Key":[{"Value":"a","Binary":"YQ=="}]})"), "Key[0] INVALID_KEY");
  EXPECT_EQ(Error(R"({"Key":[{"Val":"a"}]})"), "Key[0].Val UNKNOWN_FIELD");
  for (const char* value : {"true", "[1]", "{}", "9223372036854775809"}) {
    EXPECT_EQ(Error(absl::StrCat(R"({"Key":[{"Value":)", value, "}]}")),
              "Key[0].Value INVALID_KEY");
  }
  for (const char* binary : {"1", "\"YQ\"", "\"YR==\"", "\"Y Q==\"", "\"_-8=\""}) {
    EXPECT_EQ(Error(absl::StrCat(R"({"Key":[{"Binary":)", binary, "}]}")),
              "Key[0].Binary INVALID_REQUEST");
  }
  std::string many = R"({"Key":[{"Value":0})";
  for (int i = 1; i < 17; ++i) absl::StrAppend(&many, R"(,{"Value":1})");
  EXPECT_EQ(Error(many + "]}"), "Key INVALID_KEY");
}

TEST(JsonKeyTest, RandomKeysArriveAsTheyAre) {
  std::mt19937_64 random(17);
  for (int round = 0; round < 5000; ++round) {
    std::vector<Value> expected;
    json key = json::array();
    for (size_t size = random() % 6; size > 0; --size) {
      std::string text;
      for (size_t length = random() % 12; length > 0; --length) {
        absl::StrAppend(&text, random() % 4 == 0 ? "\xc3\xa9" : std::string(1, random() % 128));
      }
      switch (random() % 3) {
        case 0:
          expected.push_back(Value::Text(text));
          key.push_back({{"Value", text}});
          break;
        case 1: {
          const int64_t integer = static_cast<int64_t>(random()) >> (random() % 64);
          expected.push_back(Value::Integer(integer));
          key.push_back({{"Value", integer}});
          break;
        }
        default:
          for (char& c : text) c = static_cast<char>(random());
          expected.push_back(Value::Bytes(text));
          key.push_back({{"Binary", absl::Base64Escape(text)}});
      }
    }
    const json body = {{"Key", key}};
    ASSERT_EQ(Key(body.dump(random() % 2 == 0 ? -1 : 2, ' ', random() % 2 == 0)), expected) << body;
  }
}

TEST(JsonKeyTest, RandomBodiesAreTakenOrRefused) {
  std::mt19937_64 random(18);
  const std::string pieces[] = {"{",       "}",         "[",          "]",        ",",   ":",
                                "\"Key\"", "\"Value\"", "\"Binary\"", "\"YQ==\"", "1",   "-",
                                "null",    "\"",        "\\u00",      "\xff",     "1e5", " "};
  const std::string good = R"({"Key":[{"Value":"a"},{"Binary":"YQ=="},{"Value":12}]})";
  int taken = 0;
  for (int round = 0; round < 30000; ++round) {
    std::string body;
    if (random() % 2 == 0) {
      for (size_t i = random() % 20; i > 0; --i) body += pieces[random() % 18];
    } else {
      body = good;
      for (size_t i = random() % 3; i > 0; --i) {
        const size_t at = random() % body.size();
        body = random() % 2 == 0 ? body.erase(at, 1 + random() % 3)
                                 : body.insert(at, pieces[random() % 18]);
      }
    }
    const auto key = ParseJsonKey(body);
    if (key.ok()) {
      ++taken;
      EXPECT_TRUE(json::accept(body)) << body;
    } else {
      EXPECT_TRUE(absl::IsInvalidArgument(key.status())) << key.status();
      EXPECT_TRUE(ErrorField(key.status()).has_value()) << key.status();
    }
  }
  EXPECT_GT(taken, 1000);
}

}  // namespace
}  // namespace ctlstore::sidecar
