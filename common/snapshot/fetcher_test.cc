#include "common/snapshot/fetcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <random>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "common/base/digest.h"
#include "common/schema/errors.h"
#include "common/snapshot/fetch_test_util.h"
#include "common/snapshot/folder.h"

namespace ctlstore::snapshot {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const absl::Status kAway = absl::UnavailableError("away");

class FetcherTest : public FetchTest {
 protected:
  // Changes a byte in the middle of the object.
  void Damage(const std::string& place, const TestSnapshot& snapshot) {
    const std::string path = ObjectIn(place, snapshot);
    std::string bytes = ReadBytes(path);
    bytes[bytes.size() / 2] ^= 1;
    WriteBytes(path, bytes);
  }
};

TEST_F(FetcherTest, TheNewestOfAllPlacesIsFetched) {
  const TestSnapshot old = Take(100), middle = Take(200), newest = Take(300);
  Publish("a", old);
  Publish("a", middle);
  Publish("b", newest);
  const absl::StatusOr<FetchedSnapshot> fetched = Fetch({"a", "b", "nothing"});
  ExpectFetched(fetched, newest);
  EXPECT_EQ(fetched->id, newest.manifest.id);
  EXPECT_EQ(fetched->url, LocationOf("b").ToString());
  EXPECT_EQ(fetched->taken_at, newest.manifest.taken_at);
  // Of the other ones not even the manifests were read.
  EXPECT_EQ(store("a").bytes_read(), 0);
}

TEST_F(FetcherTest, OfOneSequenceTheLastTakenIsTheNewest) {
  TakeOptions options;
  const TestSnapshot old = Take(options);
  options.taken_at += absl::Seconds(1);
  const TestSnapshot newest = Take(options);
  Publish("a", newest);
  Publish("b", old);
  const absl::StatusOr<FetchedSnapshot> fetched = Fetch({"b", "a"});
  ExpectFetched(fetched, newest);
  EXPECT_EQ(fetched->id, newest.manifest.id);
}

TEST_F(FetcherTest, EachCompressionIsRead) {
  for (const Compression compression :
       {Compression::kNone, Compression::kZstd, Compression::kGzip}) {
    for (const int64_t chunk_bytes : {1000, 4096, 1 << 20}) {
      TakeOptions options;
      options.compression = compression;
      options.chunk_bytes = chunk_bytes;
      const TestSnapshot snapshot = Take(options);
      const std::string place = absl::StrCat(CompressionName(compression), chunk_bytes);
      Publish(place, snapshot);
      for (const int ranges : {1, 3, 16}) {
        options_.parallel_ranges = ranges;
        ExpectFetched(Fetch({place}), snapshot);
      }
    }
  }
}

TEST_F(FetcherTest, FromAStoreThatCannotListTheIndexIsTaken) {
  const TestSnapshot old = Take(100), newest = Take(200);
  Publish("a", old);
  Publish("a", newest);
  configure_ = [](const std::string&, FaultyStore* store) { store->SetCannotList(true); };
  ExpectFetched(Fetch({"a"}), newest);
}

TEST_F(FetcherTest, ADamagedOneIsGoneOverForAnOlderOne) {
  const TestSnapshot old = Take(100), newest = Take(200);
  const std::vector<std::pair<const char*, std::function<void()>>> faults = {
      {"another byte", [&] { Damage("a", newest); }},
      {"cut off",
       [&] {
         std::filesystem::resize_file(ObjectIn("a", newest), newest.manifest.object_bytes - 1);
       }},
      {"longer",
       [&] {
         std::filesystem::resize_file(ObjectIn("a", newest), newest.manifest.object_bytes + 1);
       }},
      {"empty", [&] { std::filesystem::resize_file(ObjectIn("a", newest), 0); }},
      {"no object", [&] { std::filesystem::remove(ObjectIn("a", newest)); }},
      {"no manifest", [&] { std::filesystem::remove(PathIn("a", newest.manifest.id + ".json")); }},
      {"an empty manifest", [&] { WriteBytes(PathIn("a", newest.manifest.id + ".json"), ""); }},
      {"rubbish for a manifest",
       [&] { WriteBytes(PathIn("a", newest.manifest.id + ".json"), "{\"format\": 1, "); }},
      {"the manifest of another one",
       [&] {
         WriteBytes(PathIn("a", newest.manifest.id + ".json"),
                    ReadBytes(PathIn("a", old.manifest.id + ".json")));
       }},
  };
  for (const auto& [what, fault] : faults) {
    SCOPED_TRACE(what);
    Publish("a", old);
    Publish("a", newest);
    fault();
    ExpectFetched(Fetch({"a"}), old);
    std::filesystem::remove_all(root_.Path("a"));
  }
}

TEST_F(FetcherTest, AManifestThatSaysSomethingElseThanTheFileIsNotBelieved) {
  const TestSnapshot snapshot = Take(200);
  const std::vector<std::pair<const char*, std::function<void(Manifest*)>>> lies = {
      {"another entry's digest", [](Manifest* m) { m->position.digest[3] ^= 1; }},
      {"no digest", [](Manifest* m) { m->position.digest.clear(); }},
      {"families", [](Manifest* m) { m->families = {"fam"}; }},
      {"the sequence",
       [](Manifest* m) {
         ++m->position.sequence;
         m->id = NewSnapshotId(m->position.sequence, m->taken_at);
         m->object = SnapshotObjectName(m->id, m->compression);
       }},
      {"a chunk less",
       [](Manifest* m) {
         m->object_bytes -= m->chunks.back().object_bytes;
         m->file_bytes -= m->chunks.back().file_bytes;
         m->chunks.pop_back();
       }},
      {"another chunk's size",
       [](Manifest* m) {
         m->chunks[0].file_bytes -= 1;
         m->chunks[1].file_bytes += 1;
       }},
      {"chunks in another order", [](Manifest* m) { std::swap(m->chunks[1], m->chunks[2]); }},
  };
  for (const auto& [what, lie] : lies) {
    SCOPED_TRACE(what);
    TestSnapshot lying = snapshot;
    lie(&lying.manifest);
    lying.object_path = root_.Path("object");
    WriteBytes(lying.object_path,
               ReadBytes(snapshot.object_path).substr(0, lying.manifest.object_bytes));
    Publish("a", lying);
    options_.families = lying.manifest.families;
    const absl::StatusOr<FetchedSnapshot> fetched = Fetch({"a"});
    EXPECT_TRUE(HasReason(fetched.status(), reason::kSnapshotDamaged)) << fetched.status();
    EXPECT_TRUE(absl::IsDataLoss(fetched.status())) << fetched.status();
    ExpectNoFile();
    std::filesystem::remove_all(root_.Path("a"));
  }
}

TEST_F(FetcherTest, WhatIsNoLocalDatabaseIsNotTakenForOne) {
  // Its digests are right: so it was put there.
  TestSnapshot snapshot = Take(200);
  const std::string good = ReadBytes(snapshot.file_path);
  std::string torn = good;
  // The second half of the pages of the table.
  std::fill(torn.begin() + static_cast<int64_t>(torn.size() / 8192 * 4096), torn.end(), 'x');
  WriteBytes(root_.Path("empty.db"), "");
  for (const std::string& contents : {std::string(8192, 'x'), torn, good.substr(0, 4096)}) {
    WriteBytes(snapshot.object_path, contents);
    Manifest& manifest = snapshot.manifest;
    manifest.compression = Compression::kNone;
    manifest.object = SnapshotObjectName(manifest.id, Compression::kNone);
    manifest.object_bytes = manifest.file_bytes = static_cast<int64_t>(contents.size());
    manifest.chunks = {{manifest.object_bytes, manifest.file_bytes, Sha256(contents)}};
    manifest.object_sha256 = Sha256(contents);
    Publish("a", snapshot);
    const absl::StatusOr<FetchedSnapshot> fetched = Fetch({"a"});
    EXPECT_TRUE(HasReason(fetched.status(), reason::kSnapshotDamaged)) << fetched.status();
    EXPECT_THAT(FilesInTarget(), ElementsAre());
  }
}

TEST_F(FetcherTest, WhereOnePlaceFailsTheSameOneIsFetchedFromAnother) {
  const TestSnapshot snapshot = Take(300);
  Publish("a", snapshot);
  Publish("b", snapshot);
  Damage("a", snapshot);
  const absl::StatusOr<FetchedSnapshot> fetched = Fetch({"a", "b"});
  ExpectFetched(fetched, snapshot);
  EXPECT_EQ(fetched->url, LocationOf("b").ToString());
  // What was right in the first place was not fetched again. (The manifests are read too.)
  const int64_t manifest_bytes =
      static_cast<int64_t>(ReadBytes(PathIn("a", snapshot.manifest.id + ".json")).size());
  EXPECT_LT(store("b").bytes_read() - manifest_bytes, snapshot.manifest.object_bytes * 3 / 4);
}

TEST_F(FetcherTest, APlaceThatDoesNotAnswerIsGoneOver) {
  const TestSnapshot snapshot = Take(100);
  Publish("a", snapshot);
  Publish("b", snapshot);
  for (const StoreCall call : {StoreCall::kList, StoreCall::kStat, StoreCall::kRead}) {
    configure_ = [call](const std::string& place, FaultyStore* store) {
      if (place == "a") store->Arm(FaultyStore::Fault::kFails, {call}, 1, kAway, /*once=*/false);
    };
    ExpectFetched(Fetch({"a", "b"}), snapshot);
  }
}

TEST_F(FetcherTest, ErrorsTellWhyNoneWasFetched) {
  const TestSnapshot snapshot = Take(100);
  Publish("good", snapshot);
  Publish("damaged", snapshot);
  Damage("damaged", snapshot);

  EXPECT_TRUE(HasReason(Fetch({}).status(), reason::kSnapshotNotFound));
  absl::Status status = Fetch({"nothing"}).status();
  EXPECT_TRUE(absl::IsNotFound(status)) << status;
  EXPECT_TRUE(HasReason(status, reason::kSnapshotNotFound)) << status;

  options_.above_sequence = snapshot.manifest.position.sequence;
  status = Fetch({"good"}).status();
  EXPECT_TRUE(HasReason(status, reason::kSnapshotNotFound)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("101"));
  options_.above_sequence = -1;

  status = Fetch({"damaged", "nothing"}).status();
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  EXPECT_TRUE(HasReason(status, reason::kSnapshotDamaged)) << status;

  configure_ = [](const std::string& place, FaultyStore* store) {
    if (place == "good") store->Arm(FaultyStore::Fault::kFails, 1, kAway, /*once=*/false);
  };
  status = Fetch({"damaged", "good"}).status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("away"));
  ExpectNoFile();
}

