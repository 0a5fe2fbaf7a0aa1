#include "reflector/local_database.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/ldb/reader.h"
#include "common/schema/errors.h"

namespace ctlstore::reflector {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr absl::Duration kPatience = absl::Seconds(60);

// Notes what it is told.
class Listener : public ldb::ChangeListener {
 public:
  void Committing(absl::Span<const ldb::Change>) override {}
  void Committed(absl::Span<const ldb::Change> changes, int64_t applied_sequence) override {
    for (const ldb::Change& change : changes) {
      told.push_back(absl::StrCat(change.kind == ldb::Change::Kind::kEverything ? "everything "
                                  : change.kind == ldb::Change::Kind::kTable    ? "table "
                                                                                : "key ",
                                  change.sequence));
    }
    applied = applied_sequence;
  }
  void CommitFailed() override {}
  void Attach(int64_t sequence) { told.push_back(absl::StrCat("attached ", sequence)); }

  std::vector<std::string> told;
  int64_t applied = 0;
};

class LocalDatabaseTest : public ::testing::Test {
 protected:
  LocalDatabaseTest() {
    folder_ = absl::StrCat(::testing::TempDir(), "/local_database_XXXXXX");
    EXPECT_NE(mkdtemp(&folder_[0]), nullptr);
    options_.path = folder_ + "/ldb.db";
    options_.check = false;
    // What is applied is in the file itself.
    options_.writer.checkpoint_wal_bytes = 1;
    options_.listeners.push_back(
        {&listener_, [this](int64_t sequence) { listener_.Attach(sequence); }});
    // Two families, and `kRows` rows of each.
    Add("CREATE TABLE fam___tbl (\"a\" VARCHAR(191), \"b\" TEXT, PRIMARY KEY(\"a\"));");
    Add("CREATE TABLE other___tbl (\"a\" VARCHAR(191), \"b\" TEXT, PRIMARY KEY(\"a\"));");
    for (int i = 0; i < kRows; ++i) {
      for (const char* family : {"fam", "other"}) {
        Add(absl::StrCat("REPLACE INTO ", family, "___tbl (\"a\",\"b\") VALUES('key", i, "','",
                         std::string(500, 'v'), "')"));
      }
    }
  }
  ~LocalDatabaseTest() override {
    database_.reset();
    std::filesystem::remove_all(folder_);
  }

  void Add(const std::string& statement) {
    ledger_.push_back({static_cast<int64_t>(ledger_.size()) + 1, "2024-01-01 00:00:00", statement});
  }
  int64_t Last() const { return static_cast<int64_t>(ledger_.size()); }

  void Lock() {
    database_.reset();
    auto locked = LocalDatabase::Lock(options_);
    ASSERT_TRUE(locked.ok()) << locked.status();
    database_ = *std::move(locked);
  }

  // Opens it, and applies what comes after its position up to `last`.
  absl::Status Play(int64_t last, bool at_end) {
    absl::Status status = database_->Open();
    if (!status.ok()) return status;
    const int64_t from = database_->received_position().sequence;
    return database_->Apply(absl::MakeSpan(ledger_).subspan(from, last - from), at_end);
  }
  void PlayAll() {
    const absl::Status status = Play(Last(), /*at_end=*/true);
    ASSERT_TRUE(status.ok()) << status;
  }

  // The number of rows that readers see; -1 where they see none.
  int64_t Rows(const std::string& family) {
    ldb::Reader reader(options_.path);
    ldb::RowIterator rows = reader.ListRows(family, "tbl", {});
    int64_t count = 0;
    while (rows.Next()) ++count;
    return rows.status().ok() ? count : -1;
  }
  int64_t ReaderSequence() {
    const auto position = ldb::Reader(options_.path).GetPosition();
    return position.ok() ? position->applied_sequence : -1;
  }

