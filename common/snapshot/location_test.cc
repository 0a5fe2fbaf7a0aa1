#include "common/snapshot/location.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace ctlstore::snapshot {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using Form = Location::Form;

TEST(LocationTest, IsAFolderUnlessItsNameSaysOtherwise) {
  for (const char* url : {"file:///backup/ctlstore", "s3://bucket", "s3://bucket/a/b",
                          "https://host:8443/snapshots", "file:///backup/x.zst"}) {
    const auto location = ParseLocation(url);
    ASSERT_TRUE(location.ok()) << location.status();
    EXPECT_EQ(location->form, Form::kFolder) << url;
    EXPECT_EQ(location->store.ToString(), url);
    EXPECT_EQ(location->key, "");
    EXPECT_EQ(location->ToString(), url);
  }
}

TEST(LocationTest, IsASingleObjectByItsName) {
  struct Case {
    const char* url;
    const char* store;
    const char* key;
    Compression compression;
  };
  for (const Case& c :
       {Case{"file:///backup/ldb.db", "file:///backup", "ldb.db", Compression::kNone},
        Case{"file:///ldb.sqlite", "file:///", "ldb.sqlite", Compression::kNone},
        Case{"s3://bucket/snapshot.db.gz", "s3://bucket", "snapshot.db.gz", Compression::kGzip},
        Case{"s3://bucket/a/b/snapshot.gz", "s3://bucket/a/b", "snapshot.gz", Compression::kGzip},
        Case{"http://host/ldb.db", "http://host", "ldb.db", Compression::kNone}}) {
    const auto location = ParseLocation(c.url);
    ASSERT_TRUE(location.ok()) << location.status();
    EXPECT_EQ(location->form, Form::kSingleObject) << c.url;
    EXPECT_EQ(location->store.ToString(), c.store);
    EXPECT_EQ(location->key, c.key);
    EXPECT_EQ(location->compression, c.compression) << c.url;
    EXPECT_EQ(location->ToString(), c.url);
  }
}

TEST(LocationTest, TheFormCanBeSaid) {
  auto location = ParseLocation("s3://bucket/snapshots.db?form=folder");
  ASSERT_TRUE(location.ok()) << location.status();
  EXPECT_EQ(location->form, Form::kFolder);
  EXPECT_EQ(location->store.path, "snapshots.db");
  EXPECT_EQ(location->ToString(), "s3://bucket/snapshots.db?form=folder");
  location = ParseLocation("s3://bucket/a/newest.zst?form=object");
  ASSERT_TRUE(location.ok()) << location.status();
  EXPECT_EQ(location->form, Form::kSingleObject);
  EXPECT_EQ(location->key, "newest.zst");
  EXPECT_EQ(location->compression, Compression::kZstd);
  EXPECT_EQ(location->ToString(), "s3://bucket/a/newest.zst?form=object");
  // A slash at the end says it too.
  location = ParseLocation("file:///snapshots.db/");
  ASSERT_TRUE(location.ok()) << location.status();
  EXPECT_EQ(location->form, Form::kFolder);
  EXPECT_EQ(location->ToString(), "file:///snapshots.db?form=folder");
  // What is not needed is left out.
  EXPECT_EQ(ParseLocation("file:///a.db?form=object")->ToString(), "file:///a.db");
  EXPECT_EQ(ParseLocation("s3://bucket?form=folder")->ToString(), "s3://bucket");
}

TEST(LocationTest, SaysWhatIsWrong) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "must be \"file:///"},
      {"s3://bucket?form=object", "a path that names it"},
      {"file:///?form=object", "a path that names it"},
      {"s3://bucket/a?form=tree", "\"form=object\""},
      {"s3://bucket/a?form=object&x=1", "\"form=object\""},
      {"s3://bucket/a?form=folder?form=object", "\"form=object\""},
      {"s3://bucket/../ldb.db", "\"..\""},
  };
  for (const auto& [url, expected] : cases) {
    const absl::Status status = ParseLocation(url).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << url;
    EXPECT_THAT(std::string(status.message()), HasSubstr(expected)) << url;
  }
}

TEST(LocationTest, SecretsAreNotRepeated) {
  for (const char* url : {"https://host/ldb.db?token=hunter2", "s3://key:hunter2@bucket/ldb.db"}) {
    const absl::Status status = ParseLocation(url).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << url;
    EXPECT_THAT(std::string(status.message()), Not(HasSubstr("hunter2")));
  }
}

TEST(LocationTest, ThereCanBeSeveralOrNone) {
  const auto locations = ParseLocations("file:///a, s3://bucket/ldb.gz ,,http://host/b%2Cc,");
  ASSERT_TRUE(locations.ok()) << locations.status();
  ASSERT_EQ(locations->size(), 3u);
  EXPECT_EQ((*locations)[0].ToString(), "file:///a");
  EXPECT_EQ((*locations)[1].ToString(), "s3://bucket/ldb.gz");
  EXPECT_EQ((*locations)[2].store.path, "b,c");
  for (const char* none : {"", " ", ","}) {
    const auto empty = ParseLocations(none);
    ASSERT_TRUE(empty.ok()) << empty.status();
    EXPECT_TRUE(empty->empty());
  }
  const absl::Status status = ParseLocations("file:///a,ftp://b").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("URL 2 of 2: "));
}

TEST(LocationTest, WhatIsTakenReadsBackAsItself) {
  std::mt19937 random(20260303);
  const std::vector<std::string> pieces = {
      "file://", "s3://",        "http://",      "https://", "/",    "a",
      "bucket",  "host",         ".db",          ".gz",      ".zst", ".sqlite",
      "%3F",     "%2C",          "%25",          "?form=",   "?",    "form=",
      "object",  "?form=object", "?form=folder", "//",       "..",   "b"};
  int taken = 0;
  for (int round = 0; round < 200000; ++round) {
    std::string text = pieces[random() % 4];
    const size_t count = random() % 8;
    for (size_t i = 0; i < count; ++i) text += pieces[random() % pieces.size()];
    if (random() % 8 == 0) text[random() % text.size()] = random();
    const auto location = ParseLocation(text);
    if (!location.ok()) {
      ASSERT_EQ(location.status().code(), absl::StatusCode::kInvalidArgument);
      continue;
    }
    ++taken;
    const auto again = ParseLocations(location->ToString());
    ASSERT_TRUE(again.ok()) << text << " became " << location->ToString();
    ASSERT_EQ(again->size(), 1u) << text << " became " << location->ToString();
    ASSERT_TRUE((*again)[0].store == location->store) << text;
    ASSERT_EQ((*again)[0].form, location->form) << text;
    ASSERT_EQ((*again)[0].key, location->key) << text;
    ASSERT_EQ((*again)[0].compression, location->compression) << text;
    ASSERT_EQ(location->key.empty(), location->form == Form::kFolder) << text;
  }
  EXPECT_GT(taken, 1000);
}

}  // namespace
}  // namespace ctlstore::snapshot
