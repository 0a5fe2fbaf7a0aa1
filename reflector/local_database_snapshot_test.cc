// How a local database begins from a snapshot, and what is done where there is none that helps.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "common/ldb/ldb_writer.h"
#include "common/ldb/reader.h"
#include "common/schema/errors.h"
#include "reflector/local_database.h"
#include "reflector/snapshot_source.h"

namespace ctlstore::reflector {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr absl::Duration kPatience = absl::Seconds(60);

// Snapshots as files, newest first.
class FakeSource : public SnapshotSource {
 public:
  struct Offer {
    std::string key;
    std::string file;
    int64_t sequence = 0;
  };

  absl::StatusOr<Snapshot> Fetch(const Request& request) override {
    absl::MutexLock lock(&mutex);
    requests.push_back(request);
    snapshot::FetchProgress progress;
    progress.stage = snapshot::FetchProgress::Stage::kFetching;
    progress.url = "file:///snapshots";
    progress.id = "id";
    progress.bytes_done = 1;
    progress.bytes_total = 2;
    request.on_progress(progress);
    while (hold && !request.cancelled()) {
      changed.WaitWithTimeout(&mutex, absl::Milliseconds(10));
    }
    if (request.cancelled()) return absl::CancelledError("cancelled");
    if (!error.ok()) return error;
    for (const Offer& offer : offers) {
      if (request.excluded.count(offer.key) > 0) continue;
      std::filesystem::create_directories(request.folder);
      Snapshot snapshot;
      snapshot.path = request.folder + "/ldb.db";
      snapshot.key = snapshot.id = offer.key;
      snapshot.sequence = offer.sequence;
      std::filesystem::copy_file(offer.file, snapshot.path,
                                 std::filesystem::copy_options::overwrite_existing);
      return snapshot;
    }
    return ErrorWithReason(absl::StatusCode::kNotFound, reason::kSnapshotNotFound, "none");
  }

  absl::Mutex mutex;
  absl::CondVar changed;
  bool hold ABSL_GUARDED_BY(mutex) = false;
  absl::Status error ABSL_GUARDED_BY(mutex);
  std::vector<Offer> offers ABSL_GUARDED_BY(mutex);
  std::vector<Request> requests ABSL_GUARDED_BY(mutex);
};

class LocalDatabaseSnapshotTest : public ::testing::Test {
 protected:
  LocalDatabaseSnapshotTest() {
    folder_ = absl::StrCat(::testing::TempDir(), "/local_database_XXXXXX");
    EXPECT_NE(mkdtemp(&folder_[0]), nullptr);
    options_.path = folder_ + "/ldb.db";
    options_.check = false;
    options_.snapshots = &source_;
    for (const char* family : {"fam", "other"}) {
      Add(absl::StrCat("CREATE TABLE ", family,
                       "___tbl (\"a\" VARCHAR(191), \"b\" TEXT, PRIMARY KEY(\"a\"));"));
    }
    for (int i = 0; i < 50; ++i) {
      for (const char* family : {"fam", "other"}) {
        Add(absl::StrCat("REPLACE INTO ", family, "___tbl (\"a\",\"b\") VALUES('key", i, "','v')"));
      }
    }
  }
  ~LocalDatabaseSnapshotTest() override {
    database_.reset();
    std::filesystem::remove_all(folder_);
  }

  void Add(const std::string& statement) {
    ledger_.push_back({static_cast<int64_t>(ledger_.size()) + 1, "2024-01-01 00:00:00", statement});
  }
  int64_t Last() const { return static_cast<int64_t>(ledger_.size()); }

  // The source has a snapshot at `sequence`, newer than those from before.
  void Offer(const std::string& key, int64_t sequence) {
    const std::string file = absl::StrCat(folder_, "/", key, ".db");
    {
      auto writer = ldb::LdbWriter::Open(file, {});
      ASSERT_TRUE(writer.ok()) << writer.status();
      ASSERT_TRUE((*writer)->Apply(absl::MakeSpan(ledger_).subspan(0, sequence)).ok());
      ASSERT_TRUE((*writer)->Checkpoint().ok());
    }
    absl::MutexLock lock(&source_.mutex);
    source_.offers.insert(source_.offers.begin(), {key, file, sequence});
  }
  void Fail(absl::Status error) {
    absl::MutexLock lock(&source_.mutex);
    source_.error = std::move(error);
  }
  void Hold(bool hold) {
    absl::MutexLock lock(&source_.mutex);
    source_.hold = hold;
    source_.changed.SignalAll();
  }
  size_t Fetches() {
    absl::MutexLock lock(&source_.mutex);
    return source_.requests.size();
  }
  SnapshotSource::Request LastRequest() {
    absl::MutexLock lock(&source_.mutex);
    return source_.requests.back();
  }

  void Lock() {
    database_.reset();
    auto locked = LocalDatabase::Lock(options_);
    ASSERT_TRUE(locked.ok()) << locked.status();
    database_ = *std::move(locked);
  }

