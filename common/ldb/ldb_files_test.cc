#include "common/ldb/ldb_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/ldb/ldb_test_util.h"
#include "common/ldb/reader.h"

namespace ctlstore::ldb {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::UnorderedElementsAre;

class SetClock : public Clock {
 public:
  absl::Time Now() override { return now; }
  bool SleepOrStop(absl::Duration, absl::Notification*) override { return true; }
  absl::Time now = absl::FromUnixMillis(1700000000123);
};

// A database in WAL mode that says `text`, part of it in the WAL.
void Make(const std::string& path, const std::string& text) {
  std::unique_ptr<sqlite::Database> database = OpenPlain(path, /*read_only=*/false);
  ASSERT_TRUE(database->Execute("PRAGMA journal_mode=WAL; CREATE TABLE t (a)").ok());
  ASSERT_TRUE(database->Execute(absl::StrCat("INSERT INTO t VALUES('", text, "')")).ok());
}

std::string Read(const std::string& path) {
  const Rows rows = QueryFile(path, "SELECT a FROM t");
  return rows.size() == 1 ? std::string(rows[0][0].data()) : absl::StrCat(rows.size(), " rows");
}

std::string Bytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

class LdbFilesTest : public testing::Test {
 protected:
  LdbFilesTest() : path_(folder_.Path("ldb.db")), files_(path_, &clock_) {}

  // A new generation that says `text`, in place.
  std::string Replace(const std::string& text) {
    absl::StatusOr<std::string> file = files_.NewGeneration();
    EXPECT_TRUE(file.ok()) << file.status();
    Make(*file, text);
    const absl::Status status = files_.Publish(*file);
    EXPECT_TRUE(status.ok()) << status;
    return *file;
  }

  // Names in a folder of the test's.
  std::vector<std::string> Names(const std::string& folder) {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder_.Path(folder))) {
      names.push_back(entry.path().filename().string());
    }
    return names;
  }

  TestFolder folder_;
  const std::string path_;
  SetClock clock_;
  LdbFiles files_;
};

TEST_F(LdbFilesTest, APlainFileOrNoneIsItsOwnPath) {
  EXPECT_EQ(files_.current(), path_);
  Make(path_, "plain");
  EXPECT_EQ(files_.current(), path_);
}

TEST_F(LdbFilesTest, ANewGenerationIsSeenOnceItIsPublished) {
  Make(path_, "old");
  absl::StatusOr<std::string> file = files_.NewGeneration();
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(*file, path_ + ".d/1700000000123/ldb.db");
  Make(*file, "new");
  EXPECT_EQ(Read(path_), "old");
  EXPECT_EQ(files_.current(), path_);
  ASSERT_TRUE(files_.Publish(*file).ok());
  EXPECT_EQ(Read(path_), "new");
  EXPECT_EQ(files_.current(), *file);
  EXPECT_EQ(Replace("newer"), path_ + ".d/1700000000124/ldb.db");
  EXPECT_EQ(Read(path_), "newer");
}

TEST_F(LdbFilesTest, ThePathsFolderNeedNotBeThere) {
  LdbFiles files(folder_.Path("a/b/ldb.db"), &clock_);
  absl::StatusOr<std::string> file = files.NewGeneration();
  ASSERT_TRUE(file.ok()) << file.status();
  Make(*file, "first");
  ASSERT_TRUE(files.Publish(*file).ok());
  EXPECT_EQ(Read(folder_.Path("a/b/ldb.db")), "first");
}

TEST_F(LdbFilesTest, WhoHasTheOldOneOpenKeepsIt) {
  Make(path_, "plain");
  std::unique_ptr<sqlite::Database> plain = OpenPlain(path_);
  ASSERT_EQ(Query(plain.get(), "SELECT a FROM t").size(), 1u);
  Replace("one");
  std::unique_ptr<sqlite::Database> one = OpenPlain(path_);
  ASSERT_EQ(Query(one.get(), "SELECT a FROM t").size(), 1u);
  Replace("two");
  ASSERT_TRUE(files_.RemoveOld(absl::ZeroDuration()).ok());
  EXPECT_EQ(Query(plain.get(), "SELECT a FROM t"), (Rows{{Value::Text("plain")}}));
  EXPECT_EQ(Query(one.get(), "SELECT a FROM t"), (Rows{{Value::Text("one")}}));
  EXPECT_EQ(Read(path_), "two");
}