TEST_F(FetcherTest, OnlySnapshotsWithTheFamiliesThatAreWantedFit) {
  TakeOptions options;
  options.rows = 100;
  const TestSnapshot all = Take(options);
  options.rows = 200;
  options.families = {"fam", "other"};
  const TestSnapshot two = Take(options);
  options.rows = 300;
  options.families = {"fam"};
  const TestSnapshot one = Take(options);
  for (const TestSnapshot* snapshot : {&all, &two, &one}) Publish("a", *snapshot);

  ExpectFetched(Fetch({"a"}), all);
  options_.families = {"fam"};
  ExpectFetched(Fetch({"a"}), one);
  options_.families = {"other"};
  ExpectFetched(Fetch({"a"}), two);
  options_.families = {"other", "fam"};
  ExpectFetched(Fetch({"a"}), two);
  options_.families = {"another"};
  ExpectFetched(Fetch({"a"}), all);

  options_.families.clear();
  options_.above_sequence = all.manifest.position.sequence;
  EXPECT_TRUE(HasReason(Fetch({"a"}).status(), reason::kSnapshotNotFound));
}

TEST_F(FetcherTest, WhatIsExcludedIsGoneOverWhereverItIs) {
  const TestSnapshot old = Take(100), newest = Take(200);
  for (const char* place : {"a", "b"}) {
    Publish(place, old);
    Publish(place, newest);
  }
  absl::StatusOr<FetchedSnapshot> fetched = Fetch({"a", "b"});
  ExpectFetched(fetched, newest);
  options_.excluded.insert(fetched->key);
  fetched = Fetch({"a", "b"});
  ExpectFetched(fetched, old);
  options_.excluded.insert(fetched->key);
  EXPECT_TRUE(HasReason(Fetch({"a", "b"}).status(), reason::kSnapshotNotFound));
}

