#include "common/rpc/json_reader.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/schema/errors.h"

namespace ctlstore::rpc {
namespace {

// What `text` is, or its error's message.
std::string Read(absl::string_view text) {
  const absl::StatusOr<JsonNode> node = ParseJson(text);
  if (!node.ok()) {
    EXPECT_TRUE(absl::IsInvalidArgument(node.status())) << node.status();
    EXPECT_EQ(ErrorField(node.status()), std::string("body")) << node.status();
    EXPECT_EQ(ErrorReason(node.status()), std::string(reason::kInvalidRequest)) << node.status();
    return std::string(node.status().message());
  }
  return absl::StrCat(JsonKindName(node->kind), " ", node->text);
}

TEST(JsonReaderTest, NumbersKeepAllTheirDigits) {
  for (const char* number :
       {"0", "-1", "9223372036854775807", "-9223372036854775808", "9223372036854775808",
        "18446744073709551616", "1.50", "1e3", "-0.0", "123456789012345678901234567890"}) {
    EXPECT_EQ(Read(number), absl::StrCat("a number ", number));
  }
}

TEST(JsonReaderTest, BuildsTheTree) {
  const absl::StatusOr<JsonNode> node =
      ParseJson(R"( {"a": [1, {"b": null}, [true]], "c\u00e9": "\ud83d\ude00\n"} )");
  ASSERT_TRUE(node.ok()) << node.status();
  ASSERT_EQ(node->children.size(), 2u);
  const JsonNode& a = node->children[0];
  EXPECT_EQ(a.name, "a");
  ASSERT_EQ(a.children.size(), 3u);
  EXPECT_EQ(a.children[0].text, "1");
  EXPECT_EQ(a.children[0].name, "");
  EXPECT_EQ(a.children[1].children[0].name, "b");
  EXPECT_EQ(a.children[1].children[0].kind, JsonNode::Kind::kNull);
  EXPECT_EQ(a.children[2].children[0].text, "true");
  EXPECT_EQ(node->children[1].name, "c\xc3\xa9");
  EXPECT_EQ(node->children[1].text, "\xf0\x9f\x98\x80\n");
}

TEST(JsonReaderTest, ErrorsNameThePlaceAndNotTheContent) {
  EXPECT_EQ(Read(""), "body: is empty; it has to be JSON");
  for (const char* text :
       {"{", "[1,]", "{\"a\" 1}", "nul", "\"unended", "1 2", "{'a':1}", "[01]", "\"\xff\"",
        "\"\\ud800\"", "\"\x01\"", "// comment\n1", "NaN", "+1", ".5", "{\"a\":1}}", "\xef\xbb"}) {
    EXPECT_TRUE(absl::StartsWith(Read(text), "body: is not JSON at byte ")) << Read(text);
  }
  EXPECT_FALSE(absl::StrContains(Read("{\"secret\": \"hush\", x}"), "hush"));
}

TEST(JsonReaderTest, RefusesMembersThatAreThereTwice) {
  EXPECT_EQ(Read(R"({"a": {"b": 1, "c": 2, "b": 3}})"), "body: an object has b twice");
  EXPECT_EQ(Read(R"({"a": 1, "\u0061": 1})"), "body: an object has a twice");
  EXPECT_EQ(Read(R"([{"a": 1}, {"a": 1}])"), "an array ");
}

TEST(JsonReaderTest, BoundsDepthAndNumberOfValues) {
  const auto nested = [](size_t depth) {
    return std::string(depth, '[') + std::string(depth, ']');
  };
  EXPECT_EQ(Read(nested(kJsonMaxDepth)), "an array ");
  EXPECT_EQ(Read(nested(kJsonMaxDepth + 1)), "body: is nested more than 16 deep");
  EXPECT_EQ(Read(std::string(1 << 20, '[')), "body: is nested more than 16 deep");
  const auto wide = [](size_t values) {
    std::string text = "[1";
    for (size_t i = 2; i < values; ++i) text += ",1";
    return text + "]";
  };
  EXPECT_EQ(Read(wide(kJsonMaxNodes)), "an array ");
  EXPECT_EQ(Read(wide(kJsonMaxNodes + 1)), "body: has more than 100000 values");
}

TEST(JsonReaderTest, ReadsKnownMembersInAnyCase) {
  JsonNode object;
  const JsonNode* one = nullptr;
  const JsonNode* two = nullptr;
  const auto read = [&](const std::string& text) {
    object = *ParseJson(text);
    return ReadMembers("m[0]", object, {{"one", &one}, {"keyTwo", &two}});
  };
  ASSERT_TRUE(read(R"({"KEYTWO": 2, "one": null})").ok());
  EXPECT_EQ(one, nullptr);
  ASSERT_NE(two, nullptr);
  EXPECT_EQ(two->text, "2");
  ASSERT_TRUE(read("{}").ok());
  EXPECT_EQ(two, nullptr);

  absl::Status status = read(R"({"three": 1})");
  EXPECT_EQ(status.message(), "m[0].three: is not known; there are one, keyTwo");
  EXPECT_EQ(ErrorReason(status), std::string(reason::kUnknownField));
  EXPECT_EQ(read(R"({"one": 1, "One": 1})").message(),
            "m[0].One: is there already, written with other capitals");
  EXPECT_EQ(read("[]").message(), "m[0]: has to be an object, not an array");
  status = read("{\"" + std::string(1000, 'x') + "\": 1}");
  EXPECT_LT(status.message().size(), 200u);
}

TEST(JsonReaderTest, ReadsIntegersExactlyOrNotAtAll) {
  const auto read = [](const std::string& text) { return ReadInteger("f", *ParseJson(text)); };
  EXPECT_EQ(*read("9223372036854775807"), INT64_MAX);
  EXPECT_EQ(*read("-9223372036854775808"), INT64_MIN);
  EXPECT_EQ(*read("-0"), 0);
  for (const char* text : {"9223372036854775808", "1.0", "1e2", "\"1\"", "true", "[1]"}) {
    EXPECT_EQ(ErrorField(read(text).status()), std::string("f")) << text;
  }
}

TEST(JsonReaderTest, ReadsBytes) {
  const auto read = [](const std::string& text) { return ReadBytes("f", *ParseJson(text)); };
  EXPECT_EQ(*read("\"AAEC\""), std::string("\0\1\2", 3));
  EXPECT_EQ(*read("\"\""), "");
  for (const char* text : {"\"AAE\"", "\"-_-_\"", "1", "null"}) {
    EXPECT_EQ(ErrorField(read(text).status()), std::string("f")) << text;
  }
}

TEST(JsonReaderTest, SurvivesAnything) {
  std::mt19937 random(4711);
  const std::vector<std::string> pieces = {"{",
                                           "}",
                                           "[",
                                           "]",
                                           ",",
                                           ":",
                                           "\"",
                                           "\"a\"",
                                           "\\u",
                                           "\\ud83d",
                                           "1",
                                           "-",
                                           "e9",
                                           ".",
                                           "true",
                                           "null",
                                           "\xff",
                                           "\\",
                                           " ",
                                           "\"b\":",
                                           "1e999",
                                           "\xc3\xa9",
                                           "99999999999999999999"};
  int valid = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string text;
    for (size_t i = random() % 12; i > 0; --i) {
      if (random() % 8 == 0) {
        text.push_back(static_cast<char>(random()));
      } else {
        text += pieces[random() % pieces.size()];
      }
    }
    const absl::StatusOr<JsonNode> node = ParseJson(text);
    if (node.ok()) {
      ++valid;
    } else {
      EXPECT_EQ(ErrorField(node.status()), std::string("body")) << text;
    }
  }
  EXPECT_GT(valid, 50);
}

}  // namespace
}  // namespace ctlstore::rpc
