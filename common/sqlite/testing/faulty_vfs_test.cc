#include "common/sqlite/testing/faulty_vfs.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <memory>

#include "common/sqlite/database.h"

namespace ctlstore::sqlite {
namespace {

using Fault = FaultyVfs::Fault;

class FaultyVfsTest : public testing::Test {
 protected:
  FaultyVfsTest() : folder_(testing::TempDir() + "/vfs-XXXXXX") {
    if (mkdtemp(folder_.data()) == nullptr) std::abort();
    path_ = folder_ + "/test.db";
  }
  ~FaultyVfsTest() override { std::filesystem::remove_all(folder_); }

  std::unique_ptr<Database> Open() {
    absl::StatusOr<std::unique_ptr<Database>> database =
        Database::Open(path_, Database::Mode::kReadWrite, absl::ZeroDuration());
    EXPECT_TRUE(database.ok()) << database.status();
    EXPECT_TRUE((*database)
                    ->Execute("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; "
                              "CREATE TABLE IF NOT EXISTS t (a)")
                    .ok());
    return *std::move(database);
  }

  int64_t Count(Database* database) {
    std::unique_ptr<Statement> statement = *database->Prepare("SELECT count(*) FROM t");
    EXPECT_TRUE(*statement->Step());
    return statement->Column(0).integer();
  }

