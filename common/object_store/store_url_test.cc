#include "common/object_store/store_url.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <random>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"

namespace ctlstore::object_store {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using Kind = StoreUrl::Kind;

TEST(StoreUrlTest, TakesFolders) {
  const auto url = ParseStoreUrl("file:///var//backup/ctlstore/");
  ASSERT_TRUE(url.ok()) << url.status();
  EXPECT_EQ(url->kind, Kind::kFile);
  EXPECT_EQ(url->authority, "");
  EXPECT_EQ(url->path, "/var/backup/ctlstore");
  EXPECT_EQ(url->ToString(), "file:///var/backup/ctlstore");
}

TEST(StoreUrlTest, TakesTheRootFolder) {
  const auto url = ParseStoreUrl("file:///");
  ASSERT_TRUE(url.ok()) << url.status();
  EXPECT_EQ(url->path, "/");
  EXPECT_EQ(url->ToString(), "file:///");
}

TEST(StoreUrlTest, TakesBucketsWithAndWithoutAPrefix) {
  auto url = ParseStoreUrl("s3://my-bucket.eu/a/b//");
  ASSERT_TRUE(url.ok()) << url.status();
  EXPECT_EQ(url->kind, Kind::kS3);
  EXPECT_EQ(url->authority, "my-bucket.eu");
  EXPECT_EQ(url->path, "a/b");
  EXPECT_EQ(url->ToString(), "s3://my-bucket.eu/a/b");
  for (const char* text : {"s3://my-bucket", "s3://my-bucket/"}) {
    url = ParseStoreUrl(text);
    ASSERT_TRUE(url.ok()) << url.status();
    EXPECT_EQ(url->path, "");
    EXPECT_EQ(url->ToString(), "s3://my-bucket");
  }
}

TEST(StoreUrlTest, TakesWebServers) {
  auto url = ParseStoreUrl("HTTPS://backup.example:8443/ctlstore");
  ASSERT_TRUE(url.ok()) << url.status();
  EXPECT_EQ(url->kind, Kind::kHttp);
  EXPECT_EQ(url->authority, "https://backup.example:8443");
  EXPECT_EQ(url->path, "ctlstore");
  EXPECT_EQ(url->ToString(), "https://backup.example:8443/ctlstore");
  url = ParseStoreUrl("http://[::1]:80");
  ASSERT_TRUE(url.ok()) << url.status();
  EXPECT_EQ(url->authority, "http://[::1]:80");
  EXPECT_EQ(url->ToString(), "http://[::1]:80");
}

TEST(StoreUrlTest, PercentEncodingIsTakenOutAndPutBackWhereItIsNeeded) {
  const auto url = ParseStoreUrl("file:///a%20b/100%25/x%3fy%2Cz/gr\xc3\xb6sse");
  ASSERT_TRUE(url.ok()) << url.status();
  EXPECT_EQ(url->path, "/a b/100%/x?y,z/gr\xc3\xb6sse");
  EXPECT_EQ(url->ToString(), "file:///a b/100%25/x%3fy%2cz/gr\xc3\xb6sse");
}

TEST(StoreUrlTest, SaysWhatIsWrong) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "must be \"file:///"},
      {"/var/backup", "must be \"file:///"},
      {"ftp://host/a", "must be \"file:///"},
      {"file://var/backup", "three slashes"},
      {"file://", "three slashes"},
      {"file:///a/../b", "\"..\""},
      {"file:///a/%2e%2e/b", "\"..\""},
      {"s3://bucket/./b", "\"..\""},
      {"s3://bucket/a//b", "empty"},
      {"s3://bucket/a%2fb", "'/'"},
      {"file:///100%/b", "%25"},
      {"file:///a%0ab", "control characters"},
      {"file:///a%00b", "control characters"},
      {"file:///a\xff", "UTF-8"},
      {"s3://", "bucket"},
      {"s3://ab/x", "bucket"},
      {"s3://-bucket/x", "bucket"},
      {"s3://buck et/x", "bucket"},
      {"http://", "host"},
      {"http:///path", "host"},
      {"http://host:/path", "port"},
      {"http://host:65536/path", "port"},
      {"http://host:+80/path", "port"},
      {"http://[::1/path", "host"},
      {"http://[::1]x/path", "host"},
      {"http://host/path?versionId=3", "%3F"},
      {"http://host/path#top", "%23"},
      {"file:///" + std::string(5000, 'a'), "4096"},
  };
  for (const auto& [text, expected] : cases) {
    const absl::Status status = ParseStoreUrl(text).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(std::string(status.message()), HasSubstr(expected)) << text;
  }
}

TEST(StoreUrlTest, CredentialsAreRefusedAndNotRepeated) {
  for (const char* text :
       {"https://user:hunter2@host/path", "s3://AKIA:hunter2@bucket/path", "http://hunter2@host",
        "https://host/path?X-Amz-Signature=hunter2", "ftp://user:hunter2@host/"}) {
    const absl::Status status = ParseStoreUrl(text).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(std::string(status.message()), Not(HasSubstr("hunter2"))) << text;
  }
}

TEST(StoreUrlTest, WhatIsTakenReadsBackAsItselfAndStaysBelowItsPlace) {
  std::mt19937 random(20260301);
  const std::vector<std::string> pieces = {
      "file://", "s3://", "http://", "https://", "/",      "//",   ".",    "..",    "%",   "%2e",
      "%2F",     "%25",   "%00",     "a",        "bucket", "host", ":80",  "[::1]", "?",   "#",
      "@",       ",",     " ",       "\xc3\xb6", "\xff",   "\n",   "b.db", "=",     "%3F", "x/y"};
  int taken = 0;
  for (int round = 0; round < 200000; ++round) {
    std::string text = pieces[random() % 4];
    const size_t count = random() % 8;
    for (size_t i = 0; i < count; ++i) text += pieces[random() % pieces.size()];
    if (random() % 8 == 0 && !text.empty()) text[random() % text.size()] = random();
    const auto url = ParseStoreUrl(text);
    if (!url.ok()) {
      ASSERT_EQ(url.status().code(), absl::StatusCode::kInvalidArgument);
      continue;
    }
    ++taken;
    const auto again = ParseStoreUrl(url->ToString());
    ASSERT_TRUE(again.ok()) << text << " became " << url->ToString() << ": " << again.status();
    ASSERT_TRUE(*again == *url) << text;
    ASSERT_FALSE(absl::StrContains(url->path + "/", "/../")) << text;
    ASSERT_FALSE(absl::StrContains(url->path, "//")) << text;
    ASSERT_TRUE(url->path == "/" || !absl::EndsWith(url->path, "/")) << text;
  }
  EXPECT_GT(taken, 1000);
}

}  // namespace
}  // namespace ctlstore::object_store