  // Overwrites the pages of the file that hold rows.
  void DamageRows() {
    std::fstream file(options_.path, std::ios::in | std::ios::out | std::ios::binary);
    std::string content(std::istreambuf_iterator<char>(file), {});
    int damaged = 0;
    for (size_t page = 4096; page < content.size(); page += 4096) {
      if (!absl::StrContains(absl::string_view(content).substr(page, 4096), "vvvvv")) continue;
      file.seekp(static_cast<std::streamoff>(page));
      file << std::string(4096, '\xEE');
      ++damaged;
    }
    ASSERT_GT(damaged, 10);
  }

  bool IsMarked() const { return std::filesystem::exists(options_.path + ".rebuild"); }

  static constexpr int kRows = 100;
  std::string folder_;
  LocalDatabase::Options options_;
  Listener listener_;
  std::vector<LedgerEntry> ledger_;
  std::unique_ptr<LocalDatabase> database_;
};

TEST_F(LocalDatabaseTest, GoesOnWhereItWas) {
  Lock();
  ASSERT_TRUE(Play(50, false).ok());
  Lock();
  EXPECT_EQ(database_->applied_sequence(), 50);
  EXPECT_EQ(database_->received_position(), PositionAfter(ledger_[49]));
  PlayAll();
  EXPECT_EQ(Rows("fam"), kRows);
  EXPECT_EQ(database_->info().applied_sequence, Last());
  EXPECT_FALSE(database_->info().rebuilding);
}

TEST_F(LocalDatabaseTest, HoldsTheLockAllTheTime) {
  const auto is_locked = [&] {
    const auto second = LocalDatabase::Lock(options_);
    return absl::IsFailedPrecondition(second.status()) &&
           absl::StrContains(second.status().message(), absl::StrCat(getpid()));
  };
  Lock();
  PlayAll();
  EXPECT_TRUE(is_locked());
  database_->Rebuild("test", false);
  ASSERT_TRUE(database_->Open().ok());
  EXPECT_TRUE(is_locked());
  PlayAll();
  EXPECT_FALSE(database_->rebuilding());
  EXPECT_TRUE(is_locked());
  database_.reset();
  EXPECT_FALSE(is_locked());
}

TEST_F(LocalDatabaseTest, ReadersKeepTheOldOneUntilTheNewOneIsAsFar) {
  Lock();
  ASSERT_TRUE(Play(100, true).ok());
  const int64_t before = database_->generation();
  database_->Rebuild("the reason", false);
  EXPECT_TRUE(database_->rebuilding());
  EXPECT_EQ(database_->info().rebuild_reason, "the reason");
  ASSERT_TRUE(database_->Open().ok());
  EXPECT_NE(database_->generation(), before);
  EXPECT_EQ(database_->received_position().sequence, 0);
  for (const int64_t last : {40, 99}) {
    // Also where the ledger says that it has no more: one that lags does.
    ASSERT_TRUE(Play(last, true).ok());
    EXPECT_TRUE(database_->rebuilding());
    EXPECT_EQ(database_->info().rebuild_sequence, last);
    EXPECT_EQ(database_->info().applied_sequence, 100);
    EXPECT_EQ(ReaderSequence(), 100);
  }
  ASSERT_TRUE(Play(110, false).ok());
  EXPECT_FALSE(database_->rebuilding());
  EXPECT_EQ(database_->info().rebuilds, 1);
  EXPECT_EQ(ReaderSequence(), 110);
  PlayAll();
  EXPECT_EQ(Rows("fam"), kRows);
  EXPECT_FALSE(IsMarked());
}

TEST_F(LocalDatabaseTest, AnotherLedgerNeedsNotBeAsLong) {
  Lock();
  PlayAll();
  database_->Rebuild("the ledger is another one", true);
  ASSERT_TRUE(Play(40, false).ok());
  EXPECT_TRUE(database_->rebuilding());
  ASSERT_TRUE(Play(50, true).ok());
  EXPECT_FALSE(database_->rebuilding());
  EXPECT_EQ(ReaderSequence(), 50);
}

TEST_F(LocalDatabaseTest, OtherFamiliesMakeItBuildAnew) {
  Lock();
  PlayAll();
  options_.writer.families = {"fam"};
  Lock();
  EXPECT_TRUE(database_->rebuilding());
  EXPECT_EQ(Rows("other"), kRows);
  PlayAll();
  EXPECT_FALSE(database_->rebuilding());
  EXPECT_EQ(Rows("fam"), kRows);
  EXPECT_EQ(Rows("other"), -1);
  // Nothing is to be done for the same ones.
  Lock();
  EXPECT_FALSE(database_->rebuilding());
  EXPECT_EQ(database_->applied_sequence(), Last());
}

TEST_F(LocalDatabaseTest, WhatIsNoDatabaseIsKeptAndBuiltAnew) {
  const std::string garbage(10000, 'x');
  std::ofstream(options_.path) << garbage;
  Lock();
  EXPECT_TRUE(database_->rebuilding());
  ASSERT_TRUE(Play(40, false).ok());
  EXPECT_TRUE(database_->rebuilding());
  PlayAll();
  EXPECT_FALSE(database_->rebuilding());
  EXPECT_EQ(Rows("fam"), kRows);
  std::ifstream damaged(options_.path + ".damaged");
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(damaged), {}), garbage);
}

