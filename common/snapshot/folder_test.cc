#include "common/snapshot/folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/digest.h"
#include "common/object_store/file_store.h"
#include "common/object_store/testing/faulty_store.h"
#include "common/schema/errors.h"

namespace ctlstore::snapshot {
namespace {

using object_store::FileStore;
using object_store::ObjectInfo;
using object_store::ObjectStore;
using object_store::testing::FaultyStore;
using object_store::testing::StoreCall;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

const absl::Time kTaken = absl::FromUnixSeconds(1772496000);  // 2026-03-03T00:00:00Z
const absl::Status kCut = absl::UnavailableError("cut");

class FolderTest : public ::testing::Test {
 protected:
  FolderTest() {
    std::string pattern = absl::StrCat(::testing::TempDir(), "/folder_XXXXXX");
    root_ = mkdtemp(&pattern[0]);
    store_ = OpenStore();
    folder_ = std::make_unique<Folder>(store_.get());
  }
  ~FolderTest() override { std::filesystem::remove_all(root_); }

  std::unique_ptr<FaultyStore> OpenStore() const {
    return std::make_unique<FaultyStore>(std::make_unique<FileStore>(
        object_store::ParseStoreUrl(absl::StrCat("file://", root_, "/out")).value()));
  }

  std::string PathOf(absl::string_view key) const { return absl::StrCat(root_, "/out/", key); }

  // A snapshot of `sequence`, whose object is written to object_path().
  Manifest MakeSnapshot(int64_t sequence, absl::Time taken_at = kTaken,
                        std::vector<std::string> families = {}) {
    Manifest manifest;
    manifest.id = NewSnapshotId(sequence, taken_at);
    manifest.position.sequence = sequence;
    manifest.taken_at = taken_at;
    manifest.families = std::move(families);
    manifest.object = SnapshotObjectName(manifest.id, Compression::kZstd);
    std::mt19937_64 random(sequence);
    std::string object;
    for (const int64_t size : {300000, 1, 262144, 70000}) {
      std::string chunk(size, '\0');
      for (char& c : chunk) c = static_cast<char>(random());
      manifest.chunks.push_back({size, 2 * size, Sha256(chunk)});
      manifest.file_bytes += 2 * size;
      object += chunk;
    }
    manifest.object_bytes = object.size();
    manifest.object_sha256 = Sha256(object);
    std::ofstream(object_path(), std::ios::binary) << object;
    return manifest;
  }
  std::string object_path() const { return root_ + "/object"; }

  std::string MustPublish(int64_t sequence, absl::Time taken_at = kTaken,
                          std::vector<std::string> families = {}) {
    const Manifest manifest = MakeSnapshot(sequence, taken_at, std::move(families));
    EXPECT_EQ(folder_->Publish(manifest, object_path()), absl::OkStatus());
    return manifest.id;
  }

  std::vector<std::string> MustList() {
    const auto ids = folder_->List();
    EXPECT_TRUE(ids.ok()) << ids.status();
    return ids.value_or(std::vector<std::string>());
  }

  // What a store that cannot list would say.
  std::vector<std::string> MustListByIndex() {
    store_->SetCannotList(true);
    std::vector<std::string> ids = MustList();
    store_->SetCannotList(false);
    return ids;
  }

  std::vector<std::string> MustApply(const RetentionPolicy& policy, absl::Time now = kTaken) {
    const auto removed = folder_->ApplyRetention(policy, now);
    EXPECT_TRUE(removed.ok()) << removed.status();
    return removed.value_or(std::vector<std::string>());
  }

  absl::Status VerifyId(absl::string_view id) {
    const auto manifest = folder_->ReadManifest(id);
    if (!manifest.ok()) return manifest.status();
    return folder_->Verify(*manifest);
  }

  std::vector<std::string> Files() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(root_ + "/out")) {
      names.push_back(entry.path().filename());
    }
    return names;
  }

  void Write(absl::string_view key, absl::string_view text) const {
    std::filesystem::create_directories(root_ + "/out");
    std::ofstream(PathOf(key), std::ios::binary) << text;
  }
  std::string Contents(absl::string_view key) const {
    std::ifstream file(PathOf(key), std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(file), {});
  }

