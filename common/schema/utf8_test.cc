#include "common/schema/utf8.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>

namespace ctlstore {
namespace {

// A code point in UTF-8, straight from the definition's table.
std::string Encode(uint32_t code) {
  std::string text;
  if (code < 0x80) {
    text += static_cast<char>(code);
  } else if (code < 0x800) {
    text += static_cast<char>(0xC0 | code >> 6);
    text += static_cast<char>(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    text += static_cast<char>(0xE0 | code >> 12);
    text += static_cast<char>(0x80 | (code >> 6 & 0x3F));
    text += static_cast<char>(0x80 | (code & 0x3F));
  } else {
    text += static_cast<char>(0xF0 | code >> 18);
    text += static_cast<char>(0x80 | (code >> 12 & 0x3F));
    text += static_cast<char>(0x80 | (code >> 6 & 0x3F));
    text += static_cast<char>(0x80 | (code & 0x3F));
  }
  return text;
}

TEST(Utf8Test, EveryCodePointCountsAsOneAndSurrogatesAsNone) {
  for (uint32_t code = 0; code < 0x200000; ++code) {
    const bool valid = code <= 0x10FFFF && !(code >= 0xD800 && code <= 0xDFFF);
    ASSERT_EQ(CountUtf8Characters(Encode(code)), valid ? absl::optional<size_t>(1) : absl::nullopt)
        << code;
  }
}

TEST(Utf8Test, CountsCharactersNotBytes) {
  EXPECT_EQ(CountUtf8Characters(""), 0u);
  EXPECT_EQ(CountUtf8Characters("aé漢😀"), 4u);
  EXPECT_EQ(CountUtf8Characters("e\xCC\x81"), 2u);
  EXPECT_EQ(CountUtf8Characters(absl::string_view("a\0b", 3)), 3u);
}

TEST(Utf8Test, BrokenTextIsRefused) {
  for (absl::string_view text :
       {"\x80", "\xBF", "\xC0\x80", "\xC1\xBF", "\xC3", "\xC3(", "\xE0\x80\x80", "\xE0\x9F\xBF",
        "\xE2\x82", "\xE2(\xA1", "\xED\xA0\x80", "\xF0\x80\x80\x80", "\xF0\x8F\xBF\xBF",
        "\xF0\x9F\x98", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFE", "\xFF", "ok\xE2\x82"}) {
    EXPECT_EQ(CountUtf8Characters(text), absl::nullopt);
    EXPECT_FALSE(IsTextWithoutNul(text));
  }
}

TEST(Utf8Test, NulIsUtf8ButNoText) {
  EXPECT_TRUE(IsTextWithoutNul("é"));
  EXPECT_FALSE(IsTextWithoutNul(absl::string_view("a\0", 2)));
}

}  // namespace
}  // namespace ctlstore