  // Opens it, and waits for a snapshot that is being fetched.
  absl::Status Open() {
    const absl::Time give_up = absl::Now() + kPatience;
    while (true) {
      absl::Status status = database_->Open();
      if (!HasReason(status, reason::kFetchingSnapshot) || absl::Now() > give_up) return status;
      absl::SleepFor(absl::Milliseconds(1));
    }
  }

  // Applies what comes after its position up to `last`.
  absl::Status Play(int64_t last, bool at_end) {
    absl::Status status = Open();
    if (!status.ok()) return status;
    const int64_t from = database_->received_position().sequence;
    return database_->Apply(absl::MakeSpan(ledger_).subspan(from, last - from), at_end);
  }

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

  std::string folder_;
  LocalDatabase::Options options_;
  FakeSource source_;
  std::vector<LedgerEntry> ledger_;
  std::unique_ptr<LocalDatabase> database_;
};

TEST_F(LocalDatabaseSnapshotTest, ANewHostServesTheSnapshotBeforeTheLedgerWasAsked) {
  Offer("old", 40);
  Offer("new", 60);
  Lock();
  ASSERT_TRUE(Open().ok());
  EXPECT_EQ(ReaderSequence(), 60);
  EXPECT_FALSE(database_->rebuilding());
  EXPECT_EQ(database_->received_position(), PositionAfter(ledger_[59]));
  EXPECT_EQ(database_->info().snapshot_id, "new");
  EXPECT_EQ(database_->info().snapshots_fetched, 1);
  EXPECT_EQ(database_->info().rebuilds, 0);
  ASSERT_TRUE(Play(Last(), true).ok());
  EXPECT_EQ(Rows("fam"), 50);
  // Not fetched again, and what it was fetched to is gone.
  EXPECT_FALSE(std::filesystem::exists(options_.path + ".fetch"));
  Lock();
  ASSERT_TRUE(Open().ok());
  EXPECT_EQ(Fetches(), 1);
  EXPECT_EQ(database_->applied_sequence(), Last());
}

TEST_F(LocalDatabaseSnapshotTest, ShowsHowTheFetchGoesAndEndsItWhenItIsClosed) {
  Offer("new", 60);
  Hold(true);
  Lock();
  const absl::Time give_up = absl::Now() + kPatience;
  while (Fetches() == 0 && absl::Now() < give_up) absl::SleepFor(absl::Milliseconds(1));
  const absl::Status status = database_->Open();
  EXPECT_TRUE(HasReason(status, reason::kFetchingSnapshot)) << status;
  EXPECT_EQ(ReaderSequence(), -1);
  while (database_->info().fetch->bytes_total == 0 && absl::Now() < give_up) {
    absl::SleepFor(absl::Milliseconds(1));
  }
  EXPECT_EQ(database_->info().fetch->bytes_done, 1);
  EXPECT_EQ(database_->info().fetch->bytes_total, 2);
  // Returns although the source does not.
  database_.reset();
}

TEST_F(LocalDatabaseSnapshotTest, WithoutAnySnapshotANewHostPlaysTheLedger) {
  for (const absl::Status& error : {absl::OkStatus(), absl::UnavailableError("away")}) {
    Fail(error);
    std::filesystem::remove(options_.path);
    Lock();
    ASSERT_TRUE(Play(Last(), true).ok());
    EXPECT_EQ(database_->info().snapshot_fetches_failed, 1);
    EXPECT_EQ(Rows("fam"), 50);
    database_.reset();
  }
}

TEST_F(LocalDatabaseSnapshotTest, ASnapshotOfAnotherLedgerIsLeftForAnOlderOne) {
  Offer("old", 40);
  Offer("new", 60);
  Lock();
  ASSERT_TRUE(Open().ok());
  ASSERT_EQ(database_->applied_sequence(), 60);
  database_->Rebuild("the ledger has another entry there", /*another_ledger=*/true);
  ASSERT_TRUE(Open().ok());
  EXPECT_THAT(LastRequest().excluded, ElementsAre("new"));
  EXPECT_EQ(database_->applied_sequence(), 40);
  // Readers keep what they have until all of the ledger is there.
  EXPECT_EQ(ReaderSequence(), 60);
  // And where that is of another ledger as well: from the beginning.
  database_->Rebuild("again", /*another_ledger=*/true);
  ASSERT_TRUE(Open().ok());
  EXPECT_THAT(LastRequest().excluded, ElementsAre("new", "old"));
  EXPECT_EQ(database_->applied_sequence(), 0);
  ASSERT_TRUE(Play(50, false).ok());
  EXPECT_EQ(ReaderSequence(), 60);
  ASSERT_TRUE(Play(55, true).ok());
  EXPECT_EQ(ReaderSequence(), 55);
}

TEST_F(LocalDatabaseSnapshotTest, AHostThatWasAwayComesBackWithoutAStepBack) {
  options_.snapshots = nullptr;
  Lock();
  ASSERT_TRUE(Play(50, true).ok());
  options_.snapshots = &source_;
  Lock();
  ASSERT_TRUE(Open().ok());
  EXPECT_EQ(Fetches(), 0);
  // The snapshot is behind what readers have, as after the restoration of a ctldb.
  Offer("behind", 30);
  ASSERT_TRUE(database_->FetchSnapshot("pruned"));
  ASSERT_TRUE(Open().ok());
  EXPECT_EQ(database_->applied_sequence(), 30);
  ASSERT_TRUE(Play(49, true).ok());
  EXPECT_EQ(ReaderSequence(), 50);
  ASSERT_TRUE(Play(70, false).ok());
  EXPECT_EQ(ReaderSequence(), 70);
  EXPECT_EQ(database_->info().rebuilds, 1);
}

TEST_F(LocalDatabaseSnapshotTest, WithoutASnapshotAHostThatWasAwayKeepsWhatItHas) {
  options_.snapshots = nullptr;
  Lock();
  EXPECT_FALSE(database_->FetchSnapshot("pruned"));
  ASSERT_TRUE(Play(50, true).ok());
  options_.snapshots = &source_;
  Lock();
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(Open().ok());
    EXPECT_EQ(database_->applied_sequence(), 50);
    ASSERT_TRUE(database_->FetchSnapshot("pruned"));
    const absl::Status status = Open();
    EXPECT_TRUE(HasReason(status, reason::kSnapshotNotFound)) << status;
  }
  EXPECT_EQ(ReaderSequence(), 50);
  // The ledger may go on from there after all.
  ASSERT_TRUE(Play(Last(), true).ok());
  EXPECT_EQ(ReaderSequence(), Last());
}