  std::string root_;
  std::unique_ptr<FaultyStore> store_;
  std::unique_ptr<Folder> folder_;
};

TEST(SnapshotIdTest, SaysWhatItIsOf) {
  const std::string id = NewSnapshotId(1234567, kTaken + absl::Milliseconds(999));
  EXPECT_TRUE(absl::StartsWith(id, "00000000000001234567-20260303T000000Z-")) << id;
  EXPECT_EQ(id.size(), 46u);
  const auto parsed = ParseSnapshotId(id);
  ASSERT_TRUE(parsed.has_value());
  EXPECT_EQ(parsed->sequence, 1234567);
  EXPECT_EQ(parsed->taken_at, kTaken);
  EXPECT_NE(NewSnapshotId(1234567, kTaken), NewSnapshotId(1234567, kTaken));
  EXPECT_EQ(ParseSnapshotId("09223372036854775807-20260303T000000Z-0123abcd")->sequence, INT64_MAX);
}

TEST(SnapshotIdTest, OtherNamesAreNone) {
  for (const char* id : {"", "index", "09223372036854775808-20260303T000000Z-0123abcd",
                         "0000000000000123456-20260303T000000Z-0123abcd",
                         "+0000000000001234567-20260303T000000Z-0123abcd",
                         "00000000000001234567-20261303T000000Z-0123abcd",
                         "00000000000001234567-20260303T000000Z-0123ABCD",
                         "00000000000001234567-20260303T000000Z-0123abc",
                         "00000000000001234567_20260303T000000Z-0123abcd",
                         "00000000000001234567-20260303 000000Z-0123abcd",
                         "00000000000001234567-20260303T250000Z-0123abcd",
                         "00000000000001234567-20260303T000000Z-0123abcd.",
                         "00000000000001234567-2026 303T000000Z-0123abcd"}) {
    EXPECT_FALSE(ParseSnapshotId(id).has_value()) << id;
  }
}

TEST(SnapshotIdTest, WhatIsTakenIsWhatWouldBeWritten) {
  std::mt19937 random(20260304);
  int taken = 0;
  for (int round = 0; round < 200000; ++round) {
    std::string id = NewSnapshotId(static_cast<int64_t>(random()), absl::FromUnixSeconds(random()));
    if (round % 2 == 0) id[random() % id.size()] = "0123456789abcdefTZ- +:"[random() % 22];
    const auto parsed = ParseSnapshotId(id);
    if (!parsed.has_value()) continue;
    ++taken;
    const std::string again = NewSnapshotId(parsed->sequence, parsed->taken_at);
    ASSERT_EQ(again.substr(0, 38), id.substr(0, 38));
  }
  EXPECT_GT(taken, 100000);
}

TEST_F(FolderTest, WithoutASnapshotThereIsNone) {
  EXPECT_THAT(MustList(), IsEmpty());
  EXPECT_THAT(MustListByIndex(), IsEmpty());
  EXPECT_THAT(MustApply({}), IsEmpty());
  for (const char* id : {"00000000000000000001-20260303T000000Z-0123abcd", "../secret", ""}) {
    EXPECT_EQ(folder_->ReadManifest(id).status().code(), absl::StatusCode::kNotFound) << id;
  }
}

TEST_F(FolderTest, WhatIsPublishedIsThereAndWhole) {
  const Manifest manifest = MakeSnapshot(7, kTaken, {"geo", "users"});
  ASSERT_EQ(folder_->Publish(manifest, object_path()), absl::OkStatus());
  EXPECT_THAT(MustList(), ElementsAre(manifest.id));
  const auto read = folder_->ReadManifest(manifest.id);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(EncodeManifest(*read), EncodeManifest(manifest));
  EXPECT_EQ(folder_->Verify(*read), absl::OkStatus());
}

TEST_F(FolderTest, TheManifestIsPutBehindTheObjectAndTheIndexLast) {
  const std::string id = MustPublish(7);
  EXPECT_THAT(store_->changes(),
              ElementsAre("put " + id + ".db.zst", "put " + id + ".json", "put index.json"));
}