  std::string folder_;
  std::string path_;
};

TEST_F(FaultyVfsTest, UnarmedItIsLikeTheOneBeneath) {
  FaultyVfs vfs("faulty");
  vfs.MakeDefault();
  std::unique_ptr<Database> database = Open();
  ASSERT_TRUE(database->Execute("INSERT INTO t VALUES(1),(2)").ok());
  bool reset = false;
  ASSERT_TRUE(database->Checkpoint(&reset).ok());
  EXPECT_TRUE(reset);
  EXPECT_EQ(Count(database.get()), 2);
  for (VfsCall call : {VfsCall::kOpen, VfsCall::kAccess, VfsCall::kRead, VfsCall::kWrite,
                       VfsCall::kTruncate, VfsCall::kSync, VfsCall::kFileSize, VfsCall::kShmMap}) {
    EXPECT_GT(vfs.calls(call), 0) << static_cast<int>(call);
  }
  EXPECT_EQ(vfs.Disarm(), 0);
}

TEST_F(FaultyVfsTest, OnlyConnectionsMadeWhileItIsTheDefaultUseIt) {
  std::unique_ptr<Database> before = Open();
  FaultyVfs vfs("faulty");
  std::unique_ptr<Database> unnamed = Open();
  EXPECT_EQ(vfs.calls(), 0);
  sqlite3* named = nullptr;
  ASSERT_EQ(sqlite3_open_v2(path_.c_str(), &named, SQLITE_OPEN_READONLY, "faulty"), SQLITE_OK);
  sqlite3_close(named);
  const int64_t calls = vfs.calls();
  EXPECT_GT(calls, 0);
  EXPECT_EQ(Count(before.get()), 0);
  EXPECT_EQ(vfs.calls(), calls);
  {
    FaultyVfs other("other");
    other.MakeDefault();
    Open();
    EXPECT_GT(other.calls(), 0);
  }
  Open();
  EXPECT_EQ(vfs.calls(), calls);
}

TEST_F(FaultyVfsTest, TheNthCallFailsOnceOrFromThenOn) {
  FaultyVfs vfs("faulty", {"-wal"});
  vfs.MakeDefault();
  std::unique_ptr<Database> database = Open();
  const auto insert = [&] { return database->Execute("INSERT INTO t VALUES(1)"); };
  ASSERT_TRUE(insert().ok());
  vfs.Arm(Fault::kFailedSync, 2);
  EXPECT_TRUE(insert().ok());
  EXPECT_FALSE(insert().ok());
  EXPECT_TRUE(insert().ok());
  EXPECT_EQ(vfs.Disarm(), 1);
  vfs.Arm(Fault::kFailedSync, 2, /*once=*/false);
  EXPECT_TRUE(insert().ok());
  EXPECT_FALSE(insert().ok());
  EXPECT_FALSE(insert().ok());
  EXPECT_EQ(vfs.Disarm(), 2);
  EXPECT_TRUE(insert().ok());
  EXPECT_EQ(vfs.Disarm(), 2);
}

TEST_F(FaultyVfsTest, FaultsAreSeenAsSqliteSeesThemOnADisk) {
  FaultyVfs vfs("faulty");
  vfs.MakeDefault();
  std::unique_ptr<Database> database = Open();
  const auto insert = [&](Fault fault) {
    vfs.Arm(fault, 1);
    absl::Status status = database->Execute("INSERT INTO t VALUES(zeroblob(3000))");
    EXPECT_EQ(vfs.Disarm(), 1);
    return status;
  };
  EXPECT_EQ(insert(Fault::kFull).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(sqlite3_extended_errcode(database->handle()), SQLITE_FULL);
  EXPECT_EQ(insert(Fault::kShortWrite).code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(sqlite3_extended_errcode(database->handle()), SQLITE_IOERR_WRITE);
  EXPECT_EQ(insert(Fault::kFailedSync).code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(sqlite3_extended_errcode(database->handle()), SQLITE_IOERR_FSYNC);
  EXPECT_EQ(Count(database.get()), 0);
  EXPECT_TRUE(database->Execute("INSERT INTO t VALUES(1)").ok());
}

TEST_F(FaultyVfsTest, AShortWriteWritesHalf) {
  FaultyVfs vfs("faulty", {"-wal"});
  vfs.MakeDefault();
  std::unique_ptr<Database> database = Open();
  bool reset = false;
  ASSERT_TRUE(database->Checkpoint(&reset).ok());
  ASSERT_TRUE(reset);
  // The WAL's header, a frame's, and then the page.
  vfs.Arm(Fault::kShortWrite, 3);
  EXPECT_FALSE(database->Execute("INSERT INTO t VALUES(1)").ok());
  EXPECT_EQ(std::filesystem::file_size(path_ + "-wal"), 32u + 24u + 4096u / 2);
}

TEST_F(FaultyVfsTest, FilesThatDoNotEndAsToldAreLeftAlone) {
  FaultyVfs vfs("faulty", {"-journal", "other.db"});
  vfs.MakeDefault();
  vfs.Arm(Fault::kIoError, 1, /*once=*/false);
  Database::Open(folder_ + "/other.db", Database::Mode::kReadWrite, absl::ZeroDuration())
      .status()
      .IgnoreError();
  EXPECT_GT(vfs.calls(), 0);
  vfs.Disarm();
  std::unique_ptr<Database> database = Open();
  const int64_t calls = vfs.calls();
  vfs.Arm(Fault::kIoError, 1, /*once=*/false);
  EXPECT_TRUE(database->Execute("INSERT INTO t VALUES(1)").ok());
  EXPECT_EQ(vfs.calls(), calls);
}

TEST_F(FaultyVfsTest, AFailureOfAnyOneCallLosesNothingThatWasCommitted) {
  FaultyVfs vfs("faulty");
  vfs.MakeDefault();
  int64_t committed = 0;
  int64_t failures = 0;
  for (int64_t n = 1;; ++n) {
    ASSERT_LT(n, 1000);
    vfs.Arm(Fault::kIoError, n);
    absl::StatusOr<std::unique_ptr<Database>> database =
        Database::Open(path_, Database::Mode::kReadWrite, absl::ZeroDuration());
    bool reset = false;
    const bool ok = database.ok() &&
                    (*database)
                        ->Execute(
                            "PRAGMA journal_mode=WAL; CREATE TABLE IF NOT EXISTS t (a); "
                            "INSERT INTO t VALUES(1)")
                        .ok() &&
                    (*database)->Checkpoint(&reset).ok();
    if (database.ok()) *database = nullptr;
    const bool failed = vfs.Disarm() != 0;
    if (ok) ++committed;
    if (!ok) ++failures;
    if (!failed) {
      EXPECT_TRUE(ok);
      break;
    }
    std::unique_ptr<Database> plain = Open();
    const int64_t count = Count(plain.get());
    // Whether a transaction that failed is there or not is not known.
    EXPECT_GE(count, committed) << n;
    EXPECT_LE(count, committed + 1) << n;
    committed = count;
    // Each round begins with an empty WAL, so that all make the same calls.
    bool emptied = false;
    ASSERT_TRUE(plain->Checkpoint(&emptied).ok());
    ASSERT_TRUE(emptied);
  }
  EXPECT_GT(failures, 10);
}

}  // namespace
}  // namespace ctlstore::sqlite
