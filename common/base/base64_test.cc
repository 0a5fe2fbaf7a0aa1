#include "common/base/base64.h"

#include <gtest/gtest.h>

#include <random>

#include "absl/strings/escaping.h"

namespace ctlstore {
namespace {

TEST(Base64Test, GivesBackWhatWasEncoded) {
  EXPECT_EQ(DecodeBase64(""), "");
  EXPECT_EQ(DecodeBase64("AA=="), std::string(1, '\0'));
  EXPECT_EQ(DecodeBase64("+/+/"), "\xfb\xff\xbf");
  std::mt19937 random(1);
  for (int i = 0; i < 1000; ++i) {
    std::string bytes(random() % 50, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random());
    EXPECT_EQ(DecodeBase64(absl::Base64Escape(bytes)), bytes);
  }
}

TEST(Base64Test, RefusesOtherForms) {
  for (const char* text : {"A", "AA", "AAA", "AA=", "AB==", "AAB=", "-_-_", "AA==\n",
                           " AA==", "AA ==", "====", "AA==AA==", "caf\xc3\xa9"}) {
    EXPECT_EQ(DecodeBase64(text), absl::nullopt) << text;
  }
}

}  // namespace
}  // namespace ctlstore