TEST_F(FetcherTest, TheCallerIsAskedOnceAboutEachBeforeItIsFetched) {
  const TestSnapshot old = Take(100), newest = Take(200);
  for (const char* place : {"a", "b"}) {
    Publish(place, old);
    Publish(place, newest);
  }
  std::vector<int64_t> asked;
  options_.accept = [&](const LedgerPosition& position) {
    asked.push_back(position.sequence);
    return position.sequence > 150 ? absl::InternalError("another ledger") : absl::OkStatus();
  };
  ExpectFetched(Fetch({"a", "b"}), old);
  EXPECT_THAT(asked, ElementsAre(201, 101));
  options_.accept = [&](const LedgerPosition&) { return absl::InternalError("another ledger"); };
  const absl::Status status = Fetch({"a"}).status();
  EXPECT_TRUE(HasReason(status, reason::kSnapshotNotFound)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("another ledger"));
}

TEST_F(FetcherTest, OneIsFetchedByItsId) {
  TakeOptions options;
  options.families = {"fam"};
  const TestSnapshot old = Take(options), newest = Take(400);
  Publish("a", old);
  Publish("a", newest);
  options_.above_sequence = 1000;
  ExpectFetched(FetchById(LocationOf("a"), old.manifest.id, target(), options_), old);

  absl::Status status = FetchById(LocationOf("b"), old.manifest.id, target(), options_).status();
  EXPECT_TRUE(HasReason(status, reason::kSnapshotNotFound)) << status;
  EXPECT_TRUE(
      absl::IsInvalidArgument(FetchById(LocationOf("a"), "../x", target(), options_).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(
      FetchById(LocationOf("a/x.db"), old.manifest.id, target(), options_).status()));
}

TEST_F(FetcherTest, TheNextCallGoesOnWithWhatIsThere) {
  TakeOptions options;
  options.rows = 2000;
  const TestSnapshot snapshot = Take(options);
  Publish("a", snapshot);
  options_.parallel_ranges = 1;
  configure_ = [](const std::string&, FaultyStore* store) {
    // The manifest is the first one that is read.
    store->Arm(FaultyStore::Fault::kFails, {StoreCall::kRead}, 5, kAway, /*once=*/false);
  };
  EXPECT_TRUE(absl::IsUnavailable(Fetch({"a"}).status()));
  ExpectNoFile();
  const int64_t before = bytes_read();
  configure_ = nullptr;
  int64_t first_bytes_done = -1;
  options_.on_progress = [&](const FetchProgress& progress) {
    if (progress.stage == FetchProgress::Stage::kFetching && first_bytes_done < 0) {
      first_bytes_done = progress.bytes_done;
    }
  };
  ExpectFetched(Fetch({"a"}), snapshot);
  const int64_t manifest_bytes =
      static_cast<int64_t>(ReadBytes(PathIn("a", snapshot.manifest.id + ".json")).size());
  EXPECT_EQ(before - manifest_bytes + bytes_read() - manifest_bytes,
            snapshot.manifest.object_bytes);
  EXPECT_GT(bytes_read(), manifest_bytes);
  EXPECT_EQ(first_bytes_done, before - manifest_bytes);
}

TEST_F(FetcherTest, WhatIsThereOfAnotherSnapshotIsOfNoUse) {
  TakeOptions options;
  options.rows = 1000;
  const TestSnapshot other = Take(options);
  options.seed = 1000000;
  const TestSnapshot snapshot = Take(options);
  // SQLite would see nothing of a mixture.
  ASSERT_EQ(other.manifest.file_bytes, snapshot.manifest.file_bytes);
  Publish("a", other);
  options_.parallel_ranges = 1;
  configure_ = [](const std::string&, FaultyStore* store) {
    store->Arm(FaultyStore::Fault::kFails, {StoreCall::kRead}, 4, kAway, /*once=*/false);
  };
  EXPECT_TRUE(absl::IsUnavailable(Fetch({"a"}).status()));
  const std::string notes = ReadBytes(target() + "/progress");
  EXPECT_GT(std::count(notes.begin(), notes.end(), '\n'), 2);
  configure_ = nullptr;
  Publish("b", snapshot);
  int64_t first_bytes_done = -1;
  options_.on_progress = [&](const FetchProgress& progress) {
    if (progress.stage == FetchProgress::Stage::kFetching && first_bytes_done < 0) {
      first_bytes_done = progress.bytes_done;
    }
  };
  ExpectFetched(Fetch({"b"}), snapshot);
  EXPECT_EQ(first_bytes_done, 0);
}

TEST_F(FetcherTest, AByteThatOnlyTheDigestTellsIsFetchedOnceMore) {
  TakeOptions options;
  options.compression = Compression::kNone;
  options.chunk_bytes = 1 << 20;
  const TestSnapshot snapshot = Take(options);
  ASSERT_EQ(snapshot.manifest.chunks.size(), 1u);
  Publish("a", snapshot);
  // In a row's value.
  const int64_t at = static_cast<int64_t>(ReadBytes(snapshot.object_path).rfind('a'));
  int wrong_reads = 1, reads = 0;
  configure_ = [&](const std::string&, FaultyStore* store) {
    store->CorruptByte(snapshot.manifest.object, at);
    store->SetHook([&, store](StoreCall call, absl::string_view key) {
      if (call == StoreCall::kRead && key == snapshot.manifest.object && reads++ == wrong_reads) {
        store->CorruptByte(snapshot.manifest.object, -1);
      }
      return absl::OkStatus();
    });
  };
  ExpectFetched(Fetch({"a"}), snapshot);
  EXPECT_EQ(reads, 2);
  wrong_reads = 2;
  reads = 0;
  const absl::Status status = Fetch({"a"}).status();
  EXPECT_TRUE(HasReason(status, reason::kSnapshotDamaged)) << status;
  EXPECT_EQ(reads, 2);
  ExpectNoFile();
}

TEST_F(FetcherTest, NotesThatAreNotRightDoNotMakeAWrongFile) {
  TakeOptions options;
  options.rows = 1000;
  const TestSnapshot snapshot = Take(options);
  Publish("a", snapshot);
  std::mt19937 random(1);
  const std::string notes = target() + "/progress", partial = target() + "/ldb.db.partial";
  for (int i = 0; i < 60; ++i) {
    configure_ = [](const std::string&, FaultyStore* store) {
      store->Arm(FaultyStore::Fault::kFails, {StoreCall::kRead}, 4, kAway, /*once=*/false);
    };
    options_.parallel_ranges = 1;
    ASSERT_TRUE(absl::IsUnavailable(Fetch({"a"}).status()));
    configure_ = nullptr;
    std::string text = ReadBytes(notes);
    ASSERT_FALSE(text.empty());
    switch (i % 6) {
      case 0:  // Cut off.
        text.resize(random() % text.size());
        break;
      case 1:  // Rubbish at the end.
        for (int j = 0; j < 10; ++j) text.push_back(static_cast<char>(random()));
        break;
      case 2:  // What the file system has put there for what it has lost.
        text.append(random() % 100, '\0');
        break;
      case 3:
        text.append("99999999\n-1\n 1\n");
        break;
      case 4:
        text[random() % (text.find('\n') + 1)] ^= 1;
        break;
      case 5:
        std::filesystem::resize_file(partial, random() % snapshot.manifest.file_bytes);
        break;
    }
    WriteBytes(notes, text);
    ExpectFetched(Fetch({"a"}), snapshot);
  }
}

TEST_F(FetcherTest, ADamagedPartIsFetchedAnew) {
  TakeOptions options;
  options.rows = 1000;
  const TestSnapshot snapshot = Take(options);
  Publish("a", snapshot);
  options_.parallel_ranges = 1;
  configure_ = [](const std::string&, FaultyStore* store) {
    store->Arm(FaultyStore::Fault::kFails, {StoreCall::kRead}, 6, kAway, /*once=*/false);
  };
  ASSERT_TRUE(absl::IsUnavailable(Fetch({"a"}).status()));
  configure_ = nullptr;
  // The disk has lost what it had.
  const std::string partial = target() + "/ldb.db.partial";
  WriteBytes(partial, std::string(std::filesystem::file_size(partial), '\0'));
  ExpectFetched(Fetch({"a"}), snapshot);
}

TEST_F(FetcherTest, WhatWasNotTakenAwayIsReplaced) {
  const TestSnapshot snapshot = Take(100);
  Publish("a", snapshot);
  std::filesystem::create_directories(target());
  for (const char* name : {"ldb.db", "ldb.db.partial", "ldb.db.partial-wal", "progress"}) {
    WriteBytes(absl::StrCat(target(), "/", name), "something else");
  }
  ExpectFetched(Fetch({"a"}), snapshot);
}

TEST_F(FetcherTest, TwoDoNotFetchIntoOneFolder) {
  const TestSnapshot snapshot = Take(100);
  Publish("a", snapshot);
  absl::Status second;
  configure_ = [&](const std::string&, FaultyStore* store) {
    store->SetHook([&](StoreCall call, absl::string_view) {
      if (call == StoreCall::kStat) {
        second = FetchNewest({LocationOf("a")}, target(), FetchOptions()).status();
      }
      return absl::OkStatus();
    });
  };
  ExpectFetched(Fetch({"a"}), snapshot);
  EXPECT_TRUE(absl::IsUnavailable(second)) << second;
}

TEST_F(FetcherTest, RoomIsLeftOnTheDisk) {
  Publish("a", Take(100));
  options_.min_free_bytes = int64_t{1} << 60;
  const absl::Status status = Fetch({"a"}).status();
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(absl::StrCat(int64_t{1} << 60)));
  EXPECT_THAT(FilesInTarget(), ElementsAre());
}