TEST_F(FolderTest, ListsTheNewestFirst) {
  const std::string a = MustPublish(10, kTaken);
  const std::string b = MustPublish(9, kTaken + absl::Hours(1));
  const std::string c = MustPublish(10, kTaken + absl::Minutes(1));
  const std::string d = MustPublish(100, kTaken - absl::Hours(1));
  EXPECT_THAT(MustList(), ElementsAre(d, c, a, b));
  EXPECT_THAT(MustListByIndex(), ElementsAre(d, c, a, b));
}

TEST_F(FolderTest, OtherFilesAreGoneOver) {
  const std::string id = MustPublish(7);
  const std::string other = "00000000000000000009-20260303T000000Z-0123abcd";
  std::filesystem::create_directories(PathOf("sub"));
  const std::vector<std::string> names = {"README",    "notes.json", other + ".db.zst",
                                          other,       "x" + id,     id + ".json.bak",
                                          id + ".tar", ".json",      "sub/" + other + ".json"};
  for (const std::string& name : names) {
    Write(name, "x");
    std::filesystem::last_write_time(
        PathOf(name), std::filesystem::file_time_type::clock::now() - std::chrono::hours(1));
  }
  EXPECT_THAT(MustList(), ElementsAre(id));
  EXPECT_THAT(MustApply({1, absl::ZeroDuration()}, absl::Now()), IsEmpty());
  for (const std::string& name : names) {
    EXPECT_TRUE(std::filesystem::exists(PathOf(name))) << name;
  }
}

