// Fetches that are torn: what is there afterwards is never wrong, and the next one goes on with it.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <random>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/digest.h"
#include "common/object_store/file_store.h"
#include "common/schema/errors.h"
#include "common/snapshot/fetch_test_util.h"
#include "common/snapshot/fetcher.h"
#include "common/snapshot/folder.h"
#include "common/sqlite/database.h"

namespace ctlstore::snapshot {
namespace {

using object_store::FileStore;
using object_store::ObjectStore;
using ::testing::ElementsAre;

const absl::Status kAway = absl::UnavailableError("away");

class FetcherFaultsTest : public FetchTest {
 protected:
  // What was read of objects since the last call: all but the manifests.
  int64_t TakeObjectBytes(const TestSnapshot& snapshot) {
    const int64_t manifest = static_cast<int64_t>(
        std::filesystem::file_size(PathIn("a", snapshot.manifest.id + ".json")));
    return std::max<int64_t>(0, bytes_read() - manifest);
  }

  // As chunk_fetch.cc asks for them.
  static constexpr int64_t kMaxChunksOfRange = 4;

  static int64_t LargestChunk(const TestSnapshot& snapshot) {
    int64_t largest = 0;
    for (const Chunk& chunk : snapshot.manifest.chunks) {
      largest = std::max(largest, chunk.object_bytes);
    }
    return largest;
  }

  // Runs `work` in a process of its own; returns how it has ended, as waitpid() has it.
  template <typename Work>
  static pid_t Fork(const Work& work) {
    const pid_t child = fork();
    if (child == 0) {
      work();
      _exit(0);
    }
    EXPECT_GT(child, 0);
    return child;
  }
  static int Wait(pid_t child) {
    int how = 0;
    EXPECT_EQ(waitpid(child, &how, 0), child);
    return how;
  }
};

TEST_F(FetcherFaultsTest, AfterAFaultAtAnyCallTheNextFetchGoesOn) {
  TakeOptions options;
  options.rows = 1000;
  const TestSnapshot snapshot = Take(options);
  Publish("a", snapshot);
  for (const int ranges : {1, 3}) {
    options_.parallel_ranges = ranges;
    for (const FaultyStore::Fault fault :
         {FaultyStore::Fault::kFails, FaultyStore::Fault::kFailsAfter,
          FaultyStore::Fault::kFailsHalfway}) {
      int64_t failed = 1;
      for (int countdown = 1; failed > 0; ++countdown) {
        SCOPED_TRACE(absl::StrCat("fault ", static_cast<int>(fault), " at call ", countdown));
        configure_ = [&](const std::string&, FaultyStore* store) {
          store->Arm(fault, countdown, kAway, /*once=*/false);
        };
        const absl::StatusOr<FetchedSnapshot> torn = Fetch({"a"});
        failed = store("a").Disarm();
        if (failed == 0) {
          ExpectFetched(torn, snapshot);
          break;
        }
        EXPECT_TRUE(absl::IsUnavailable(torn.status())) << torn.status();
        ExpectNoFile();
        const int64_t before = TakeObjectBytes(snapshot);
        configure_ = nullptr;
        ExpectFetched(Fetch({"a"}), snapshot);
        // Each thread may have been given all of its range before it heard of the fault.
        EXPECT_LE(
            before + TakeObjectBytes(snapshot),
            snapshot.manifest.object_bytes + ranges * kMaxChunksOfRange * LargestChunk(snapshot));
      }
    }
  }
}

// Gives so many bytes of objects, and then nothing any more.
class CutStore : public FileStore {
 public:
  CutStore(const object_store::StoreUrl& url, std::atomic<int64_t>* bytes_left)
      : FileStore(url), bytes_left_(*bytes_left) {}

  absl::Status Read(absl::string_view key, const ReadOptions& options, const Sink& sink) override {
    if (absl::EndsWith(key, ".json")) return FileStore::Read(key, options, sink);
    return FileStore::Read(key, options, [this, &sink](absl::string_view piece) {
      const int64_t left = bytes_left_.fetch_sub(static_cast<int64_t>(piece.size()));
      if (left >= static_cast<int64_t>(piece.size())) return sink(piece);
      if (left > 0) {
        absl::Status status = sink(piece.substr(0, left));
        if (!status.ok()) return status;
      }
      return absl::UnavailableError("cut");
    });
  }