TEST_F(FetcherTest, AFetchIsCancelledWhateverItIsDoing) {
  TakeOptions options;
  options.rows = 1000;
  const TestSnapshot snapshot = Take(options);
  Publish("a", snapshot);
  std::atomic<bool> cancelled{false};
  options_.cancelled = [&] { return cancelled.load(); };
  cancelled = true;
  EXPECT_TRUE(absl::IsCancelled(Fetch({"a"}).status()));
  for (const StoreCall call : {StoreCall::kList, StoreCall::kStat, StoreCall::kRead}) {
    for (const int countdown : {1, 2, 4}) {
      cancelled = false;
      std::atomic<int> calls{0};
      configure_ = [&](const std::string&, FaultyStore* store) {
        store->SetHook([&, store](StoreCall made, absl::string_view) {
          if (made != call || ++calls != countdown) return absl::OkStatus();
          cancelled = true;
          // As a call does that has to wait for its server.
          while (store->base()->Stat("x").status().code() != absl::StatusCode::kCancelled) {
            std::this_thread::yield();
          }
          return absl::OkStatus();
        });
      };
      const absl::StatusOr<FetchedSnapshot> fetched = Fetch({"a"});
      if (calls < countdown) {
        ExpectFetched(fetched, snapshot);
      } else {
        EXPECT_TRUE(absl::IsCancelled(fetched.status())) << fetched.status();
        ExpectNoFile();
      }
    }
  }
  cancelled = false;
  configure_ = nullptr;
  // While it is checked.
  options_.on_progress = [&](const FetchProgress& progress) {
    if (progress.stage == FetchProgress::Stage::kChecking) cancelled = true;
  };
  options_.cancelled = [&] { return cancelled.load(); };
  const absl::StatusOr<FetchedSnapshot> fetched = Fetch({"a"});
  EXPECT_TRUE(fetched.ok() || absl::IsCancelled(fetched.status())) << fetched.status();
  options_.on_progress = nullptr;
  cancelled = false;
  ExpectFetched(Fetch({"a"}), snapshot);
}