TEST_F(LdbFilesTest, ReadersOfOtherProgramsFindTheWalBehindTheLink) {
  const std::string file = Replace("in the WAL");
  ASSERT_GT(fs::file_size(file + "-wal"), 0u);
  for (int flags : {SQLITE_OPEN_READONLY, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI}) {
    sqlite3* handle = nullptr;
    const std::string name =
        (flags & SQLITE_OPEN_URI) != 0 ? absl::StrCat("file:", path_, "?mode=ro") : path_;
    ASSERT_EQ(sqlite3_open_v2(name.c_str(), &handle, flags, nullptr), SQLITE_OK);
    std::string seen;
    EXPECT_EQ(sqlite3_exec(
                  handle, "SELECT a FROM t",
                  [](void* text, int, char** values, char**) {
                    *static_cast<std::string*>(text) = values[0];
                    return 0;
                  },
                  &seen, nullptr),
              SQLITE_OK);
    EXPECT_EQ(seen, "in the WAL");
    sqlite3_close(handle);
  }
  EXPECT_FALSE(fs::exists(path_ + "-wal"));
  EXPECT_FALSE(fs::exists(path_ + "-shm"));
}

TEST_F(LdbFilesTest, TheLinkIsRightWhereTheFolderIsSeenElsewhere) {
  Replace("here");
  EXPECT_TRUE(fs::read_symlink(path_).is_relative());
  fs::create_directory_symlink(folder_.Path(""), folder_.Path("elsewhere"));
  EXPECT_EQ(Read(folder_.Path("elsewhere/ldb.db")), "here");
}

TEST_F(LdbFilesTest, ARelativePathIsTaken) {
  const fs::path before = fs::current_path();
  fs::current_path(folder_.Path(""));
  LdbFiles files("own.db", &clock_);
  absl::StatusOr<std::string> file = files.NewGeneration();
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(*file, "own.db.d/1700000000123/ldb.db");
  Make(*file, "own");
  EXPECT_TRUE(files.Publish(*file).ok());
  EXPECT_EQ(Read("own.db"), "own");
  EXPECT_EQ(files.current(), *file);
  fs::current_path(before);
}

TEST_F(LdbFilesTest, ALinkThatSomebodyElseMadeIsFollowed) {
  fs::create_directory(folder_.Path("disk"));
  Make(folder_.Path("disk/real.db"), "real");
  fs::create_symlink("disk/real.db", path_);
  EXPECT_EQ(files_.current(), fs::canonical(folder_.Path("disk/real.db")).string());
  ASSERT_TRUE(files_.RemoveOld(absl::ZeroDuration()).ok());
  EXPECT_EQ(Read(path_), "real");
  Replace("new");
  ASSERT_TRUE(files_.RemoveOld(absl::ZeroDuration()).ok());
  EXPECT_EQ(Read(path_), "new");
  EXPECT_EQ(Read(folder_.Path("disk/real.db")), "real");
}

TEST_F(LdbFilesTest, NumbersGoUpWhateverTheClockSays) {
  const std::string first = Replace("first");
  clock_.now = absl::UnixEpoch() - absl::Hours(1);
  const std::string second = Replace("second");
  clock_.now = absl::InfinitePast();
  const std::string third = Replace("third");
  EXPECT_LT(first, second);
  EXPECT_LT(second, third);
  ASSERT_TRUE(files_.RemoveOld(absl::ZeroDuration()).ok());
  EXPECT_EQ(Read(path_), "third");
  EXPECT_EQ(Names("ldb.db.d").size(), 1u);
  clock_.now = absl::InfiniteFuture();
  EXPECT_EQ(files_.NewGeneration().status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Read(path_), "third");
}

