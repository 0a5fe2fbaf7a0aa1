#include "reflector/upstream_target.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace ctlstore::reflector {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

std::vector<std::string> MustParse(absl::string_view urls) {
  absl::StatusOr<std::vector<UpstreamTarget>> targets = ParseUpstreamTargets(urls);
  EXPECT_TRUE(targets.ok()) << targets.status();
  std::vector<std::string> texts;
  if (!targets.ok()) return texts;
  for (const UpstreamTarget& target : *targets) texts.push_back(target.ToString());
  return texts;
}

TEST(UpstreamTargetTest, ReadsEachKind) {
  absl::StatusOr<UpstreamTarget> target = ParseUpstreamTarget("grpc://executive-1.example:3000");
  ASSERT_TRUE(target.ok()) << target.status();
  EXPECT_TRUE(target->is_stream());
  EXPECT_EQ(target->stream_address, "executive-1.example:3000");
  target = ParseUpstreamTarget("grpc://[::1]:3000");
  ASSERT_TRUE(target.ok()) << target.status();
  EXPECT_EQ(target->stream_address, "[::1]:3000");
  target = ParseUpstreamTarget("grpc:unix:/run/x@y.sock");
  ASSERT_TRUE(target.ok()) << target.status();
  EXPECT_EQ(target->stream_address, "unix:/run/x@y.sock");
  target = ParseUpstreamTarget("mysql://me@db/ctldb");
  ASSERT_TRUE(target.ok()) << target.status();
  EXPECT_FALSE(target->is_stream());
  EXPECT_EQ(target->ctldb.host, "db");
  target = ParseUpstreamTarget("sqlite:///var/ctldb.db");
  ASSERT_TRUE(target.ok()) << target.status();
  EXPECT_FALSE(target->is_stream());
  EXPECT_EQ(target->ctldb.path, "/var/ctldb.db");
}

TEST(UpstreamTargetTest, KeepsTheOrder) {
  EXPECT_THAT(MustParse(""), IsEmpty());
  EXPECT_THAT(MustParse(" "), IsEmpty());
  EXPECT_THAT(MustParse("grpc://a:1, grpc:unix:/b ,mysql://u@c/d,sqlite:///e"),
              ElementsAre("grpc://a:1", "grpc:unix:/b", "mysql://u@c:3306/d", "sqlite:///e"));
}

TEST(UpstreamTargetTest, RefusesWhatIsNone) {
  for (const char* url : {"",
                          "grpc",
                          "grpc:",
                          "grpc:a:1",
                          "grpc://",
                          "grpc://a",
                          "grpc://a:",
                          "grpc://a:0",
                          "grpc://a:65536",
                          "grpc://a:x",
                          "grpc://:1",
                          "grpc://::1:1",
                          "grpc://a/b:1",
                          "grpc://a:1/b",
                          "grpc:unix:b",
                          "grpc:unix:",
                          "grpc://unix:/b",
                          "http://a:1",
                          "a:1",
                          "grpc://a b:1"}) {
    EXPECT_EQ(ParseUpstreamTarget(url).status().code(), absl::StatusCode::kInvalidArgument) << url;
  }
}

TEST(UpstreamTargetTest, SaysWhichOneIsWrong) {
  EXPECT_THAT(std::string(ParseUpstreamTargets("grpc://a:1,grpc://b").status().message()),
              HasSubstr("upstream 2: "));
  EXPECT_THAT(std::string(ParseUpstreamTargets("grpc://a:1,").status().message()),
              HasSubstr("upstream 2: "));
  EXPECT_THAT(
      std::string(ParseUpstreamTargets("grpc://a:1,grpc://b:1,grpc://a:1").status().message()),
      HasSubstr("upstream 3: is there twice"));
}

TEST(UpstreamTargetTest, NeverRepeatsASecret) {
  for (const char* urls : {"grpc://me:secret@a:1", "grpc://me:secret,more@a:1", "grpc:me:secret",
                           "mysql://me:secret@a/b", "grpc://secret:x"}) {
    absl::StatusOr<std::vector<UpstreamTarget>> targets = ParseUpstreamTargets(urls);
    EXPECT_EQ(targets.status().code(), absl::StatusCode::kInvalidArgument) << urls;
    EXPECT_THAT(std::string(targets.status().message()), Not(HasSubstr("secret"))) << urls;
  }
}

TEST(UpstreamTargetTest, WhatItTakesIsTakenAgainAsItIsWritten) {
  const std::vector<std::string> parts = {
      "grpc:",   "//",      "unix:", "/",      "a",     ":",    "1",        "@",
      ",",       "[",       "]",     "mysql:", "?",     "%41",  " ",        "\n",
      "sqlite:", "socket=", "db",    ".",      "65535", "\xFF", "localhost"};
  std::mt19937_64 random(1);
  int taken = 0;
  for (int round = 0; round < 200000; ++round) {
    std::string url;
    for (size_t count = random() % 8; count > 0; --count) {
      url += parts[random() % parts.size()];
    }
    absl::StatusOr<std::vector<UpstreamTarget>> targets = ParseUpstreamTargets(url);
    if (!targets.ok()) {
      ASSERT_EQ(targets.status().code(), absl::StatusCode::kInvalidArgument);
      continue;
    }
    if (targets->empty()) continue;
    ++taken;
    const std::vector<std::string> texts = MustParse(url);
    ASSERT_EQ(MustParse(absl::StrJoin(texts, ",")), texts) << url;
  }
  EXPECT_GT(taken, 100);
}

}  // namespace
}  // namespace ctlstore::reflector