TEST_F(FetcherTest, ProgressGoesForward) {
  TakeOptions options;
  options.rows = 2000;
  const TestSnapshot snapshot = Take(options);
  Publish("a", snapshot);
  Publish("b", snapshot);
  Damage("a", snapshot);
  std::vector<FetchProgress> all;
  std::atomic<int> at_once{0};
  options_.on_progress = [&](const FetchProgress& progress) {
    EXPECT_EQ(++at_once, 1);
    all.push_back(progress);
    --at_once;
  };
  ExpectFetched(Fetch({"a", "b"}), snapshot);
  ASSERT_FALSE(all.empty());
  EXPECT_EQ(all.front().stage, FetchProgress::Stage::kLooking);
  EXPECT_EQ(all.back().stage, FetchProgress::Stage::kChecking);
  EXPECT_EQ(all.back().url, LocationOf("b").ToString());
  EXPECT_EQ(all.back().id, snapshot.manifest.id);
  EXPECT_EQ(all.back().sequence, snapshot.manifest.position.sequence);
  EXPECT_EQ(all.back().bytes_total, snapshot.manifest.object_bytes);
  EXPECT_EQ(all.back().bytes_done, snapshot.manifest.object_bytes);
  for (size_t i = 1; i < all.size(); ++i) {
    EXPECT_LE(all[i].bytes_done, all[i].bytes_total);
    if (all[i].url == all[i - 1].url && all[i].id == all[i - 1].id) {
      EXPECT_GE(all[i].bytes_done, all[i - 1].bytes_done);
    }
  }
}

}  // namespace
}  // namespace ctlstore::snapshot