TEST_F(LdbFilesTest, OldOnesStayForAsLongAsAsked) {
  Make(path_, "plain");
  std::ofstream(path_ + ".freshness") << "page";
  Replace("one");
  clock_.now += absl::Seconds(29);
  ASSERT_TRUE(files_.RemoveOld(absl::Seconds(30)).ok());
  EXPECT_THAT(Names(""), UnorderedElementsAre("ldb.db", "ldb.db.d", "ldb.db-wal", "ldb.db-shm",
                                              "ldb.db.freshness"));
  clock_.now += absl::Seconds(1);
  ASSERT_TRUE(files_.RemoveOld(absl::Seconds(30)).ok());
  EXPECT_THAT(Names(""), UnorderedElementsAre("ldb.db", "ldb.db.d"));
  Replace("two");
  clock_.now += absl::Seconds(29);
  ASSERT_TRUE(files_.RemoveOld(absl::Seconds(30)).ok());
  EXPECT_EQ(Names("ldb.db.d").size(), 2u);
  clock_.now += absl::Seconds(1);
  ASSERT_TRUE(files_.RemoveOld(absl::Seconds(30)).ok());
  EXPECT_EQ(Names("ldb.db.d").size(), 1u);
  EXPECT_EQ(Read(path_), "two");
}

TEST_F(LdbFilesTest, TheAgeIsKnownAfterARestart) {
  Replace("one");
  Replace("two");
  clock_.now += absl::Seconds(30);
  LdbFiles files(path_, &clock_);
  ASSERT_TRUE(files.RemoveOld(absl::Seconds(31)).ok());
  EXPECT_EQ(Names("ldb.db.d").size(), 2u);
  ASSERT_TRUE(files.RemoveOld(absl::Seconds(30)).ok());
  EXPECT_EQ(Names("ldb.db.d").size(), 1u);
  EXPECT_EQ(Read(path_), "two");
}

TEST_F(LdbFilesTest, AClockSetBackOnlyDelaysTheRemoval) {
  Replace("one");
  Replace("two");
  clock_.now -= absl::Hours(24);
  ASSERT_TRUE(files_.RemoveOld(absl::Seconds(30)).ok());
  EXPECT_EQ(Names("ldb.db.d").size(), 2u);
  clock_.now += absl::Seconds(30);
  ASSERT_TRUE(files_.RemoveOld(absl::Seconds(30)).ok());
  EXPECT_EQ(Names("ldb.db.d").size(), 1u);
  EXPECT_EQ(Read(path_), "two");
}

TEST_F(LdbFilesTest, WhatWasNeverPublishedIsRemoved) {
  Make(path_, "plain");
  Make(*files_.NewGeneration(), "unfinished");
  Replace("one");
  EXPECT_EQ(Names("ldb.db.d").size(), 1u);
  Make(*files_.NewGeneration(), "unfinished");
  fs::create_symlink("x", path_ + ".next");
  // One that is being built is left alone by the process that builds it,
  ASSERT_TRUE(files_.RemoveOld(absl::ZeroDuration()).ok());
  EXPECT_EQ(Names("ldb.db.d").size(), 2u);
  // and not by the next process.
  LdbFiles next(path_, &clock_);
  ASSERT_TRUE(next.RemoveOld(absl::Hours(1)).ok());
  EXPECT_EQ(Names("ldb.db.d").size(), 1u);
  EXPECT_FALSE(fs::is_symlink(path_ + ".next"));
  EXPECT_EQ(Read(path_), "one");
}