 private:
  std::atomic<int64_t>& bytes_left_;
};

TEST_F(FetcherFaultsTest, ADownloadThatIsCutAgainAndAgainEnds) {
  TakeOptions options;
  options.rows = 500;
  options.chunk_bytes = 2000;
  const TestSnapshot snapshot = Take(options);
  Publish("a", snapshot);
  options_.parallel_ranges = 2;
  std::atomic<int64_t> bytes_left{0};
  options_.open_store =
      [&](const object_store::StoreUrl& url) -> absl::StatusOr<std::unique_ptr<ObjectStore>> {
    return std::make_unique<CutStore>(url, &bytes_left);
  };
  for (const int64_t each : {2500, 7000, 20000}) {
    absl::StatusOr<FetchedSnapshot> fetched = absl::UnknownError("");
    int attempts = 0;
    while (!fetched.ok()) {
      // At least a chunk more each time.
      ASSERT_LT(++attempts, static_cast<int>(snapshot.manifest.chunks.size()) + 2);
      bytes_left = each;
      fetched = Fetch({"a"});
      if (!fetched.ok()) {
        ASSERT_TRUE(absl::IsUnavailable(fetched.status())) << fetched.status();
        ExpectNoFile();
      }
    }
    EXPECT_GT(attempts, 1);
    ExpectFetched(fetched, snapshot);
  }
}

TEST_F(FetcherFaultsTest, AnObjectThatIsReplacedMeanwhileIsNotMixedWithTheNewOne) {
  TakeOptions options;
  options.rows = 1000;
  const TestSnapshot old = Take(100), snapshot = Take(options);
  Publish("a", old);
  Publish("a", snapshot);
  options.rows = 999;
  const TestSnapshot other = Take(options);
  options_.parallel_ranges = 1;
  std::atomic<int> reads{0};
  configure_ = [&](const std::string&, FaultyStore* store) {
    store->SetHook([&](StoreCall call, absl::string_view) {
      if (call == StoreCall::kRead && ++reads == 4) {
        std::filesystem::copy_file(other.object_path, ObjectIn("a", snapshot),
                                   std::filesystem::copy_options::overwrite_existing);
      }
      return absl::OkStatus();
    });
  };
  ExpectFetched(Fetch({"a"}), old);
}

TEST_F(FetcherFaultsTest, ASnapshotThatIsRemovedMeanwhileIsGoneOver) {
  const TestSnapshot old = Take(100), snapshot = Take(1000);
  Publish("a", old);
  for (int countdown = 1; countdown < 6; ++countdown) {
    Publish("a", snapshot);
    std::atomic<int> reads{0};
    configure_ = [&](const std::string&, FaultyStore* store) {
      store->SetHook([&](StoreCall call, absl::string_view) {
        if (call == StoreCall::kRead && ++reads == countdown) {
          std::filesystem::remove(PathIn("a", snapshot.manifest.id + ".json"));
          std::filesystem::remove(ObjectIn("a", snapshot));
        }
        return absl::OkStatus();
      });
    };
    options_.parallel_ranges = 1;
    ExpectFetched(Fetch({"a"}), old);
    // Where it is the only one, it is not one that is damaged.
    reads = 0;
    Publish("b", snapshot);
    std::filesystem::rename(root_.Path("a"), root_.Path("aside"));
    std::filesystem::rename(root_.Path("b"), root_.Path("a"));
    const absl::Status status = Fetch({"a"}).status();
    EXPECT_TRUE(HasReason(status, reason::kSnapshotNotFound)) << status;
    std::filesystem::remove_all(root_.Path("a"));
    std::filesystem::rename(root_.Path("aside"), root_.Path("a"));
  }
}

TEST_F(FetcherFaultsTest, AKilledFetchGoesOn) {
  TakeOptions options;
  options.rows = 1500;
  options.chunk_bytes = 4096;
  const TestSnapshot snapshot = Take(options);
  Publish("a", snapshot);
  options_.parallel_ranges = 2;
  options_.save_every = absl::Milliseconds(5);
  std::mt19937 random(1);
  int kills = 0;
  int64_t noted = 0;
  for (int round = 0; round < 8; ++round) {
    while (true) {
      const pid_t child = Fork([&] {
        configure_ = [](const std::string&, FaultyStore* store) {
          store->SetHook([](StoreCall, absl::string_view) {
            absl::SleepFor(absl::Milliseconds(2));
            return absl::OkStatus();
          });
        };
        if (!Fetch({"a"}).ok()) _exit(1);
      });
      absl::SleepFor(absl::Microseconds(1000 + random() % 60000));
      kill(child, SIGKILL);
      const int how = Wait(child);
      // It may have been quicker.
      if (!WIFSIGNALED(how)) {
        ASSERT_TRUE(WIFEXITED(how));
        ASSERT_EQ(WEXITSTATUS(how), 0);
        break;
      }
      ++kills;
      const std::string file = target() + "/ldb.db";
      if (std::filesystem::exists(file)) {
        EXPECT_TRUE(ReadBytes(file) == ReadBytes(snapshot.file_path));
      }
      const std::string notes = ReadBytes(target() + "/progress");
      noted += std::max<int64_t>(0, std::count(notes.begin(), notes.end(), '\n') - 1);
      // What is noted is there.
      const std::string partial = ReadBytes(target() + "/ldb.db.partial");
      const std::string whole = ReadBytes(snapshot.file_path);
      size_t line = notes.find('\n');
      for (size_t end; line != std::string::npos &&
                       (end = notes.find('\n', line + 1)) != std::string::npos && !partial.empty();
           line = end) {
        const size_t chunk = std::stoul(notes.substr(line + 1, end - line - 1));
        ASSERT_LT(chunk, snapshot.manifest.chunks.size());
        EXPECT_TRUE(partial.compare(chunk * 4096, 4096, whole, chunk * 4096, 4096) == 0);
      }
      if (random() % 4 == 0) break;
    }
    ExpectFetched(Fetch({"a"}), snapshot);
  }
  EXPECT_GT(kills, 0);
  EXPECT_GT(noted, 0);
}

TEST_F(FetcherFaultsTest, ADiskThatIsFullShowsBeforeAnythingIsFetched) {
  const TestSnapshot snapshot = Take(1000);
  Publish("a", snapshot);
  const pid_t child = Fork([&] {
    signal(SIGXFSZ, SIG_IGN);
    rlimit limit;
    limit.rlim_cur = limit.rlim_max = snapshot.manifest.file_bytes - 1;
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0) _exit(2);
    const absl::Status status = Fetch({"a"}).status();
    if (!absl::IsResourceExhausted(status)) _exit(3);
    if (TakeObjectBytes(snapshot) != 0) _exit(4);
  });
  const int how = Wait(child);
  ASSERT_TRUE(WIFEXITED(how));
  EXPECT_EQ(WEXITSTATUS(how), 0);
  EXPECT_THAT(FilesInTarget(), ElementsAre());
}

TEST_F(FetcherFaultsTest, ASmallFileSystemIsNotFilled) {
  TakeOptions options;
  options.rows = 4000;
  const TestSnapshot snapshot = Take(options);
  Publish("a", snapshot);
  std::filesystem::copy_file(snapshot.file_path, PathIn("a", "one.db"));
  std::filesystem::create_directories(target());
  ASSERT_GT(snapshot.manifest.file_bytes, 256 << 10);
  if (mount("none", target().c_str(), "tmpfs", 0, "size=256k") != 0) {
    GTEST_SKIP() << "may not mount a file system";
  }
  EXPECT_TRUE(absl::IsResourceExhausted(Fetch({"a"}).status()));
  EXPECT_THAT(FilesInTarget(), ElementsAre());
  EXPECT_TRUE(absl::IsResourceExhausted(Fetch({"a/one.db"}).status()));
  EXPECT_THAT(FilesInTarget(), ElementsAre());
  EXPECT_EQ(umount(target().c_str()), 0);
  ExpectFetched(Fetch({"a"}), snapshot);
}

TEST_F(FetcherFaultsTest, MemoryIsThatOfTheChunksInWork) {
  // 96 MB that cannot be compressed.
  const std::string path = root_.Path("large.db");
  {
    std::unique_ptr<sqlite::Database> database = ldb::OpenPlain(path, /*read_only=*/false);
    ASSERT_EQ(database->Execute("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;"
                                "CREATE TABLE _ldb_seq (id INTEGER PRIMARY KEY NOT NULL, "
                                "seq BIGINT NOT NULL); INSERT INTO _ldb_seq VALUES (1, 7);"
                                "CREATE TABLE fam___data (k INTEGER PRIMARY KEY, v BLOB);"
                                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
                                "WHERE i < 96) INSERT INTO fam___data SELECT i, "
                                "randomblob(1000000) FROM n;"),
              absl::OkStatus());
  }
  TestSnapshot snapshot;
  snapshot.file_path = snapshot.object_path = path;
  Manifest& manifest = snapshot.manifest;
  manifest.position.sequence = 7;
  manifest.taken_at = absl::UnixEpoch();
  manifest.id = NewSnapshotId(7, manifest.taken_at);
  manifest.compression = Compression::kNone;
  manifest.object = SnapshotObjectName(manifest.id, Compression::kNone);
  const std::string bytes = ReadBytes(path);
  manifest.object_bytes = manifest.file_bytes = static_cast<int64_t>(bytes.size());
  manifest.object_sha256 = Sha256(bytes);
  constexpr int64_t kChunkBytes = 1 << 20;
  for (size_t i = 0; i < bytes.size(); i += kChunkBytes) {
    const std::string chunk = bytes.substr(i, kChunkBytes);
    const int64_t size = static_cast<int64_t>(chunk.size());
    manifest.chunks.push_back({size, size, Sha256(chunk)});
  }
  Publish("a", snapshot);
  std::filesystem::copy_file(path, PathIn("a", "one.db"));
  for (const char* place : {"a", "a/one.db"}) {
    const int how = Wait(Fork([&] {
      // What the test itself had is not counted.
      WriteBytes("/proc/self/clear_refs", "5");
      const auto peak = [] {
        const std::string status = ReadBytes("/proc/self/status");
        return std::stol(status.substr(status.find("VmHWM:") + 6));
      };
      const int64_t before = peak();
      if (!Fetch({place}).ok()) _exit(1);
      // 4 ranges with 2 chunks each, SQLite, threads; sanitizers add to it.
      if (peak() - before > 40 << 10) _exit(2);
    }));
    ASSERT_TRUE(WIFEXITED(how));
    EXPECT_EQ(WEXITSTATUS(how), 0);
  }
}

}  // namespace
}  // namespace ctlstore::snapshot
