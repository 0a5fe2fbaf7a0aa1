// Fetches of single objects, as the Go ctlstore has them.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/base/digest.h"
#include "common/object_store/file_store.h"
#include "common/schema/errors.h"
#include "common/snapshot/fetch_test_util.h"
#include "common/snapshot/fetcher.h"
#include "common/snapshot/single_object.h"
#include "common/sqlite/database.h"

namespace ctlstore::snapshot {
namespace {

using object_store::FileStore;
using object_store::ObjectStore;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string Sha1(const std::string& bytes) {
  Digest digest(Digest::Kind::kSha1);
  digest.Add(bytes);
  return digest.Finish();
}

class FetcherObjectTest : public FetchTest {
 protected:
  static void Run(const std::string& command) { ASSERT_EQ(system(command.c_str()), 0) << command; }

  // `key` is "place/name".
  void Put(const std::string& key, const std::string& path,
           const absl::optional<std::string>& sha1 = absl::nullopt) {
    const Location location = LocationOf(key);
    FileStore store(location.store);
    ObjectStore::PutOptions options;
    if (sha1.has_value()) options.metadata[kChecksumMetadata] = absl::Base64Escape(*sha1);
    ASSERT_EQ(store.PutFile(location.key, path, options), absl::OkStatus());
  }

