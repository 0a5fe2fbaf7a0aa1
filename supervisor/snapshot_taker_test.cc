#include "supervisor/snapshot_taker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "common/ldb/ldb_test_util.h"
#include "supervisor/supervisor_test_util.h"

namespace ctlstore::supervisor {
namespace {

using snapshot::Compression;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr char kLock[] = "ctlstore-snapshot.lock";

class SnapshotTakerTest : public ::testing::Test {
 protected:
  SnapshotTakerTest() : ldb_(folder_.Path("ldb.db")) {
    options_.ldb_path = ldb_.path();
    options_.instance = "host/7";
    options_.objects.push_back(Object(Compression::kZstd));
  }

  static snapshot::EncodeOptions Object(Compression compression) {
    snapshot::EncodeOptions object;
    object.compression = compression;
    object.chunk_bytes = 16 << 10;
    return object;
  }

  std::unique_ptr<SnapshotTaker> Create() {
    auto taker = SnapshotTaker::Create(options_);
    EXPECT_TRUE(taker.ok()) << taker.status();
    return taker.ok() ? *std::move(taker) : nullptr;
  }

  std::string work_path() const { return folder_.Path("ldb.db.snapshots"); }

  ldb::TestFolder folder_;
  TestLdb ldb_;
  SnapshotTaker::Options options_;
};

TEST_F(SnapshotTakerTest, ASnapshotHasAnObjectForEachCompressionAndIsGoneWithIt) {
  options_.objects = {Object(Compression::kZstd), Object(Compression::kGzip),
                      Object(Compression::kNone)};
  std::vector<Stage> stages;
  options_.on_stage = [&](Stage stage) { stages.push_back(stage); };
  const auto taker = Create();
  auto taken = taker->Take();
  ASSERT_TRUE(taken.ok()) << taken.status();
  EXPECT_THAT(stages, ElementsAre(Stage::kCopying, Stage::kCompressing));
  EXPECT_EQ((*taken)->position().sequence, ldb_.sequence());
  // The lock and the objects; the copy is gone.
  EXPECT_THAT(FilesIn(work_path()), SizeIs(4));
  for (const auto& [compression, suffix] :
       {std::make_pair(Compression::kZstd, ".db.zst"), std::make_pair(Compression::kGzip, ".db.gz"),
        std::make_pair(Compression::kNone, ".db")}) {
    const snapshot::Manifest manifest = (*taken)->ManifestFor(compression);
    EXPECT_EQ(manifest.object, (*taken)->id() + suffix);
    EXPECT_EQ(manifest.compression, compression);
    EXPECT_EQ(manifest.instance, "host/7");
    ASSERT_THAT(manifest.tables, SizeIs(1));
    EXPECT_EQ(manifest.tables[0].rows, 100);
    const std::string& path = (*taken)->object(compression).path;
    EXPECT_EQ(static_cast<int64_t>(std::filesystem::file_size(path)), manifest.object_bytes);
    // What it says of itself can be read again.
    const auto decoded = snapshot::DecodeManifest(snapshot::EncodeManifest(manifest));
    EXPECT_TRUE(decoded.ok()) << decoded.status();
  }
  const auto original = ldb::OpenPlain(ldb_.path());
  {
    // SQLite leaves files beside what it opens.
    std::filesystem::copy_file((*taken)->object(Compression::kNone).path, folder_.Path("copy.db"));
    const auto copy = ldb::OpenPlain(folder_.Path("copy.db"));
    EXPECT_EQ(ldb::Contents(copy.get()), ldb::Contents(original.get()));
  }
  taken->reset();
  EXPECT_THAT(FilesIn(work_path()), ElementsAre(kLock));
}

TEST_F(SnapshotTakerTest, WritingGoesOnWhileASnapshotIsTaken) {
  int64_t after = 0;
  options_.on_stage = [&](Stage) { after = ldb_.Write(50); };
  const auto taker = Create();
  const int64_t before = ldb_.sequence();
  const auto taken = taker->Take();
  ASSERT_TRUE(taken.ok()) << taken.status();
  EXPECT_GT((*taken)->position().sequence, before);
  EXPECT_LT((*taken)->position().sequence, after);
}

TEST_F(SnapshotTakerTest, LeavesNothingWhereItIsCancelled) {
  for (const Stage in : {Stage::kCopying, Stage::kCompressing}) {
    bool cancelled = false;
    options_.on_stage = [&](Stage stage) { cancelled = cancelled || stage == in; };
    options_.cancelled = [&] { return cancelled; };
    const auto taker = Create();
    EXPECT_TRUE(absl::IsCancelled(taker->Take().status()));
    EXPECT_THAT(FilesIn(work_path()), ElementsAre(kLock));
  }
}

TEST_F(SnapshotTakerTest, RemovesWhatADeadOneHasLeftAndNothingElse) {
  std::filesystem::create_directories(work_path());
  for (const char* name : {"ctlstore-snapshot.copy.db", "ctlstore-snapshot.copy.db-journal",
                           "ctlstore-snapshot.00000000000000000007-x.db.zst", "mine.db"}) {
    std::ofstream(work_path() + "/" + name) << "rubbish";
  }
  const auto taker = Create();
  EXPECT_THAT(FilesIn(work_path()), ElementsAre(kLock, "mine.db"));
  const auto taken = taker->Take();
  EXPECT_TRUE(taken.ok()) << taken.status();
}

TEST_F(SnapshotTakerTest, TwoDoNotShareAFolder) {
  const auto taker = Create();
  const auto second = SnapshotTaker::Create(options_);
  EXPECT_TRUE(absl::IsFailedPrecondition(second.status())) << second.status();
  EXPECT_THAT(std::string(second.status().message()), HasSubstr("--snapshot_work_path"));
}

TEST_F(SnapshotTakerTest, SaysWhereThereIsNoRoomBeforeItWritesAnything) {
  options_.min_free_bytes = int64_t{1} << 60;
  bool failed_copy = false;
  options_.on_step = [&](absl::string_view step, absl::Duration, const absl::Status& status) {
    failed_copy = step == "copy" && absl::IsResourceExhausted(status);
  };
  const auto taker = Create();
  const auto taken = taker->Take();
  EXPECT_TRUE(absl::IsResourceExhausted(taken.status())) << taken.status();
  EXPECT_THAT(std::string(taken.status().message()), HasSubstr(work_path()));
  EXPECT_TRUE(failed_copy);
  EXPECT_THAT(FilesIn(work_path()), ElementsAre(kLock));
}

TEST_F(SnapshotTakerTest, WithoutALocalDatabaseThereIsNoSnapshot) {
  options_.ldb_path = folder_.Path("none.db");
  const auto taker = Create();
  EXPECT_TRUE(absl::IsNotFound(taker->Take().status()));
  EXPECT_THAT(FilesIn(folder_.Path("none.db.snapshots")), ElementsAre(kLock));
}

TEST_F(SnapshotTakerTest, AFolderThatCannotBeMadeIsNamed) {
  std::ofstream(folder_.Path("file")) << "a file";
  options_.work_path = folder_.Path("file/work");
  const auto taker = SnapshotTaker::Create(options_);
  EXPECT_TRUE(absl::IsUnavailable(taker.status())) << taker.status();
  EXPECT_THAT(std::string(taker.status().message()), HasSubstr(options_.work_path));
}

}  // namespace
}  // namespace ctlstore::supervisor
