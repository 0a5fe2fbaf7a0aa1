#include "common/ctldb/target.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace ctlstore::ctldb {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(TargetTest, ReadsSqlitePaths) {
  absl::StatusOr<Target> absolute = ParseTarget("sqlite:///var/lib/ctlstore/ctldb.db");
  ASSERT_TRUE(absolute.ok()) << absolute.status();
  EXPECT_EQ(absolute->kind, Target::Kind::kSqlite);
  EXPECT_EQ(absolute->path, "/var/lib/ctlstore/ctldb.db");

  absl::StatusOr<Target> relative = ParseTarget("sqlite:data/ctldb.db");
  ASSERT_TRUE(relative.ok()) << relative.status();
  EXPECT_EQ(relative->path, "data/ctldb.db");

  // A path is a file name, with nothing decoded in it.
  absl::StatusOr<Target> odd = ParseTarget("sqlite:///tmp/a%20b?c.db");
  ASSERT_TRUE(odd.ok()) << odd.status();
  EXPECT_EQ(odd->path, "/tmp/a%20b?c.db");
}

TEST(TargetTest, ReadsMysqlUrls) {
  absl::StatusOr<Target> target = ParseTarget("mysql://ctl@db.example:3307/control");
  ASSERT_TRUE(target.ok()) << target.status();
  EXPECT_EQ(target->kind, Target::Kind::kMariadb);
  EXPECT_EQ(target->user, "ctl");
  EXPECT_EQ(target->host, "db.example");
  EXPECT_EQ(target->port, 3307);
  EXPECT_EQ(target->database, "control");
  EXPECT_EQ(target->socket, "");

  target = ParseTarget("mysql://ctl@db/control");
  ASSERT_TRUE(target.ok()) << target.status();
  EXPECT_EQ(target->port, 3306);

  target = ParseTarget("mysql://ctl@[::1]:3308/control");
  ASSERT_TRUE(target.ok()) << target.status();
  EXPECT_EQ(target->host, "::1");
  EXPECT_EQ(target->port, 3308);

  target = ParseTarget("mysql://ctl@/control?socket=/run/mysqld/mysqld.sock");
  ASSERT_TRUE(target.ok()) << target.status();
  EXPECT_EQ(target->socket, "/run/mysqld/mysqld.sock");

  target = ParseTarget("mysql://a%40b%3Ac@db/my%2Fbase");
  ASSERT_TRUE(target.ok()) << target.status();
  EXPECT_EQ(target->user, "a@b:c");
  EXPECT_EQ(target->database, "my/base");
}

TEST(TargetTest, PrintsWhatItReads) {
  for (const char* url : {
           "sqlite:///var/lib/ctlstore/ctldb.db",
           "sqlite:ctldb.db",
           "mysql://ctl@db.example:3307/control",
           "mysql://ctl@[::1]:3306/control",
           "mysql://a%40b@localhost/my%2520base?socket=/run/my%20sql.sock",
       }) {
    absl::StatusOr<Target> target = ParseTarget(url);
    ASSERT_TRUE(target.ok()) << url << ": " << target.status();
    EXPECT_EQ(target->ToString(), url);
  }
}

TEST(TargetTest, RefusesAPasswordWithoutRepeatingIt) {
  for (const char* url : {
           "mysql://ctl:hunter2@db:3306/control",
           "mysql://ctl:hunter2@db",
           "mysql://ctl:hunter2/x@db/control",
           "mysql://ctl:hunter2@x@db/control",
           "mysql://:hunter2@db/control",
           "mysql://ctl@db/control?password=hunter2",
           "mysql://ctl:hunter2",
           "mysql://db:hunter2/control",
           "postgres://ctl:hunter2@db/control",
           "ctl:hunter2@db/control",
           "sqlite://ctl:hunter2@db/control",
       }) {
    absl::StatusOr<Target> target = ParseTarget(url);
    EXPECT_EQ(target.status().code(), absl::StatusCode::kInvalidArgument) << url;
    EXPECT_THAT(std::string(target.status().message()), Not(HasSubstr("hunter2")));
  }
  EXPECT_THAT(std::string(ParseTarget("mysql://ctl:hunter2@db/control").status().message()),
              HasSubstr("must not hold a password"));
}

TEST(TargetTest, SaysWhatIsWrong) {
  const struct {
    const char* url;
    const char* what;
  } kCases[] = {
      {"", "is empty"},
      {"/var/lib/ctldb.db", "begins with neither"},
      {"sqlite:", "names no file"},
      {"sqlite:///", "names no file"},
      {"sqlite://data/ctldb.db", "sqlite:path"},
      {"mysql://db/control", "names no user"},
      {"mysql://ctl@db", "names no database"},
      {"mysql://ctl@db/", "names no database"},
      {"mysql://ctl@/control", "names no host"},
      {"mysql://ctl@db:0/control", "port"},
      {"mysql://ctl@db:65536/control", "port"},
      {"mysql://ctl@db:x/control", "port"},
      {"mysql://ctl@db:/control", "port"},
      {"mysql://ctl@[::1/control", "["},
      {"mysql://ctl@db/control?tls=1", "parameter"},
      {"mysql://ctl@db/control?socket=relative", "absolute path"},
      {"mysql://c%4@db/control", "%"},
      {"mysql://c%00@db/control", "%"},
  };
  for (const auto& c : kCases) {
    absl::StatusOr<Target> target = ParseTarget(c.url);
    EXPECT_EQ(target.status().code(), absl::StatusCode::kInvalidArgument) << c.url;
    EXPECT_THAT(std::string(target.status().message()), HasSubstr(c.what)) << c.url;
  }
}

}  // namespace
}  // namespace ctlstore::ctldb