TEST_F(LdbFilesTest, RemovesOnlyWhatIsItsOwn) {
  Replace("one");
  for (const char* name : {"notes", "170000000012x", "1700000000", "17000000001234"}) {
    fs::create_directory(path_ + ".d/" + name);
  }
  std::ofstream(path_ + ".lock") << "1";
  std::ofstream(folder_.Path("ldb.db2-wal")) << "1";
  ASSERT_TRUE(files_.RemoveOld(absl::ZeroDuration()).ok());
  EXPECT_EQ(Names("ldb.db.d").size(), 5u);
  EXPECT_THAT(Names(""), UnorderedElementsAre("ldb.db", "ldb.db.d", "ldb.db.lock", "ldb.db2-wal"));
}

TEST_F(LdbFilesTest, BesideAPlainFileNothingIsRemoved) {
  Make(path_, "plain");
  std::ofstream(path_ + ".freshness") << "page";
  ASSERT_TRUE(files_.RemoveOld(absl::ZeroDuration()).ok());
  EXPECT_EQ(Read(path_), "plain");
  EXPECT_THAT(Names(""),
              UnorderedElementsAre("ldb.db", "ldb.db-wal", "ldb.db-shm", "ldb.db.freshness"));
}

TEST_F(LdbFilesTest, WherePathLeadsNowhereNothingIsRemovedUntilANewOneIsBuilt) {
  Replace("one");
  fs::remove(path_);
  ASSERT_TRUE(files_.RemoveOld(absl::ZeroDuration()).ok());
  EXPECT_EQ(Names("ldb.db.d").size(), 1u);
  Replace("two");
  EXPECT_EQ(Names("ldb.db.d").size(), 1u);
  EXPECT_EQ(Read(path_), "two");
  // A link whose file is gone is replaced like any other.
  fs::remove_all(path_ + ".d");
  EXPECT_EQ(files_.current(), path_ + ".d/1700000000123/ldb.db");
  ASSERT_TRUE(files_.RemoveOld(absl::ZeroDuration()).ok());
  EXPECT_EQ(Replace("three"), path_ + ".d/1700000000124/ldb.db");
  EXPECT_EQ(Read(path_), "three");
}

TEST_F(LdbFilesTest, OnlyItsOwnGenerationsArePublished) {
  Make(path_, "plain");
  Make(folder_.Path("other.db"), "other");
  fs::create_directory(folder_.Path("1700000000123"));
  Make(folder_.Path("1700000000123/ldb.db"), "other");
  for (const std::string& path :
       {std::string(), path_, folder_.Path("other.db"), folder_.Path("1700000000123/ldb.db"),
        path_ + ".d/ldb.db", path_ + ".d/x/ldb.db"}) {
    EXPECT_EQ(files_.Publish(path).code(), absl::StatusCode::kInvalidArgument) << path;
  }
  EXPECT_EQ(Read(path_), "plain");
}

TEST_F(LdbFilesTest, WhatIsNoDatabaseIsNotPublished) {
  Make(path_, "plain");
  const std::string file = *files_.NewGeneration();
  EXPECT_EQ(files_.Publish(file).code(), absl::StatusCode::kUnavailable);
  std::ofstream(file) << std::string(5000, 'x');
  EXPECT_EQ(files_.Publish(file).code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(Read(path_), "plain");
}

TEST_F(LdbFilesTest, PublishingKeepsTheLocksOfThisProcessesConnections) {
  const std::string file = *files_.NewGeneration();
  Make(file, "one");
  std::unique_ptr<sqlite::Database> writer = OpenPlain(file, /*read_only=*/false);
  ASSERT_TRUE(writer->Execute("BEGIN IMMEDIATE; INSERT INTO t VALUES(1)").ok());
  const auto locks = [] {
    // Our lines, without their numbers, which change as others come and go.
    std::ifstream proc("/proc/locks");
    std::vector<std::string> lines;
    const std::string own = absl::StrCat(" ", getpid(), " ");
    for (std::string line; std::getline(proc, line);) {
      if (absl::StrContains(line, own)) lines.push_back(line.substr(line.find(':')));
    }
    return lines;
  };
  const std::vector<std::string> before = locks();
  ASSERT_TRUE(files_.Publish(file).ok());
  EXPECT_THAT(locks(), testing::UnorderedElementsAreArray(before));
  EXPECT_FALSE(before.empty());
}

TEST_F(LdbFilesTest, WhereAFolderIsInTheWayItSaysSo) {
  fs::create_directory(path_);
  const std::string file = *files_.NewGeneration();
  Make(file, "one");
  const absl::Status status = files_.Publish(file);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr(path_));
  std::ofstream(folder_.Path("file")) << "x";
  EXPECT_EQ(LdbFiles(folder_.Path("file/ldb.db"), &clock_).NewGeneration().status().code(),
            absl::StatusCode::kUnavailable);
}

