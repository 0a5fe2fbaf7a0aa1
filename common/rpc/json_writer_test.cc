#include "common/rpc/json_writer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>
#include <string>

#include "absl/strings/escaping.h"

namespace ctlstore::rpc {
namespace {

using nlohmann::json;

std::string Json(const ValueView& value) {
  std::string text;
  AppendJson(value, &text);
  return text;
}

TEST(JsonWriterTest, ValuesAreWrittenAsTheirKind) {
  EXPECT_EQ(Json(ValueView()), "null");
  EXPECT_EQ(Json(std::numeric_limits<int64_t>::min()), "-9223372036854775808");
  EXPECT_EQ(Json(int64_t{9007199254740993}), "9007199254740993");
  EXPECT_EQ(Json("a \"b\" \\ \n\r\t\x01\x1f/\x7f caf\xc3\xa9"),
            "\"a \\\"b\\\" \\\\ \\n\\r\\t\\u0001\\u001f/\x7f caf\xc3\xa9\"");
  EXPECT_EQ(Json(absl::string_view("a\0b", 3)), "\"a\\u0000b\"");
  EXPECT_EQ(Json(ValueView::Bytes(absl::string_view("\0\xff\xfe>", 4))), "\"AP/+Pg==\"");
  EXPECT_EQ(Json(ValueView::Bytes("")), "\"\"");
}

TEST(JsonWriterTest, DecimalsLookLikeDecimals) {
  EXPECT_EQ(Json(1.0), "1.0");
  EXPECT_EQ(Json(-0.0), "-0.0");
  EXPECT_EQ(Json(0.1), "0.1");
  EXPECT_EQ(Json(1e300), "1e+300");
  EXPECT_EQ(Json(std::numeric_limits<double>::infinity()), "null");
  EXPECT_EQ(Json(std::nan("")), "null");
}

TEST(JsonWriterTest, DecimalsAreReadAsTheSame) {
  std::mt19937_64 random(5);
  for (int i = 0; i < 20000; ++i) {
    const uint64_t bits = random();
    double decimal = 0;
    std::memcpy(&decimal, &bits, sizeof(decimal));
    if (!std::isfinite(decimal)) continue;
    const json read = json::parse(Json(decimal));
    ASSERT_TRUE(read.is_number_float()) << Json(decimal);
    ASSERT_EQ(read.get<double>(), decimal) << Json(decimal);
  }
}

TEST(JsonWriterTest, WhatIsNoUtf8IsReplaced) {
  EXPECT_EQ(Json("a\xff\xc3z\xe2\x82"), "\"a\xef\xbf\xbd\xef\xbf\xbdz\xef\xbf\xbd\xef\xbf\xbd\"");
}

TEST(JsonWriterTest, RandomTextsAreReadAsTheSame) {
  std::mt19937_64 random(6);
  const std::string pieces[] = {"\"",
                                "\\",
                                "\n",
                                "x",
                                "\x01",
                                "\xc3\xa9",
                                "\xf0\x9f\x98\x80",
                                "\xe2\x80\xa8",
                                std::string(1, '\0')};
  for (int i = 0; i < 5000; ++i) {
    std::string text;
    for (size_t size = random() % 20; size > 0; --size) text += pieces[random() % 9];
    ASSERT_EQ(json::parse(Json(text)).get<std::string>(), text);
    // Random bytes are JSON at least.
    for (char& c : text) c = static_cast<char>(random());
    ASSERT_TRUE(json::accept(Json(text))) << absl::CHexEscape(text);
    std::string bytes;
    ASSERT_TRUE(
        absl::Base64Unescape(json::parse(Json(ValueView::Bytes(text))).get<std::string>(), &bytes));
    ASSERT_EQ(bytes, text);
  }
}

}  // namespace
}  // namespace ctlstore::rpc