TEST_F(LocalDatabaseTest, DamageThatAWriteMeetsMakesItBuildAnew) {
  Lock();
  PlayAll();
  database_.reset();
  DamageRows();
  Lock();
  EXPECT_FALSE(database_->rebuilding());
  Add("DELETE FROM fam___tbl WHERE \"a\" = 'key50'");
  const absl::Status status = Play(Last(), true);
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
  EXPECT_TRUE(database_->rebuilding());
  PlayAll();
  EXPECT_FALSE(database_->rebuilding());
  EXPECT_EQ(Rows("fam"), kRows - 1);
  EXPECT_TRUE(std::filesystem::exists(options_.path + ".damaged"));
}

TEST_F(LocalDatabaseTest, DamageThatNothingMeetsIsFoundInTheBackground) {
  Lock();
  PlayAll();
  database_.reset();
  DamageRows();
  options_.check = true;
  Lock();
  const absl::Time give_up = absl::Now() + kPatience;
  absl::Status status;
  while (status.ok() && absl::Now() < give_up) {
    status = database_->Idle();
    absl::SleepFor(absl::Milliseconds(1));
  }
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
  EXPECT_TRUE(database_->rebuilding());
  PlayAll();
  EXPECT_EQ(Rows("fam"), kRows);
  EXPECT_EQ(Rows("other"), kRows);
}

TEST_F(LocalDatabaseTest, DamageToTheOneThatIsBuiltMakesItBeginAgain) {
  Lock();
  PlayAll();
  database_->Rebuild("test", false);
  ASSERT_TRUE(Play(150, false).ok());
  const std::string path = options_.path;
  for (const auto& each : std::filesystem::recursive_directory_iterator(path + ".d")) {
    if (each.path().filename() == "ldb.db") options_.path = each.path();
  }
  ASSERT_NE(options_.path, path);
  // Its writer holds what it needs in memory until it is opened again.
  std::filesystem::resize_file(options_.path, 0);
  std::ofstream(options_.path, std::ios::app) << std::string(100000, 'x');
  options_.path = path;
  database_.reset();
  Lock();
  ASSERT_TRUE(database_->rebuilding());
  PlayAll();
  EXPECT_FALSE(database_->rebuilding());
  EXPECT_EQ(Rows("fam"), kRows);
}

TEST_F(LocalDatabaseTest, ARebuildThatACrashInterruptedBeginsAgain) {
  for (const bool another_ledger : {false, true}) {
    Lock();
    PlayAll();
    database_->Rebuild("the reason", another_ledger);
    ASSERT_TRUE(Play(50, false).ok());
    EXPECT_TRUE(IsMarked());
    Lock();
    EXPECT_TRUE(database_->rebuilding());
    EXPECT_EQ(database_->info().rebuild_reason, "the reason");
    EXPECT_EQ(database_->received_position().sequence, 0);
    EXPECT_EQ(Rows("fam"), kRows);
    ASSERT_TRUE(Play(60, true).ok());
    EXPECT_EQ(database_->rebuilding(), !another_ledger);
    PlayAll();
    EXPECT_FALSE(database_->rebuilding());
    EXPECT_FALSE(IsMarked());
    EXPECT_EQ(Rows("fam"), kRows);
  }
}