TEST_F(LdbFilesTest, ADamagedOneIsKeptUntilTheNext) {
  Make(path_, "first");
  std::string bytes = Bytes(path_), wal = Bytes(path_ + "-wal");
  ASSERT_FALSE(wal.empty());
  ASSERT_TRUE(files_.KeepDamaged().ok());
  // Again, as after a crash.
  ASSERT_TRUE(files_.KeepDamaged().ok());
  EXPECT_EQ(Read(path_), "first");
  Replace("second");
  ASSERT_TRUE(files_.RemoveOld(absl::ZeroDuration()).ok());
  EXPECT_EQ(Bytes(path_ + ".damaged"), bytes);
  EXPECT_EQ(Bytes(path_ + ".damaged-wal"), wal);
  EXPECT_EQ(Read(path_ + ".damaged"), "first");

  bytes = Bytes(files_.current());
  fs::remove(files_.current() + "-wal");
  ASSERT_TRUE(files_.KeepDamaged().ok());
  EXPECT_EQ(Bytes(path_ + ".damaged"), bytes);
  EXPECT_FALSE(fs::exists(path_ + ".damaged-wal"));
  EXPECT_FALSE(fs::exists(path_ + ".damaged-shm"));
}

TEST_F(LdbFilesTest, WhatCannotBeLinkedIsCopied) {
  struct stat here, there;
  if (stat("/dev/shm", &there) != 0 || stat(folder_.Path("").c_str(), &here) != 0 ||
      there.st_dev == here.st_dev || access("/dev/shm", W_OK) != 0) {
    GTEST_SKIP() << "needs a second file system at /dev/shm";
  }
  std::string other = "/dev/shm/ldb-XXXXXX";
  ASSERT_NE(mkdtemp(other.data()), nullptr);
  Make(other + "/real.db", "real");
  fs::create_symlink(other + "/real.db", path_);
  const std::string wal = Bytes(other + "/real.db-wal");
  EXPECT_TRUE(files_.KeepDamaged().ok());
  fs::remove_all(other);
  EXPECT_FALSE(wal.empty());
  EXPECT_EQ(Bytes(path_ + ".damaged-wal"), wal);
  EXPECT_EQ(Read(path_ + ".damaged"), "real");
}

TEST_F(LdbFilesTest, WithoutAFileThereIsNothingToKeep) {
  ASSERT_TRUE(files_.KeepDamaged().ok());
  EXPECT_TRUE(Names("").empty());
}

TEST_F(LdbFilesTest, OurReaderReadsThroughTheLink) {
  const std::string file = *files_.NewGeneration();
  TestLedger ledger;
  ledger.Add("CREATE TABLE fam___tbl (\"a\" INTEGER, PRIMARY KEY(\"a\"));");
  ledger.Add("REPLACE INTO fam___tbl (\"a\") VALUES(1)");
  ASSERT_TRUE(OpenWriter(file)->Apply(ledger.Take()).ok());
  ASSERT_TRUE(files_.Publish(file).ok());
  Reader reader(path_);
  EXPECT_EQ(reader.GetPosition()->applied_sequence, 2);
  EXPECT_TRUE(reader.GetRow("fam", "tbl", {1})->exists());
}

}  // namespace
}  // namespace ctlstore::ldb
