// Reads of files that are damaged, cut off, not there, or not what they should be: an error or the
// right data, and the right data again when a good file is there.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <random>
#include <sstream>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/ldb/freshness_page.h"
#include "common/ldb/ldb_test_util.h"
#include "common/ldb/ldb_writer.h"
#include "common/ldb/reader.h"

namespace ctlstore::ldb {
namespace {

namespace fs = std::filesystem;

constexpr int kRows = 400;
constexpr int64_t kFirst = 10000;
// Nothing takes so long that works.
constexpr absl::Duration kPatience = absl::Seconds(60);

std::string Filler(int64_t key, int64_t version) {
  return std::string(static_cast<size_t>(100 + key % 300), static_cast<char>('a' + version % 26));
}

std::string Upsert(int64_t key, int64_t version) {
  return absl::StrCat("REPLACE INTO fam___tbl (\"a\",\"b\",\"c\") VALUES(", key, ",", version, ",'",
                      Filler(key, version), "')");
}

// Entries that end at `sequence`, and make all rows of version `sequence`.
std::vector<LedgerEntry> LedgerTo(int64_t sequence, bool create) {
  std::vector<std::string> statements = {kBeginMarker};
  if (create) {
    statements.push_back(
        "CREATE TABLE fam___tbl (\"a\" INTEGER, \"b\" INTEGER, \"c\" TEXT, PRIMARY KEY(\"a\"));");
  }
  for (int key = 0; key < kRows; ++key) statements.push_back(Upsert(key, sequence));
  statements.push_back(kCommitMarker);
  std::vector<LedgerEntry> entries;
  int64_t next = sequence - static_cast<int64_t>(statements.size());
  for (std::string& statement : statements) {
    entries.push_back({++next, "2024-02-29 23:59:58", std::move(statement)});
  }
  return entries;
}

constexpr int64_t kStep = 1000;

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream bytes;
  bytes << file.rdbuf();
  return bytes.str();
}

// Into the file that is there, where there is one.
void Overwrite(const std::string& path, const std::string& bytes) {
  const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  ASSERT_GE(file, 0) << path;
  ASSERT_EQ(pwrite(file, bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
  ASSERT_EQ(ftruncate(file, static_cast<off_t>(bytes.size())), 0);
  close(file);
}

// A new file in its place.
void Replace(const std::string& path, const std::string& bytes) {
  Overwrite(path + ".new", bytes);
  fs::rename(path + ".new", path);
}

struct Image {
  std::string database;
  std::string wal;
  // As a writer leaves it that is killed: it can be trusted.
  std::string page;
};

// How much of what is read has to be right.
enum class Demand {
  // Each row is of the right version, and those that are not there are not.
  kRight,
  // Bytes of values may be wrong, which SQLite cannot know.
  kNoCrash,
};

// All ways to read. Returns what is wrong. `*read` counts what could be read.
std::string Probe(Reader* reader, Demand demand, int64_t at_least, int64_t* version, int* read) {
  const auto check_status = [](absl::string_view what, const absl::Status& status) -> std::string {
    if (status.ok() || absl::IsUnavailable(status) || absl::IsDataLoss(status) ||
        absl::IsNotFound(status)) {
      return "";
    }
    return absl::StrCat(what, ": ", status.ToString());
  };
  std::string error;
  const auto check_row = [&](const RowView& row, int64_t key) {
    // All of it is looked at in any case.
    std::string text;
    for (size_t i = 0; i < row.size(); ++i) {
      absl::StrAppend(&text, row.name(i), "=", DebugString(row.value(i)), ";");
    }
    ++*read;
    if (demand == Demand::kNoCrash) return;
    const absl::StatusOr<int64_t> b = row.GetInteger("b");
    const absl::StatusOr<absl::string_view> c = row.GetText("c");
    if (!b.ok() || !c.ok() || *c != Filler(key, *b) || *b < at_least) {
      error = absl::StrCat("row ", key, " is ", text.substr(0, 60));
    } else if (*b < *version) {
      error = absl::StrCat("row ", key, " goes back from ", *version, " to ", *b);
    } else {
      *version = *b;
    }
  };
  for (int64_t key = 0; key <= kRows && error.empty(); key += 7) {
    absl::StatusOr<Row> row = reader->GetRow("fam", "tbl", {key});
    if (!row.ok()) {
      error = check_status("GetRow", row.status());
    } else if (row->exists()) {
      check_row(*row, key);
    } else if (key < kRows && demand == Demand::kRight) {
      error = absl::StrCat("row ", key, " is missing");
    }
  }
  if (error.empty()) {
    RowIterator rows = reader->ListRows("fam", "tbl", {});
    int64_t next = 0;
    while (error.empty() && rows.Next()) {
      const absl::StatusOr<int64_t> key = rows.row().GetInteger("a");
      if (demand == Demand::kRight && (!key.ok() || *key != next)) {
        error = absl::StrCat("a list without row ", next);
      } else {
        check_row(rows.row(), next++);
      }
      // Damaged trees may be endless.
      if (next > 1000000) break;
    }
    if (error.empty()) error = check_status("ListRows", rows.status());
    if (error.empty() && demand == Demand::kRight && rows.status().ok() && next != kRows) {
      error = absl::StrCat("a list of ", next, " rows");
    }
  }
  if (error.empty()) error = check_status("GetTable", reader->GetTable("fam", "tbl").status());
  if (error.empty()) error = check_status("ListTables", reader->ListTables().status());
  if (error.empty()) error = check_status("GetPosition", reader->GetPosition().status());
  if (error.empty()) {
    absl::StatusOr<Snapshot> snapshot = reader->GetSnapshot();
    error = check_status("GetSnapshot", snapshot.status());
    if (error.empty() && snapshot.ok()) {
      absl::StatusOr<Row> row = snapshot->GetRow("fam", "tbl", {3});
      if (row.ok() && row->exists()) check_row(*row, 3);
      error = error.empty() ? check_status("Snapshot", row.status()) : error;
    }
  }
  return error;
}

class ReaderBadFilesTest : public testing::Test {
 protected:
  ReaderBadFilesTest() : path_(folder_.Path("ldb.db")) {}

  // A good local database at `sequence`, part of it in the WAL, of which nobody is at work.
  Image MakeImage(int64_t sequence) {
    TestFolder folder;
    const std::string path = folder.Path("ldb.db");
    std::unique_ptr<LdbWriter> writer = OpenWriter(path);
    EXPECT_TRUE(writer->Apply(LedgerTo(sequence - kStep, true)).ok());
    EXPECT_TRUE(writer->Checkpoint().ok());
    EXPECT_TRUE(writer->Apply(LedgerTo(sequence, false)).ok());
    Image image{ReadFile(path), ReadFile(path + "-wal"), ReadFile(FreshnessPagePath(path))};
    EXPECT_GT(image.wal.size(), 32u);
    return image;
  }

  // The same without a WAL.
  Image MakePlainImage(int64_t sequence) {
    TestFolder folder;
    const std::string path = folder.Path("ldb.db");
    std::unique_ptr<LdbWriter> writer = OpenWriter(path);
    EXPECT_TRUE(writer->Apply(LedgerTo(sequence, true)).ok());
    EXPECT_TRUE(writer->Checkpoint().ok());
    return {ReadFile(path), "", ReadFile(FreshnessPagePath(path))};
  }

  // Puts another good file in place: in a folder of its own, to which the path is a link then, or,
  // where it has no WAL, at the path itself.
  void PutInPlace(const Image& image) {
    const bool link = !image.wal.empty() || random_() % 2 == 0;
    if (link) {
      const std::string folder = folder_.Path(absl::StrCat("generation", ++generation_));
      fs::create_directory(folder);
      file_ = folder + "/ldb.db";
      Overwrite(file_, image.database);
      if (!image.wal.empty()) Overwrite(file_ + "-wal", image.wal);
    } else {
      file_ = path_;
    }
    // Some have a page, and some have none.
    const std::string page = file_ + ".freshness";
    std::error_code ignored;
    fs::remove(page, ignored);
    if (random_() % 4 != 0) Replace(page, image.page);
    if (link) {
      fs::remove(path_ + ".new", ignored);
      fs::create_symlink(file_, path_ + ".new");
      fs::rename(path_ + ".new", path_);
    } else {
      Replace(path_, image.database);
    }
  }

  // Reads until everything can be read.
  static void ExpectRecovers(Reader* reader, int64_t version) {
    const absl::Time deadline = absl::Now() + kPatience;
    int64_t seen = version;
    while (true) {
      int read = 0;
      const std::string error = Probe(reader, Demand::kRight, 0, &seen, &read);
      const absl::StatusOr<int64_t> sequence = reader->GetSequence();
      if (error.empty() && read > kRows && sequence.ok() && *sequence >= version) return;
      ASSERT_LT(absl::Now(), deadline) << error << ", " << read << " rows, " << sequence.status();
      absl::SleepFor(absl::Milliseconds(5));
    }
  }

  // A reader that had the good file open, and one that comes after `damage`; both recover.
  void ExpectSurvives(const std::string& what, const Image& good, Demand demand,
                      const std::function<void()>& damage) {
    SCOPED_TRACE(what);
    const int64_t sequence = sequence_;
    ASSERT_NO_FATAL_FAILURE(PutInPlace(good));
    ReaderOptions options;
    options.cache_bytes = random_() % 2 == 0 ? 0 : 1 << 20;
    options.page_cache_bytes = random_() % 2 == 0 ? 16 << 10 : 16 << 20;
    Reader before(path_, options);
    int read = 0;
    int64_t seen_before = 0;
    ASSERT_EQ(Probe(&before, Demand::kRight, 0, &seen_before, &read), "");
    ASSERT_GT(read, kRows);
    damage();
    if (HasFatalFailure()) return;
    Reader after(path_, options);
    int64_t seen_after = 0;
    for (int i = 0; i < 2; ++i) {
      EXPECT_EQ(Probe(&before, demand, 0, &seen_before, &read), "");
      EXPECT_EQ(Probe(&after, demand, 0, &seen_after, &read), "");
    }
    sequence_ = sequence + kStep;
    ASSERT_NO_FATAL_FAILURE(PutInPlace(MakeImage(sequence_)));
    ExpectRecovers(&before, sequence_);
    ExpectRecovers(&after, sequence_);
  }

  TestFolder folder_;
  const std::string path_;
  // Where the path leads.
  std::string file_;
  int generation_ = 0;
  int64_t sequence_ = kFirst;
  std::mt19937 random_{1};
};

TEST_F(ReaderBadFilesTest, AFileThatIsCutOff) {
  const Image good = MakePlainImage(kFirst);
  const int64_t size = static_cast<int64_t>(good.database.size());
  for (int64_t length :
       {int64_t{0}, int64_t{1}, int64_t{99}, int64_t{512}, int64_t{4095}, int64_t{4096},
        int64_t{4097}, size / 2 / 4096 * 4096, size / 2 + 1, size - 4096, size - 1}) {
    sequence_ = kFirst;
    // SQLite takes it that what is missing of a page is zeros.
    const Demand demand = length % 4096 == 0 ? Demand::kRight : Demand::kNoCrash;
    ExpectSurvives(absl::StrCat(length, " of ", size), good, demand,
                   [&] { ASSERT_EQ(truncate(file_.c_str(), length), 0); });
    if (HasFatalFailure()) return;
  }
}

TEST_F(ReaderBadFilesTest, AFileThatIsCutOffBeneathItsWal) {
  const Image good = MakeImage(kFirst);
  for (size_t length : {size_t{0}, size_t{4096}, good.database.size() / 2}) {
    sequence_ = kFirst;
    ExpectSurvives(absl::StrCat(length), good, Demand::kRight,
                   [&] { ASSERT_EQ(truncate(file_.c_str(), static_cast<off_t>(length)), 0); });
    if (HasFatalFailure()) return;
  }
}

TEST_F(ReaderBadFilesTest, PagesOfNothing) {
  const Image good = MakePlainImage(kFirst);
  for (size_t page = 0; page < good.database.size() / 4096; page += 3) {
    sequence_ = kFirst;
    ExpectSurvives(absl::StrCat("page ", page), good, Demand::kRight, [&] {
      Image bad = good;
      bad.database.replace(page * 4096, 4096, 4096, '\0');
      Overwrite(file_, bad.database);
    });
    if (HasFatalFailure()) return;
  }
}

TEST_F(ReaderBadFilesTest, AnyBytes) {
  const Image plain = MakePlainImage(kFirst);
  const Image with_wal = MakeImage(kFirst);
  for (int round = 0; round < 60; ++round) {
    sequence_ = kFirst;
    const Image& good = round % 2 == 0 ? plain : with_wal;
    ExpectSurvives(absl::StrCat("round ", round), good, Demand::kNoCrash, [&] {
      Image bad = good;
      std::string* const bytes = !bad.wal.empty() && random_() % 2 == 0 ? &bad.wal : &bad.database;
      // Often where much depends on it: the beginning of the file or of a page.
      for (int flips = 1 << (random_() % 8); flips > 0; --flips) {
        size_t at = random_() % bytes->size();
        if (random_() % 3 == 0) at %= 4096;
        if (random_() % 3 == 0) at = at / 4096 * 4096 + at % 16;
        (*bytes)[at] = static_cast<char>(random_());
      }
      if (round % 5 == 0) {
        const size_t page = random_() % (bytes->size() / 4096) * 4096;
        for (size_t i = page; i < page + 4096; ++i) (*bytes)[i] = static_cast<char>(random_());
      }
      Overwrite(file_, bad.database);
      if (!bad.wal.empty()) Overwrite(file_ + "-wal", bad.wal);
      if (round % 4 == 0) fs::remove(file_ + "-shm");
    });
    if (HasFatalFailure()) return;
  }
}

TEST_F(ReaderBadFilesTest, AWalThatIsCutOffOrGone) {
  const Image good = MakeImage(kFirst);
  for (int64_t length :
       {-1, 0, 1, 31, 32, 33, 56, 32 + 4120, 32 + 4120 + 100, static_cast<int>(good.wal.size() / 2),
        static_cast<int>(good.wal.size() - 1)}) {
    sequence_ = kFirst;
    ExpectSurvives(absl::StrCat(length, " of ", good.wal.size()), good, Demand::kRight, [&] {
      const std::string wal = file_ + "-wal";
      if (length < 0) {
        ASSERT_TRUE(fs::remove(wal));
      } else {
        ASSERT_EQ(truncate(wal.c_str(), length), 0);
      }
    });
    if (HasFatalFailure()) return;
  }
}

TEST_F(ReaderBadFilesTest, AnIndexOfTheWalThatIsGone) {
  const Image good = MakeImage(kFirst);
  ExpectSurvives("", good, Demand::kRight, [&] { fs::remove(file_ + "-shm"); });
}

TEST_F(ReaderBadFilesTest, AFileThatIsGone) {
  const Image good = MakeImage(kFirst);
  ExpectSurvives("", good, Demand::kRight, [&] {
    for (const char* suffix : {"", "-wal", "-shm"}) fs::remove(file_ + suffix);
  });
}

TEST_F(ReaderBadFilesTest, AFolderThatIsGoneAndBack) {
  const fs::path folder = folder_.Path("folder");
  fs::create_directory(folder);
  const std::string path = folder / "ldb.db";
  std::unique_ptr<LdbWriter> writer = OpenWriter(path);
  ASSERT_TRUE(writer->Apply(LedgerTo(kFirst, true)).ok());
  Reader before(path);
  int64_t seen = 0;
  int read = 0;
  ASSERT_EQ(Probe(&before, Demand::kRight, kFirst, &seen, &read), "");
  fs::rename(folder, folder_.Path("elsewhere"));
  Reader after(path);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(Probe(&before, Demand::kRight, kFirst, &seen, &read), "");
    EXPECT_TRUE(absl::IsUnavailable(after.GetRow("fam", "tbl", {1}).status()));
  }
  fs::rename(folder_.Path("elsewhere"), folder);
  ExpectRecovers(&before, kFirst);
  ExpectRecovers(&after, kFirst);
  ASSERT_TRUE(writer->Apply(LedgerTo(kFirst + kStep, false)).ok());
  ExpectRecovers(&before, kFirst + kStep);
  ExpectRecovers(&after, kFirst + kStep);
}

TEST_F(ReaderBadFilesTest, PermissionThatIsLostAndBack) {
  if (geteuid() == 0) GTEST_SKIP() << "root may read everything";
  const Image good = MakePlainImage(kFirst);
  ExpectSurvives("", good, Demand::kRight, [&] { ASSERT_EQ(chmod(file_.c_str(), 0), 0); });
}

// A call that hangs is to fail this test, not to stop it.
void ExpectReturns(const std::string& what, const std::function<void()>& call) {
  absl::Notification done;
  std::thread thread([&] {
    call();
    done.Notify();
  });
  if (!done.WaitForNotificationWithTimeout(kPatience)) {
    std::cerr << what << " hangs" << std::endl;
    std::abort();
  }
  thread.join();
}

TEST_F(ReaderBadFilesTest, WhatIsNoFileIsUnavailable) {
  const std::string folder = folder_.Path("folder");
  const std::string fifo = folder_.Path("fifo");
  const std::string dangling = folder_.Path("dangling");
  const std::string circle = folder_.Path("circle");
  const std::string text = folder_.Path("text");
  fs::create_directory(folder);
  ASSERT_EQ(mkfifo(fifo.c_str(), 0644), 0);
  fs::create_symlink("nothing", dangling);
  fs::create_symlink("circle", circle);
  Overwrite(text, std::string(10000, 'x'));
  Overwrite(folder_.Path("empty"), "");
  for (const std::string& path :
       {folder, fifo, dangling, circle, text, folder_.Path("empty"), text + "/ldb.db",
        std::string("/dev/null"), std::string("/dev/zero"), std::string("/dev/tty"),
        folder_.Path(std::string(5000, 'x')), std::string(), std::string("a\0b", 3)}) {
    ExpectReturns(path.substr(0, 100), [&path] {
      Reader reader(path);
      for (int i = 0; i < 2; ++i) {
        for (const absl::Status& status :
             {reader.GetRow("fam", "tbl", {1}).status(), reader.ListRows("fam", "tbl", {}).status(),
              reader.GetTable("fam", "tbl").status(), reader.ListTables().status(),
              reader.GetSnapshot().status(), reader.GetSequence().status(),
              reader.GetPosition().status(), reader.WaitForSequence(1, absl::Now())}) {
          EXPECT_TRUE(absl::IsUnavailable(status) || absl::IsDataLoss(status))
              << path.substr(0, 100) << ": " << status;
        }
      }
    });
  }
}

TEST_F(ReaderBadFilesTest, WhateverThePageBesideTheFileIsReadsAreRightAndNew) {
  std::unique_ptr<LdbWriter> writer = OpenWriter(path_);
  ASSERT_TRUE(writer->Apply(LedgerTo(kFirst, true)).ok());
  std::unique_ptr<LdbWriter> other = OpenWriter(folder_.Path("other.db"));
  ASSERT_TRUE(other->Apply(LedgerTo(kFirst, true)).ok());
  const std::string page = FreshnessPagePath(path_);
  const std::string good = ReadFile(page);
  const std::string of_other = ReadFile(FreshnessPagePath(folder_.Path("other.db")));
  ASSERT_EQ(good.size(), of_other.size());
  std::string even_garbage = good;
  for (size_t i = 64; i < even_garbage.size(); i += 2) even_garbage[i] ^= 0x55;

  std::vector<std::unique_ptr<Reader>> readers;
  const auto check = [&](int64_t version) {
    readers.push_back(std::make_unique<Reader>(path_));
    for (const std::unique_ptr<Reader>& reader : readers) {
      int64_t seen = 0;
      int read = 0;
      ASSERT_EQ(Probe(reader.get(), Demand::kRight, version, &seen, &read), "");
      ASSERT_GT(read, kRows);
    }
  };
  ASSERT_NO_FATAL_FAILURE(check(kFirst));
  int64_t version = kFirst;
  const std::vector<std::pair<std::string, std::function<void()>>> changes = {
      {"of another file", [&] { Replace(page, of_other); }},
      {"too short", [&] { Replace(page, good.substr(0, 100)); }},
      {"empty", [&] { Replace(page, ""); }},
      {"cut off", [&] { Replace(page, good.substr(0, good.size() / 2)); }},
      {"an old copy", [&] { Replace(page, good); }},
      {"zeros", [&] { Replace(page, std::string(good.size(), '\0')); }},
      {"garbage", [&] { Replace(page, std::string(good.size(), '\xaa')); }},
      {"changed", [&] { Replace(page, even_garbage); }},
      {"gone", [&] { fs::remove(page); }},
      {"a folder", [&] { fs::create_directory(page); }},
      {"gone again", [&] { fs::remove(page); }},
      {"a pipe", [&] { ASSERT_EQ(mkfifo(page.c_str(), 0644), 0); }},
      {"gone once more", [&] { fs::remove(page); }},
  };
  for (const auto& [what, change] : changes) {
    SCOPED_TRACE(what);
    // Nobody may think that a copy is the page that is kept: its writer has ended.
    if (what == "an old copy" || what == "changed") writer.reset();
    change();
    if (writer == nullptr) writer = OpenWriter(path_);
    ASSERT_NO_FATAL_FAILURE(check(version));
    version += kStep;
    ASSERT_TRUE(writer->Apply(LedgerTo(version, false)).ok());
    ASSERT_NO_FATAL_FAILURE(check(version));
  }
  // The next writer makes a new one, which all use.
  writer.reset();
  writer = OpenWriter(path_);
  ASSERT_NO_FATAL_FAILURE(check(version));
  for (const std::unique_ptr<Reader>& reader : readers) {
    const absl::Time deadline = absl::Now() + kPatience;
    while (!reader->stats().has_freshness_page) {
      ASSERT_LT(absl::Now(), deadline);
      ASSERT_TRUE(reader->GetRow("fam", "tbl", {1}).ok());
      absl::SleepFor(absl::Milliseconds(5));
    }
  }
  version += kStep;
  ASSERT_TRUE(writer->Apply(LedgerTo(version, false)).ok());
  ASSERT_NO_FATAL_FAILURE(check(version));
}

TEST_F(ReaderBadFilesTest, GarbageWrittenIntoThePageThatIsMappedDoesNotCrash) {
  std::unique_ptr<LdbWriter> writer = OpenWriter(path_);
  ASSERT_TRUE(writer->Apply(LedgerTo(kFirst, true)).ok());
  const std::string page = FreshnessPagePath(path_);
  const std::string good = ReadFile(page);
  Reader reader(path_);
  for (int round = 0; round < 60; ++round) {
    std::string bad = good;
    for (int flips = 1 << (random_() % 12); flips > 0; --flips) {
      size_t at = random_() % bad.size();
      if (random_() % 2 == 0) at %= 256;
      bad[at] = static_cast<char>(random_());
    }
    Overwrite(page, round % 10 == 9 ? good : bad);
    int64_t seen = 0;
    int read = 0;
    EXPECT_EQ(Probe(&reader, Demand::kNoCrash, 0, &seen, &read), "");
  }
  writer.reset();
  fs::remove(page);
  writer = OpenWriter(path_);
  ASSERT_TRUE(writer->Apply(LedgerTo(kFirst + kStep, false)).ok());
  ExpectRecovers(&reader, kFirst + kStep);
}

// A folder of versions, as some put them in place.
class ReaderVersionsTest : public ReaderBadFilesTest {
 protected:
  ReaderVersionsTest() : versioned_(folder_.Path("versioned")) { fs::create_directory(versioned_); }

  std::string VersionPath(int64_t number) const {
    return absl::StrCat(versioned_, "/", absl::StrFormat("%013d", number));
  }

  // A whole version appears at once.
  void Add(int64_t number, int64_t sequence) {
    const std::string building = folder_.Path("building");
    fs::create_directory(building);
    {
      std::unique_ptr<LdbWriter> writer = OpenWriter(building + "/ldb.db");
      ASSERT_TRUE(writer->Apply(LedgerTo(sequence, true)).ok());
      if (number % 2 == 0) {
        ASSERT_TRUE(writer->Checkpoint().ok());
      }
    }
    fs::rename(building, VersionPath(number));
  }

  const std::string versioned_;
};

TEST_F(ReaderVersionsTest, TheNewestIsRead) {
  ASSERT_NO_FATAL_FAILURE(Add(1700000000001, kFirst + kStep));
  ASSERT_NO_FATAL_FAILURE(Add(1700000000000, kFirst));
  // None of these is a version.
  fs::create_directory(VersionPath(1700000000002));
  fs::create_directory(versioned_ + "/17000000000030");
  fs::copy(VersionPath(1700000000000), versioned_ + "/1700000000x04", fs::copy_options::recursive);
  fs::copy(VersionPath(1700000000000), versioned_ + "/17000000000050", fs::copy_options::recursive);
  Overwrite(VersionPath(1700000000006), "a file");
  Reader reader(versioned_);
  int64_t seen = 0;
  int read = 0;
  EXPECT_EQ(Probe(&reader, Demand::kRight, kFirst + kStep, &seen, &read), "");
  EXPECT_GT(read, kRows);
}

TEST_F(ReaderVersionsTest, ANewOneIsGoneOverToWithoutAnErrorOrAStepBack) {
  ASSERT_NO_FATAL_FAILURE(Add(1700000000000, kFirst));
  Reader reader(versioned_);
  std::atomic<bool> stop{false};
  std::atomic<int64_t> newest{0};
  std::vector<std::string> errors(3);
  std::vector<std::thread> threads;
  for (std::string& error : errors) {
    threads.emplace_back([&] {
      while (!stop && error.empty()) {
        int64_t seen = newest;
        int read = 0;
        error = Probe(&reader, Demand::kRight, seen, &seen, &read);
        if (error.empty() && read <= kRows) error = "something could not be read";
        for (int64_t old = newest; old < seen && !newest.compare_exchange_weak(old, seen);) {
        }
      }
    });
  }
  int64_t sequence = kFirst;
  for (int i = 1; i <= 8; ++i) {
    sequence += kStep;
    ASSERT_NO_FATAL_FAILURE(Add(1700000000000 + i, sequence));
    EXPECT_TRUE(reader.WaitForSequence(sequence, absl::Now() + kPatience).ok());
    fs::remove_all(VersionPath(1700000000000 + i - 1));
  }
  const absl::Time deadline = absl::Now() + kPatience;
  while (newest < sequence && absl::Now() < deadline) absl::SleepFor(absl::Milliseconds(5));
  stop = true;
  for (std::thread& thread : threads) thread.join();
  for (const std::string& error : errors) EXPECT_EQ(error, "");
  EXPECT_EQ(newest, sequence);
}

TEST_F(ReaderVersionsTest, TheFirstOneMayComeLater) {
  Reader reader(versioned_);
  EXPECT_TRUE(absl::IsUnavailable(reader.GetRow("fam", "tbl", {1}).status()));
  ASSERT_NO_FATAL_FAILURE(Add(1700000000000, kFirst));
  ExpectRecovers(&reader, kFirst);
}

TEST_F(ReaderVersionsTest, ADamagedNewestOneIsNoWorseThanAnError) {
  ASSERT_NO_FATAL_FAILURE(Add(1700000000000, kFirst));
  Reader reader(versioned_);
  int64_t seen = 0;
  int read = 0;
  ASSERT_EQ(Probe(&reader, Demand::kRight, kFirst, &seen, &read), "");
  const std::string building = folder_.Path("bad");
  fs::create_directory(building);
  Overwrite(building + "/ldb.db", std::string(8192, 'x'));
  fs::rename(building, VersionPath(1700000000001));
  const absl::Time end = absl::Now() + absl::Seconds(2);
  while (absl::Now() < end) {
    ASSERT_EQ(Probe(&reader, Demand::kRight, kFirst, &seen, &read), "");
  }
  ASSERT_NO_FATAL_FAILURE(Add(1700000000002, kFirst + kStep));
  ExpectRecovers(&reader, kFirst + kStep);
}

}  // namespace
}  // namespace ctlstore::ldb