TEST_F(FolderTest, AManifestThatDoesNotFitIsNotPublished) {
  const Manifest good = MakeSnapshot(7);
  std::vector<Manifest> bad(5, good);
  bad[0].id = "newest";
  bad[1].object = "other.db.zst";
  bad[2].compression = Compression::kGzip;
  bad[3].position.sequence = 8;
  bad[4].object_bytes += 1;
  for (const Manifest& manifest : bad) {
    EXPECT_EQ(folder_->Publish(manifest, object_path()).code(), absl::StatusCode::kInvalidArgument);
  }
  EXPECT_EQ(folder_->Publish(good, root_ + "/none").code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(store_->calls(), 0);
}

// At each step of it, with the step done or not, going on afterwards or not.
TEST_F(FolderTest, APublishThatBreaksOffLeavesTheWholeSnapshotOrNone) {
  const std::string before = MustPublish(1);
  int64_t sequence = 1;
  int whole = 0, none = 0;
  for (const auto fault : {FaultyStore::Fault::kFails, FaultyStore::Fault::kFailsAfter}) {
    for (const bool once : {true, false}) {
      for (const absl::Status& error : {kCut, absl::ResourceExhaustedError("full")}) {
        for (int64_t n = 1;; ++n) {
          const Manifest manifest = MakeSnapshot(++sequence);
          store_->Arm(fault, n, error, once);
          const absl::Status status = folder_->Publish(manifest, object_path());
          const bool failed = store_->Disarm() > 0;
          // With ResourceExhausted the store says that nothing was done.
          if (fault == FaultyStore::Fault::kFailsAfter && error != kCut) break;
          const std::vector<std::string> ids = MustList();
          ASSERT_THAT(ids, Contains(before));
          for (const std::string& id : ids) {
            ASSERT_EQ(VerifyId(id), absl::OkStatus()) << "step " << n;
          }
          const bool there = std::count(ids.begin(), ids.end(), manifest.id) == 1;
          there ? ++whole : ++none;
          if (!failed) {
            ASSERT_EQ(status, absl::OkStatus());
            ASSERT_TRUE(there);
            break;
          }
          ASSERT_EQ(status, error) << "step " << n;
        }
      }
    }
  }
  EXPECT_GT(whole, 5);
  EXPECT_GT(none, 5);
  // The next one sees to the index.
  MustPublish(++sequence);
  EXPECT_EQ(MustListByIndex(), MustList());
}

TEST_F(FolderTest, WithoutRoomForTheManifestTheObjectIsRemoved) {
  const Manifest manifest = MakeSnapshot(7);
  store_->Arm(FaultyStore::Fault::kFails, {StoreCall::kPut}, 1,
              absl::ResourceExhaustedError("full"));
  EXPECT_EQ(folder_->Publish(manifest, object_path()).code(), absl::StatusCode::kResourceExhausted);
  store_->Disarm();
  EXPECT_THAT(Files(), IsEmpty());
  // Where nobody knows whether the manifest is there, the object stays.
  store_->Arm(FaultyStore::Fault::kFailsAfter, {StoreCall::kPut}, 1, kCut);
  EXPECT_EQ(folder_->Publish(manifest, object_path()), kCut);
  EXPECT_EQ(VerifyId(manifest.id), absl::OkStatus());
}

TEST_F(FolderTest, TheIndexIsJsonAndReadBack) {
  const std::string a = MustPublish(1);
  const std::string b = MustPublish(2);
  const auto index = nlohmann::json::parse(Contents("index.json"));
  EXPECT_EQ(index["format"], 1);
  EXPECT_EQ(index["snapshots"], (std::vector<std::string>{b, a}));
  EXPECT_THAT(MustListByIndex(), ElementsAre(b, a));
  // What a later version may add is gone over, and so is what is no id.
  Write("index.json", absl::StrCat("{\"format\":1,\"more\":{},\"snapshots\":[\"", a,
                                   "\",\"x\",7,null,\"../", b, "\",\"", b, "\",\"", b, "\"]}"));
  EXPECT_THAT(MustListByIndex(), ElementsAre(b, a));
}

TEST_F(FolderTest, AnIndexThatIsRubbishIsSaidToBe) {
  store_->SetCannotList(true);
  for (const std::string& text :
       {std::string(), std::string("{"), std::string("[]"), std::string("7"), std::string("\xff"),
        std::string("{}"), std::string("{\"format\":2,\"snapshots\":[]}"),
        std::string("{\"format\":\"1\",\"snapshots\":[]}"), std::string("{\"format\":1}"),
        std::string("{\"format\":1,\"snapshots\":{}}"), std::string(20000, '['),
        "{\"format\":1,\"snapshots\":" + std::string(20000, '[') + std::string(20000, ']') + "}x",
        std::string((16 << 20) + 1, ' ')}) {
    Write("index.json", text);
    const absl::Status status = folder_->List().status();
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << text.substr(0, 50);
    EXPECT_TRUE(HasReason(status, reason::kSnapshotDamaged));
  }
}

TEST_F(FolderTest, AnIndexThatWasChangedAtRandomIsReadOrRefused) {
  MustPublish(1);
  MustPublish(2);
  const std::string good = Contents("index.json");
  std::mt19937 random(20260305);
  store_->SetCannotList(true);
  for (int round = 0; round < 1000; ++round) {
    std::string text = good;
    const int changes = 1 + random() % 3;
    for (int i = 0; i < changes; ++i) {
      const size_t at = random() % text.size();
      if (random() % 3 == 0) {
        text.erase(at, random() % 20);
      } else {
        text[at] = random() % 2 == 0 ? "{}[]\",:019"[random() % 10] : random();
      }
      if (text.empty()) text = "x";
    }
    Write("index.json", text);
    const auto ids = folder_->List();
    if (!ids.ok()) {
      ASSERT_EQ(ids.status().code(), absl::StatusCode::kDataLoss) << text;
      continue;
    }
    for (const std::string& id : *ids) ASSERT_TRUE(ParseSnapshotId(id).has_value()) << text;
  }
}

TEST_F(FolderTest, AManifestThatIsRubbishOrAnothersIsSaidToBe) {
  const std::string id = MustPublish(7);
  const std::string other = MustPublish(8);
  const std::string good = Contents(id + ".json");
  const std::vector<std::string> texts = {
      "", "{", "{}", good.substr(0, good.size() / 2), "\xff\xfe", Contents(other + ".json")};
  for (const std::string& text : texts) {
    Write(id + ".json", text);
    const absl::Status status = folder_->ReadManifest(id).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
    EXPECT_TRUE(HasReason(status, reason::kSnapshotDamaged));
    EXPECT_THAT(std::string(status.message()), HasSubstr(id + ".json"));
    // It is one of the list all the same: who reads it finds out.
    EXPECT_THAT(MustList(), ElementsAre(other, id));
  }
}

TEST_F(FolderTest, VerifyFindsEachDamage) {
  const Manifest manifest = MakeSnapshot(7);
  ASSERT_EQ(folder_->Publish(manifest, object_path()), absl::OkStatus());
  const auto damage = [&] {
    const absl::Status status = folder_->Verify(manifest);
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
    EXPECT_TRUE(HasReason(status, reason::kSnapshotDamaged));
    EXPECT_THAT(std::string(status.message()), HasSubstr(manifest.object));
    return std::string(status.message());
  };
  ASSERT_EQ(folder_->Verify(manifest), absl::OkStatus());

  // A byte of each chunk, the first and the last ones among them.
  const std::vector<std::pair<int64_t, int>> bytes = {{0, 1},
                                                      {299999, 1},
                                                      {300000, 2},
                                                      {300001, 3},
                                                      {562144, 3},
                                                      {562145, 4},
                                                      {manifest.object_bytes - 1, 4}};
  for (const auto& [offset, chunk] : bytes) {
    store_->CorruptByte(manifest.object, offset);
    EXPECT_THAT(damage(), HasSubstr(absl::StrCat("chunk ", chunk, " of 4"))) << offset;
    store_->CorruptByte(manifest.object, -1);
  }

  Manifest wrong = manifest;
  wrong.object_sha256[5] ^= 1;
  EXPECT_EQ(folder_->Verify(wrong).code(), absl::StatusCode::kDataLoss);
  wrong = manifest;
  wrong.chunks[2].sha256[5] ^= 1;
  EXPECT_THAT(std::string(folder_->Verify(wrong).message()), HasSubstr("chunk 3 of 4"));

  const std::string whole = Contents(manifest.object);
  Write(manifest.object, whole.substr(0, whole.size() - 1));
  EXPECT_THAT(damage(), HasSubstr("bytes"));
  // What is too short or too long is found without reading it.
  const int64_t read = store_->bytes_read();
  Write(manifest.object, whole + "x");
  EXPECT_THAT(damage(), HasSubstr("bytes"));
  Write(manifest.object, "");
  EXPECT_THAT(damage(), HasSubstr("bytes"));
  EXPECT_EQ(store_->bytes_read(), read);
  Write(manifest.object, whole);
  EXPECT_EQ(folder_->Verify(manifest), absl::OkStatus());

  std::filesystem::remove(PathOf(manifest.object));
  EXPECT_EQ(folder_->Verify(manifest).code(), absl::StatusCode::kNotFound);
}

TEST_F(FolderTest, VerifyDoesNotTakeABrokenConnectionForDamage) {
  const std::string id = MustPublish(7);
  const auto manifest = folder_->ReadManifest(id);
  ASSERT_TRUE(manifest.ok()) << manifest.status();
  for (const auto fault : {FaultyStore::Fault::kFails, FaultyStore::Fault::kFailsHalfway}) {
    for (const int n : {1, 2}) {
      store_->Arm(fault, n, kCut);
      EXPECT_EQ(folder_->Verify(*manifest), kCut);
      EXPECT_EQ(store_->Disarm(), 1);
    }
  }
}

TEST_F(FolderTest, KeepsAsManyAsItIsTold) {
  std::vector<std::string> ids;
  for (int i = 1; i <= 5; ++i) ids.push_back(MustPublish(i));
  EXPECT_THAT(MustApply({3, absl::InfiniteDuration()}), ElementsAre(ids[1], ids[0]));
  EXPECT_THAT(MustList(), ElementsAre(ids[4], ids[3], ids[2]));
  EXPECT_EQ(MustListByIndex(), MustList());
  EXPECT_THAT(Files(), ::testing::UnorderedElementsAre(
                           ids[4] + ".json", ids[4] + ".db.zst", ids[3] + ".json",
                           ids[3] + ".db.zst", ids[2] + ".json", ids[2] + ".db.zst", "index.json"));
  EXPECT_THAT(MustApply({3, absl::InfiniteDuration()}), IsEmpty());
  // The newest one stays whatever is said.
  EXPECT_THAT(MustApply({0, absl::InfiniteDuration()}), ElementsAre(ids[3], ids[2]));
  EXPECT_THAT(MustApply({-1, absl::InfiniteDuration()}), IsEmpty());
}

TEST_F(FolderTest, KeepsThemForAsLongAsItIsTold) {
  const std::string old = MustPublish(1, kTaken);
  const std::string edge = MustPublish(2, kTaken + absl::Hours(1));
  const std::string fresh = MustPublish(3, kTaken + absl::Hours(2));
  EXPECT_THAT(MustApply({24, absl::Hours(1)}, kTaken + absl::Hours(2)), ElementsAre(old));
  EXPECT_THAT(MustApply({24, absl::Hours(1)}, kTaken + absl::Hours(30)), ElementsAre(edge));
  EXPECT_THAT(MustApply({24, absl::Hours(1)}, kTaken + absl::Hours(300)), IsEmpty());
  EXPECT_THAT(MustList(), ElementsAre(fresh));
}

TEST_F(FolderTest, KeepsTheNewestWithAllFamiliesAndTheNewestOfAll) {
  MustPublish(1);
  const std::string all = MustPublish(2);
  for (int i = 3; i <= 6; ++i) MustPublish(i, kTaken, {"geo"});
  const std::string newest = MustPublish(7, kTaken, {"geo"});
  EXPECT_EQ(MustApply({1, absl::ZeroDuration()}, kTaken + absl::Hours(1)).size(), 5u);
  EXPECT_THAT(MustList(), ElementsAre(newest, all));
  EXPECT_THAT(MustApply({1, absl::ZeroDuration()}, kTaken + absl::Hours(1)), IsEmpty());
}

TEST_F(FolderTest, ADamagedOneIsNotTheNewestWithAllFamilies) {
  const std::string good = MustPublish(1);
  const std::string rubbish = MustPublish(2);
  const std::string torn = MustPublish(3);
  const std::string half = MustPublish(4);
  const std::string some = MustPublish(5, kTaken, {"geo"});
  Write(rubbish + ".json", "{");
  std::filesystem::remove(PathOf(torn + ".db.zst"));
  Write(half + ".db.zst", "x");
  EXPECT_THAT(MustApply({1, absl::InfiniteDuration()}), ElementsAre(half, torn, rubbish));
  EXPECT_THAT(MustList(), ElementsAre(some, good));
  EXPECT_EQ(VerifyId(good), absl::OkStatus());
}

TEST_F(FolderTest, NothingIsRemovedWhereManifestsCannotBeRead) {
  MustPublish(1);
  MustPublish(2);
  const std::vector<std::string> before = MustList();
  store_->Arm(FaultyStore::Fault::kFails, {StoreCall::kRead}, 1, kCut);
  EXPECT_EQ(folder_->ApplyRetention({1, absl::InfiniteDuration()}, kTaken).status(), kCut);
  store_->Disarm();
  EXPECT_EQ(MustList(), before);
}

TEST_F(FolderTest, ARetentionThatBreaksOffLeavesWholeSnapshotsAndIsGoneOnWith) {
  int64_t sequence = 0;
  for (const auto fault : {FaultyStore::Fault::kFails, FaultyStore::Fault::kFailsAfter}) {
    for (int64_t n = 1;; ++n) {
      for (int i = 0; i < 4; ++i) MustPublish(++sequence);
      const std::string newest = MustPublish(++sequence);
      // A process that has died does nothing more.
      store_->Arm(fault, n, kCut, /*once=*/false);
      const auto removed = folder_->ApplyRetention({2, absl::InfiniteDuration()}, kTaken);
      const bool failed = store_->Disarm() > 0;
      const std::vector<std::string> ids = MustList();
      ASSERT_FALSE(ids.empty());
      ASSERT_EQ(ids[0], newest);
      for (const std::string& id : ids) ASSERT_EQ(VerifyId(id), absl::OkStatus()) << "step " << n;
      MustApply({1, absl::InfiniteDuration()}, absl::Now() + absl::Hours(25));
      ASSERT_THAT(MustList(), ElementsAre(newest));
      ASSERT_EQ(MustListByIndex(), MustList());
      ASSERT_EQ(Files().size(), 3u);
      if (!failed) {
        ASSERT_TRUE(removed.ok());
        break;
      }
    }
  }
}

TEST_F(FolderTest, ManifestsAreRemovedBeforeTheirObjects) {
  const std::string a = MustPublish(1);
  const std::string b = MustPublish(2);
  MustPublish(3);
  const size_t begin = store_->changes().size();
  MustApply({1, absl::InfiniteDuration()});
  std::vector<std::string> changes = store_->changes();
  changes.erase(changes.begin(), changes.begin() + begin);
  EXPECT_THAT(changes,
              ElementsAre("delete " + b + ".json", "delete " + a + ".json", "put index.json",
                          "delete " + a + ".db.zst", "delete " + b + ".db.zst"));
}

TEST_F(FolderTest, ObjectsWithoutAManifestAreRemovedAfterADay) {
  const std::string newest = MustPublish(9);
  const std::string id = "00000000000000000001-20260303T000000Z-0123abc";
  const std::vector<std::string> orphans = {id + "1.db.zst", id + "2.db.gz", id + "3.db"};
  for (const std::string& name : orphans) Write(name, "x");
  Write("foreign.db.zst", "x");
  Write(".uploading-1", "x");
  // The retention's own time tells how old they are.
  EXPECT_THAT(MustApply({}, absl::Now() + absl::Hours(23)), IsEmpty());
  EXPECT_EQ(Files().size(), 8u);
  EXPECT_THAT(MustApply({}, absl::Now() + absl::Hours(25)), IsEmpty());
  EXPECT_THAT(Files(), ::testing::UnorderedElementsAre(newest + ".json", newest + ".db.zst",
                                                       "index.json", "foreign.db.zst"));
}

TEST_F(FolderTest, AnIndexThatWasOvertakenIsWrittenAgain) {
  MustPublish(1);
  const auto other_store = OpenStore();
  Folder other(other_store.get());
  const Manifest theirs = MakeSnapshot(2);
  bool done = false;
  // The other one publishes between what the first one has listed and its writing.
  store_->SetHook([&](StoreCall call, absl::string_view key) {
    if (call != StoreCall::kPut || key != "index.json" || std::exchange(done, true)) {
      return absl::OkStatus();
    }
    MakeSnapshot(2);
    return other.Publish(theirs, object_path());
  });
  const std::string ours = MustPublish(3);
  ASSERT_TRUE(done);
  EXPECT_THAT(MustList(), Contains(theirs.id));
  EXPECT_THAT(MustListByIndex(), Contains(theirs.id));
  EXPECT_EQ(MustListByIndex(), MustList());
}

TEST_F(FolderTest, SeveralSupervisorsCanUseOneFolder) {
  constexpr int kSupervisors = 3;
  constexpr int kRounds = 12;
  std::vector<std::vector<Manifest>> manifests(kSupervisors);
  for (int s = 0; s < kSupervisors; ++s) {
    for (int i = 0; i < kRounds; ++i) {
      manifests[s].push_back(MakeSnapshot(1 + i * kSupervisors + s));
      std::filesystem::rename(object_path(), absl::StrCat(root_, "/", manifests[s].back().id));
    }
  }
  std::vector<std::thread> supervisors;
  for (int s = 0; s < kSupervisors; ++s) {
    supervisors.emplace_back([&, s] {
      const auto store = OpenStore();
      Folder folder(store.get());
      for (const Manifest& manifest : manifests[s]) {
        EXPECT_EQ(folder.Publish(manifest, absl::StrCat(root_, "/", manifest.id)),
                  absl::OkStatus());
        const auto removed = folder.ApplyRetention({4, absl::InfiniteDuration()}, kTaken);
        EXPECT_TRUE(removed.ok()) << removed.status();
      }
    });
  }
  for (std::thread& supervisor : supervisors) supervisor.join();
  const std::vector<std::string> ids = MustList();
  EXPECT_GE(ids.size(), 4u);
  EXPECT_THAT(ids, Contains(manifests[kSupervisors - 1].back().id));
  for (const std::string& id : ids) EXPECT_EQ(VerifyId(id), absl::OkStatus());
  EXPECT_EQ(MustListByIndex(), ids);
  EXPECT_EQ(Files().size(), 2 * ids.size() + 1);
}

}  // namespace
}  // namespace ctlstore::snapshot