TEST_F(LocalDatabaseTest, OtherFamiliesThatAreTakenBackNeedNoRebuild) {
  Lock();
  PlayAll();
  options_.writer.families = {"fam"};
  Lock();
  ASSERT_TRUE(Play(50, false).ok());
  EXPECT_TRUE(IsMarked());
  options_.writer.families = {};
  Lock();
  EXPECT_FALSE(database_->rebuilding());
  EXPECT_EQ(database_->applied_sequence(), Last());
  EXPECT_FALSE(IsMarked());
}

TEST_F(LocalDatabaseTest, AMarkOfAFileThatWasReplacedSinceMeansNothing) {
  Lock();
  PlayAll();
  std::filesystem::copy_file(options_.path, folder_ + "/snapshot");
  database_->Rebuild("test", false);
  ASSERT_TRUE(database_->Open().ok());
  database_.reset();
  std::filesystem::rename(folder_ + "/snapshot", options_.path);
  listener_.told.clear();
  Lock();
  EXPECT_FALSE(database_->rebuilding());
  EXPECT_FALSE(IsMarked());
  EXPECT_EQ(database_->applied_sequence(), Last());
  EXPECT_THAT(listener_.told,
              ElementsAre(absl::StrCat("attached ", Last()), absl::StrCat("everything ", Last())));
}

TEST_F(LocalDatabaseTest, AMarkThatCannotBeReadMeansNothing) {
  Lock();
  PlayAll();
  for (const char* mark : {"", "x", "1 2", "1 2 9 3\nreason\n", "1 2 -1 3\nreason\n"}) {
    std::ofstream(options_.path + ".rebuild") << mark;
    Lock();
    EXPECT_FALSE(database_->rebuilding()) << mark;
  }
}

TEST_F(LocalDatabaseTest, OnlyARebuildWithoutNeedIsGivenUp) {
  Lock();
  PlayAll();
  EXPECT_FALSE(database_->GiveUpRebuild());
  database_->Rebuild("an operator asked for it", false);
  ASSERT_TRUE(Play(50, false).ok());
  EXPECT_TRUE(database_->GiveUpRebuild());
  ASSERT_TRUE(database_->Open().ok());
  EXPECT_EQ(database_->applied_sequence(), Last());
  EXPECT_FALSE(database_->rebuilding());
  EXPECT_FALSE(IsMarked());
  database_->Rebuild("diverged", true);
  EXPECT_FALSE(database_->GiveUpRebuild());
  EXPECT_TRUE(database_->rebuilding());
}

TEST_F(LocalDatabaseTest, AFileThatIsPutInItsPlaceIsGoneOnWith) {
  Lock();
  ASSERT_TRUE(Play(50, false).ok());
  std::filesystem::copy_file(options_.path, folder_ + "/snapshot");
  PlayAll();
  for (const bool idle : {false, true}) {
    const int64_t before = database_->generation();
    std::filesystem::copy_file(folder_ + "/snapshot", folder_ + "/copy");
    std::filesystem::rename(folder_ + "/copy", options_.path);
    std::filesystem::remove(options_.path + "-wal");
    std::filesystem::remove(options_.path + "-shm");
    Add("REPLACE INTO fam___tbl (\"a\",\"b\") VALUES('new','')");
    const absl::Status status = idle ? database_->Idle() : Play(Last(), true);
    EXPECT_EQ(ErrorReason(status), std::string(reason::kLdbReplaced)) << status;
    listener_.told.clear();
    ASSERT_TRUE(database_->Open().ok());
    EXPECT_NE(database_->generation(), before);
    EXPECT_EQ(database_->received_position().sequence, 50);
    EXPECT_THAT(listener_.told, ElementsAre("attached 50", "everything 50"));
    PlayAll();
    EXPECT_EQ(Rows("fam"), kRows + 1);
  }
}