TEST_F(LocalDatabaseSnapshotTest, WhereTheLedgersBeginningIsGoneASnapshotIsLookedForAgain) {
  Fail(absl::UnavailableError("away"));
  Lock();
  // Plays the ledger, which says that its beginning is gone.
  ASSERT_TRUE(Open().ok());
  EXPECT_EQ(database_->received_position().sequence, 0);
  ASSERT_TRUE(database_->FetchSnapshot("pruned"));
  EXPECT_TRUE(HasReason(Open(), reason::kSnapshotNotFound));
  Fail(absl::OkStatus());
  Offer("new", 60);
  ASSERT_TRUE(Open().ok());
  ASSERT_TRUE(database_->FetchSnapshot("pruned"));
  ASSERT_TRUE(Play(Last(), true).ok());
  EXPECT_EQ(ReaderSequence(), Last());
  EXPECT_EQ(Rows("other"), 50);
}

TEST_F(LocalDatabaseSnapshotTest, ADamagedOneIsReplacedBeforeTheLedgerWasAsked) {
  Lock();
  ASSERT_TRUE(Play(Last(), true).ok());
  database_.reset();
  std::filesystem::remove(options_.path + "-wal");
  std::filesystem::remove(options_.path);
  std::ofstream(options_.path) << std::string(10000, 'x');
  // Nobody can tell how far it was, so all of the ledger has to be there.
  Offer("new", 60);
  Lock();
  ASSERT_TRUE(Open().ok());
  EXPECT_EQ(database_->applied_sequence(), 60);
  EXPECT_TRUE(database_->rebuilding());
  ASSERT_TRUE(Play(Last(), true).ok());
  EXPECT_EQ(ReaderSequence(), Last());
  EXPECT_TRUE(std::filesystem::exists(options_.path + ".damaged"));
}

TEST_F(LocalDatabaseSnapshotTest, OnlyTheFamiliesThatAreKeptComeFromASnapshot) {
  Offer("new", 60);
  options_.writer.families = {"fam"};
  Lock();
  ASSERT_TRUE(Play(Last(), true).ok());
  EXPECT_THAT(LastRequest().families, ElementsAre("fam"));
  EXPECT_EQ(Rows("fam"), 50);
  EXPECT_EQ(Rows("other"), -1);
  EXPECT_EQ(database_->info().snapshots_fetched, 1);
}

TEST_F(LocalDatabaseSnapshotTest, ADamagedSnapshotIsNotPutInPlace) {
  Offer("good", 40);
  Offer("bad", 60);
  std::ofstream(folder_ + "/bad.db") << std::string(10000, 'x');
  Lock();
  // Not by itself: the ledger is played where a snapshot that came cannot be used.
  ASSERT_TRUE(Play(50, true).ok());
  EXPECT_EQ(ReaderSequence(), 50);
  ASSERT_TRUE(database_->FetchSnapshot("pruned"));
  ASSERT_TRUE(Open().ok());
  EXPECT_THAT(LastRequest().excluded, Contains("bad"));
  EXPECT_EQ(database_->applied_sequence(), 40);
}

TEST_F(LocalDatabaseSnapshotTest, AnOrderedRebuildGoesBackWhereNothingReachesToTheLedger) {
  Lock();
  ASSERT_TRUE(Play(50, true).ok());
  Offer("new", 60);
  database_->Rebuild("an operator asked for it", false);
  ASSERT_TRUE(Open().ok());
  EXPECT_EQ(database_->applied_sequence(), 60);
  EXPECT_TRUE(database_->GiveUpRebuild());
  ASSERT_TRUE(Open().ok());
  EXPECT_EQ(database_->applied_sequence(), 50);
  EXPECT_THAT(database_->info().snapshot_id, IsEmpty());
}

}  // namespace
}  // namespace ctlstore::reflector
