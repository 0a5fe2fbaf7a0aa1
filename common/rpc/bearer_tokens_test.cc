#include "common/rpc/bearer_tokens.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "absl/strings/str_cat.h"

namespace ctlstore::rpc {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

const std::string kA(16, 'a');
const std::string kB(16, 'b');

TEST(BearerTokensTest, TakesOneALineAndSkipsCommentsAndBlanks) {
  const auto tokens = ParseTokens(absl::StrCat("# ours\n\n  ", kA, " \r\n#", kA, "\n", kB));
  ASSERT_TRUE(tokens.ok()) << tokens.status();
  EXPECT_THAT(*tokens, ElementsAre(kA, kB));
}

TEST(BearerTokensTest, NamesTheLineAndNeverTheToken) {
  struct Case {
    std::string token;
    std::string words;
  };
  for (const Case& c :
       {Case{"hunter2hunter22", "15 characters"}, Case{std::string(4097, 'h'), "4097 characters"},
        Case{"hunter2hunter2 hunter2", "blank"}, Case{"hunter2hunter2\xc3\xa4xx", "ASCII"}}) {
    const auto tokens = ParseTokens(absl::StrCat(kA, "\n", c.token, "\n"));
    ASSERT_EQ(tokens.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(tokens.status().message()),
                AllOf(HasSubstr("line 2"), HasSubstr(c.words), Not(HasSubstr("hunter")),
                      Not(HasSubstr("hhh"))));
  }
}

TEST(BearerTokensTest, AFileWithoutATokenIsWrong) {
  for (const char* text : {"", "\n\n", "# only a comment\n"}) {
    EXPECT_FALSE(ParseTokens(text).ok()) << text;
  }
}

TEST(BearerTokensTest, LimitsHoldAtTheirEdges) {
  EXPECT_TRUE(CheckToken(std::string(kMinTokenBytes, 'x')).ok());
  EXPECT_FALSE(CheckToken(std::string(kMinTokenBytes - 1, 'x')).ok());
  EXPECT_TRUE(CheckToken(std::string(kMaxTokenBytes, 'x')).ok());
  EXPECT_FALSE(CheckToken(std::string(kMaxTokenBytes + 1, 'x')).ok());
  std::string text;
  for (size_t i = 0; i < kMaxTokensPerFile; ++i) absl::StrAppend(&text, kA, i, "\n");
  EXPECT_TRUE(ParseTokens(text).ok());
  absl::StrAppend(&text, kB, "\n");
  EXPECT_FALSE(ParseTokens(text).ok());
}

TEST(BearerTokensTest, WhateverIsInAFileOnlyGoodTokensComeOut) {
  std::mt19937 random(20240229);
  for (int round = 0; round < 20000; ++round) {
    std::string text;
    const size_t size = random() % 60;
    for (size_t i = 0; i < size; ++i) {
      constexpr char kLikely[] = "ab#\n \t\r";
      text.push_back(random() % 4 == 0 ? static_cast<char>(random() % 256)
                                       : kLikely[random() % (sizeof(kLikely) - 1)]);
      if (random() % 16 == 0) text += kA;
    }
    const auto tokens = ParseTokens(text);
    if (!tokens.ok()) continue;
    ASSERT_FALSE(tokens->empty());
    for (const std::string& token : *tokens) {
      EXPECT_TRUE(CheckToken(token).ok());
      EXPECT_NE(token.front(), '#');
      EXPECT_NE(text.find(token), std::string::npos);
    }
  }
}

}  // namespace
}  // namespace ctlstore::rpc