  // A local database as a Go reflector has it: it knows its sequence and nothing else.
  std::string MakeGoFile(int64_t sequence) {
    const std::string path = root_.Path(absl::StrCat("go", sequence, ".db"));
    std::unique_ptr<sqlite::Database> database = ldb::OpenPlain(path, /*read_only=*/false);
    EXPECT_EQ(
        database->Execute(absl::StrCat(
            "PRAGMA journal_mode = WAL; CREATE TABLE _ldb_seq (id INTEGER PRIMARY KEY NOT NULL, "
            "seq BIGINT NOT NULL); INSERT INTO _ldb_seq VALUES (1, ",
            sequence,
            "); CREATE TABLE _ldb_last_update (name STRING PRIMARY KEY NOT NULL, timestamp "
            "DATETIME NOT NULL); CREATE TABLE fam___data (k VARCHAR(191), v TEXT, PRIMARY KEY(k));"
            "INSERT INTO fam___data VALUES ('a', 'b'), ('c', 'd');"
            "PRAGMA wal_checkpoint(TRUNCATE);")),
        absl::OkStatus());
    return path;
  }
};

TEST_F(FetcherObjectTest, WhatPlainToolsHavePackedIsRead) {
  const TestSnapshot snapshot = Take(1000);
  const std::string packed = root_.Path("packed");
  const std::string sha1 = Sha1(ReadBytes(snapshot.file_path));
  Run(absl::StrCat("gzip -c ", snapshot.file_path, " > ", packed));
  for (const absl::optional<std::string>& checksum :
       {absl::optional<std::string>(sha1), absl::optional<std::string>()}) {
    Put("a/snapshot.db.gz", packed, checksum);
    absl::StatusOr<FetchedSnapshot> fetched = Fetch({"a/snapshot.db.gz"});
    ExpectFetched(fetched, snapshot);
    EXPECT_EQ(fetched->id, "snapshot.db.gz");
    EXPECT_EQ(fetched->url, LocationOf("a/snapshot.db.gz").ToString());
    Put("a/snapshot.db", snapshot.file_path, checksum);
    ExpectFetched(Fetch({"a/snapshot.db"}), snapshot);
  }
  // Two members, one after the other.
  Run(absl::StrCat("(head -c 5000 ", snapshot.file_path, " | gzip -c; tail -c +5001 ",
                   snapshot.file_path, " | gzip -1 -c) > ", packed));
  Put("a/snapshot.db.gz", packed, sha1);
  ExpectFetched(Fetch({"a/snapshot.db.gz"}), snapshot);
}

TEST_F(FetcherObjectTest, AGoReflectorsFileIsTaken) {
  Put("a/go.db", MakeGoFile(42));
  const absl::StatusOr<FetchedSnapshot> fetched = Fetch({"a/go.db"});
  ASSERT_TRUE(fetched.ok()) << fetched.status();
  EXPECT_EQ(fetched->position, (LedgerPosition{42, ""}));
  EXPECT_THAT(fetched->families, ElementsAre());
  EXPECT_THAT(FilesInTarget(), ElementsAre("ldb.db"));
}

TEST_F(FetcherObjectTest, WhatIsDamagedIsNotTaken) {
  const TestSnapshot snapshot = Take(1000);
  const std::string good = ReadBytes(snapshot.file_path);
  const std::string sha1 = Sha1(good);
  const std::string packed = root_.Path("packed"), other = root_.Path("other");
  Run(absl::StrCat("gzip -c ", snapshot.file_path, " > ", packed));
  const std::string gz = ReadBytes(packed);
  std::string changed = gz;
  changed[changed.size() / 2] ^= 1;
  std::string without_pages = good;
  std::fill(without_pages.end() - 8192, without_pages.end(), 'x');
  const std::string no_ldb = root_.Path("no_ldb.db");
  ASSERT_EQ(ldb::OpenPlain(no_ldb, false)->Execute("CREATE TABLE t (a); INSERT INTO t VALUES (1)"),
            absl::OkStatus());
  struct Case {
    const char* what;
    std::string key;
    std::string bytes;
    absl::optional<std::string> checksum;
  };
  for (const Case& c : std::vector<Case>{
           {"another checksum", "a/x.db.gz", gz, Sha1("x")},
           {"another checksum of a plain one", "a/x.db", good, Sha1("x")},
           {"no checksum", "a/x.db", good, "x"},
           {"a changed byte", "a/x.db.gz", changed, absl::nullopt},
           {"cut off", "a/x.db.gz", gz.substr(0, gz.size() - 4), absl::nullopt},
           {"something behind it", "a/x.db.gz", gz + "rubbish", absl::nullopt},
           {"empty", "a/x.db.gz", "", absl::nullopt},
           {"a plain empty one", "a/x.db", "", absl::nullopt},
           {"not packed", "a/x.db.gz", good, absl::nullopt},
           {"packed", "a/x.db", gz, absl::nullopt},
           {"a plain one cut off", "a/x.db", good.substr(0, good.size() - 4096), absl::nullopt},
           {"pages that are none", "a/x.db", without_pages, absl::nullopt},
           {"another database", "a/x.db", ReadBytes(no_ldb), absl::nullopt},
           {"without a position", "a/x.db", ReadBytes(MakeGoFile(0)), absl::nullopt},
       }) {
    SCOPED_TRACE(c.what);
    WriteBytes(other, c.bytes);
    Put(c.key, other, c.checksum);
    const absl::Status status = Fetch({c.key}).status();
    EXPECT_TRUE(absl::IsDataLoss(status)) << status;
    EXPECT_TRUE(HasReason(status, reason::kSnapshotDamaged)) << status;
    EXPECT_THAT(FilesInTarget(), ElementsAre());
  }
}

TEST_F(FetcherObjectTest, FoldersComeFirstAndThenObjectsInTheirOrder) {
  const TestSnapshot old = Take(100), first = Take(200), second = Take(300);
  Publish("folder", old);
  Put("a/1.db", first.file_path);
  Put("b/2.db", second.file_path);
  const std::vector<std::string> places = {"a/1.db", "b/2.db", "folder"};
  ExpectFetched(Fetch(places), old);
  std::filesystem::remove_all(root_.Path("folder"));
  ExpectFetched(Fetch(places), first);
  WriteBytes(PathIn("a", "1.db"), "rubbish");
  ExpectFetched(Fetch(places), second);
  std::filesystem::remove_all(root_.Path("a"));
  ExpectFetched(Fetch(places), second);
  std::filesystem::remove_all(root_.Path("b"));
  const absl::Status status = Fetch(places).status();
  EXPECT_TRUE(HasReason(status, reason::kSnapshotNotFound)) << status;
}

TEST_F(FetcherObjectTest, WhatDoesNotFitIsGoneOver) {
  TakeOptions options;
  options.families = {"fam"};
  const TestSnapshot snapshot = Take(options);
  Put("a/x.db", snapshot.file_path);
  absl::Status status = Fetch({"a/x.db"}).status();
  EXPECT_TRUE(HasReason(status, reason::kSnapshotNotFound)) << status;
  EXPECT_THAT(FilesInTarget(), ElementsAre());
  options_.families = {"fam"};
  absl::StatusOr<FetchedSnapshot> fetched = Fetch({"a/x.db"});
  ExpectFetched(fetched, snapshot);

  options_.above_sequence = snapshot.manifest.position.sequence - 1;
  ExpectFetched(Fetch({"a/x.db"}), snapshot);
  ++options_.above_sequence;
  status = Fetch({"a/x.db"}).status();
  EXPECT_TRUE(HasReason(status, reason::kSnapshotNotFound)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("301"));
  EXPECT_THAT(FilesInTarget(), ElementsAre());
  options_.above_sequence = -1;

  // This version; another one fits.
  options_.excluded.insert(fetched->key);
  status = Fetch({"a/x.db"}).status();
  EXPECT_TRUE(HasReason(status, reason::kSnapshotNotFound)) << status;
  EXPECT_EQ(bytes_read(), 0);
  Put("a/x.db", snapshot.file_path);
  ExpectFetched(Fetch({"a/x.db"}), snapshot);
}

TEST_F(FetcherObjectTest, OneThatIsReplacedMeanwhileIsFetchedAnew) {
  const TestSnapshot old = Take(1000), newest = Take(1001);
  Put("a/x.db", old.file_path);
  int reads = 0, replaced = 1;
  configure_ = [&](const std::string&, FaultyStore* store) {
    store->SetHook([&](StoreCall call, absl::string_view) {
      if (call == StoreCall::kRead && ++reads <= replaced) Put("a/x.db", newest.file_path);
      return absl::OkStatus();
    });
  };
  ExpectFetched(Fetch({"a/x.db"}), newest);
  EXPECT_EQ(reads, 2);
  // But not for ever.
  replaced = 1000;
  const absl::Status status = Fetch({"a/x.db"}).status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_THAT(FilesInTarget(), ElementsAre());
}

TEST_F(FetcherObjectTest, AFaultAtAnyCallLeavesNothingBehind) {
  const TestSnapshot snapshot = Take(1000);
  Put("a/x.db", snapshot.file_path);
  for (const FaultyStore::Fault fault :
       {FaultyStore::Fault::kFails, FaultyStore::Fault::kFailsAfter,
        FaultyStore::Fault::kFailsHalfway}) {
    for (int countdown = 1;; ++countdown) {
      configure_ = [&](const std::string&, FaultyStore* store) {
        store->Arm(fault, countdown, absl::UnavailableError("away"), /*once=*/false);
      };
      const absl::StatusOr<FetchedSnapshot> fetched = Fetch({"a/x.db"});
      if (store("a").Disarm() == 0) {
        ExpectFetched(fetched, snapshot);
        break;
      }
      EXPECT_TRUE(absl::IsUnavailable(fetched.status())) << fetched.status();
      EXPECT_THAT(FilesInTarget(), ElementsAre());
    }
  }
}

TEST_F(FetcherObjectTest, ItIsCancelledOnTheWay) {
  const TestSnapshot snapshot = Take(1000);
  Put("a/x.db", snapshot.file_path);
  std::atomic<bool> cancelled{false};
  options_.cancelled = [&] { return cancelled.load(); };
  configure_ = [&](const std::string&, FaultyStore* store) {
    store->SetHook([&, store](StoreCall call, absl::string_view) {
      if (call != StoreCall::kRead) return absl::OkStatus();
      cancelled = true;
      while (!absl::IsCancelled(store->base()->Stat("x").status())) std::this_thread::yield();
      return absl::OkStatus();
    });
  };
  const absl::Status status = Fetch({"a/x.db"}).status();
  EXPECT_TRUE(absl::IsCancelled(status)) << status;
  EXPECT_THAT(FilesInTarget(), ElementsAre());
}

}  // namespace
}  // namespace ctlstore::snapshot