TEST_F(LocalDatabaseTest, AFileThatIsRemovedIsMadeAnew) {
  Lock();
  PlayAll();
  std::filesystem::remove(options_.path);
  EXPECT_EQ(ErrorReason(database_->Idle()), std::string(reason::kLdbReplaced));
  PlayAll();
  EXPECT_EQ(Rows("fam"), kRows);
  EXPECT_FALSE(database_->rebuilding());
}

TEST_F(LocalDatabaseTest, AFileThatIsPutInPlaceDuringARebuildEndsIt) {
  Lock();
  PlayAll();
  std::filesystem::copy_file(options_.path, folder_ + "/snapshot");
  database_->Rebuild("test", false);
  ASSERT_TRUE(Play(50, false).ok());
  std::filesystem::rename(folder_ + "/snapshot", options_.path);
  const absl::Status status = Play(Last(), true);
  EXPECT_EQ(ErrorReason(status), std::string(reason::kLdbReplaced)) << status;
  ASSERT_TRUE(database_->Open().ok());
  EXPECT_FALSE(database_->rebuilding());
  EXPECT_EQ(database_->applied_sequence(), Last());
  EXPECT_EQ(database_->info().rebuilds, 0);
}

TEST_F(LocalDatabaseTest, ListenersLearnOfWhatReadersSee) {
  Lock();
  ASSERT_TRUE(Play(4, false).ok());
  EXPECT_THAT(listener_.told, ElementsAre("attached 0", "table 1", "table 2", "key 3", "key 4"));
  listener_.told.clear();
  database_->Rebuild("test", false);
  ASSERT_TRUE(Play(3, false).ok());
  EXPECT_THAT(listener_.told, IsEmpty());
  ASSERT_TRUE(Play(5, false).ok());
  EXPECT_THAT(listener_.told, ElementsAre("attached 5", "everything 5"));
  ASSERT_TRUE(Play(6, false).ok());
  EXPECT_THAT(listener_.told, ElementsAre("attached 5", "everything 5", "key 6"));
}

TEST_F(LocalDatabaseTest, WhatWasReplacedIsRemovedAfterAWhile) {
  options_.keep_old_for = absl::ZeroDuration();
  Lock();
  PlayAll();
  for (int i = 0; i < 3; ++i) {
    database_->Rebuild("test", false);
    PlayAll();
  }
  Lock();
  ASSERT_TRUE(database_->Idle().ok());
  int generations = 0;
  for (const auto& each : std::filesystem::directory_iterator(options_.path + ".d")) {
    if (each.is_directory()) ++generations;
  }
  EXPECT_EQ(generations, 1);
  EXPECT_EQ(Rows("fam"), kRows);
}

TEST_F(LocalDatabaseTest, EntriesThatAreSkippedAreCounted) {
  Lock();
  Add("REPLACE INTO fam___nowhere (\"a\") VALUES(1)");
  const int64_t bad = Last();
  Add("REPLACE INTO fam___tbl (\"a\",\"b\") VALUES('new','')");
  const absl::Status status = Play(Last(), true);
  EXPECT_EQ(ErrorReason(status), std::string(reason::kEntryFailed)) << status;
  EXPECT_EQ(database_->failed_sequence(), bad);
  EXPECT_EQ(database_->info().applied_sequence, bad - 1);
  database_->SkipEntry(bad);
  PlayAll();
  EXPECT_EQ(database_->info().skipped_entries, 1);
  EXPECT_EQ(Rows("fam"), kRows + 1);
}

TEST_F(LocalDatabaseTest, WaitsWhereItCannotBeOpened) {
  std::filesystem::create_directory(options_.path);
  Lock();
  EXPECT_FALSE(database_->Open().ok());
  EXPECT_FALSE(database_->rebuilding());
  std::filesystem::remove(options_.path);
  PlayAll();
  EXPECT_EQ(Rows("fam"), kRows);
}

TEST_F(LocalDatabaseTest, NoFolderIsNoLock) {
  std::ofstream(folder_ + "/file") << "x";
  options_.path = folder_ + "/file/ldb.db";
  EXPECT_EQ(LocalDatabase::Lock(options_).status().code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace ctlstore::reflector
