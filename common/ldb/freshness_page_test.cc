#include "common/ldb/freshness_page.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>
#include <thread>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "common/ldb/changes_test_util.h"
#include "common/ldb/ldb_test_util.h"

namespace ctlstore::ldb {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr char kIdentity[] = "0123456789abcdef";
constexpr size_t kPageBytes = 1118208;
constexpr int64_t kRing = 65536;

std::unique_ptr<FreshnessPageWriter> OpenPage(const std::string& path, int64_t applied = 0) {
  absl::StatusOr<std::unique_ptr<FreshnessPageWriter>> writer =
      FreshnessPageWriter::Open(path, kIdentity, applied);
  if (!writer.ok()) {
    ADD_FAILURE() << writer.status();
    std::abort();
  }
  return *std::move(writer);
}

std::unique_ptr<FreshnessPageView> OpenView(const std::string& path) {
  absl::StatusOr<std::unique_ptr<FreshnessPageView>> view =
      FreshnessPageView::Open(path, kIdentity);
  if (!view.ok()) {
    ADD_FAILURE() << view.status();
    std::abort();
  }
  return *std::move(view);
}

uint64_t TableHash(const std::string& table) { return FreshnessTableHash({"fam", table}); }
uint64_t KeyHash(int64_t key) { return FreshnessKeyHash({ValueView(key)}); }

FreshnessPageView::Changed ChangesSince(const FreshnessPageView& view,
                                        FreshnessPageView::Mark* mark) {
  FreshnessPageView::Changed changed;
  view.ChangesSince(mark, &changed);
  return changed;
}

std::string ReadAll(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

void WriteAll(const std::string& path, const std::string& data) {
  std::ofstream(path, std::ios::binary) << data;
}

template <typename T>
T At(const std::string& page, size_t offset) {
  T value;
  memcpy(&value, page.data() + offset, sizeof(value));
  return value;
}

TEST(FreshnessHashTest, IsTheDocumentedOne) {
  EXPECT_EQ(FreshnessTableHash({"geo", "countries"}), 0x06506a5d38a746cfu);
  EXPECT_EQ(FreshnessKeyHash({ValueView(-5)}), 0xfc867851182de551u);
  EXPECT_EQ(FreshnessKeyHash({ValueView("NZ"),
                              ValueView::Bytes(absl::string_view("\0\1\2\3\4\5\6\7\10", 9)),
                              ValueView(1)}),
            0x54d10ac2ea4ac37eu);
}

TEST(FreshnessHashTest, TellsKeysApart) {
  absl::flat_hash_set<uint64_t> seen;
  for (int64_t i = -50000; i < 50000; ++i) EXPECT_TRUE(seen.insert(KeyHash(i)).second);
  for (int64_t i = 0; i < 50000; ++i) {
    const std::string text = absl::StrCat("customer-", i);
    EXPECT_TRUE(seen.insert(FreshnessKeyHash({ValueView(text)})).second);
    EXPECT_TRUE(seen.insert(FreshnessKeyHash({ValueView::Bytes(text)})).second);
    EXPECT_TRUE(seen.insert(FreshnessKeyHash({ValueView(i), ValueView(i)})).second);
  }
  EXPECT_NE(FreshnessKeyHash({ValueView("ab"), ValueView("c")}),
            FreshnessKeyHash({ValueView("a"), ValueView("bc")}));
  EXPECT_NE(FreshnessKeyHash({ValueView("a")}),
            FreshnessKeyHash({ValueView(absl::string_view("a\0", 2))}));
  EXPECT_NE(FreshnessTableHash({"abc", "def"}), FreshnessTableHash({"abcd", "ef"}));
  EXPECT_EQ(FreshnessKeyHash({ValueView(0.0)}), FreshnessKeyHash({ValueView(-0.0)}));
}

TEST(FreshnessPagePathTest, IsBesideTheFileThatALinkLeadsTo) {
  TestFolder folder;
  std::filesystem::create_directory(folder.Path("d"));
  WriteAll(folder.Path("d/real.db"), "");
  std::filesystem::create_symlink("d/real.db", folder.Path("link.db"));
  EXPECT_EQ(FreshnessPagePath(folder.Path("link.db")),
            std::filesystem::canonical(folder.Path("d/real.db")).string() + ".freshness");
  EXPECT_EQ(FreshnessPagePath(folder.Path("none.db")), folder.Path("none.db.freshness"));
}

TEST(FreshnessPageTest, HasTheDocumentedLayout) {
  TestFolder folder;
  const std::string path = folder.Path("page");
  auto writer = OpenPage(path, 7);
  TestChanges changes;
  changes.Key(8, "one", 5).Table(9, "two").Commit(writer.get(), 10);
  const std::string page = ReadAll(path);
  ASSERT_EQ(page.size(), kPageBytes);
  EXPECT_EQ(page.substr(0, 8), "CTLFRESH");
  EXPECT_EQ(At<uint32_t>(page, 8), 1u);
  EXPECT_EQ(At<uint32_t>(page, 12), 4096u);
  EXPECT_EQ(At<uint32_t>(page, 16), 65536u);
  EXPECT_EQ(page.substr(24, 16), kIdentity);
  EXPECT_EQ(At<uint64_t>(page, 64), 4u);   // epoch
  EXPECT_EQ(At<int64_t>(page, 72), 10);    // applied sequence
  EXPECT_EQ(At<uint64_t>(page, 80), 1u);   // everything
  EXPECT_EQ(At<uint64_t>(page, 88), 0u);   // other tables
  EXPECT_EQ(At<uint64_t>(page, 96), 2u);   // ring head
  EXPECT_EQ(At<uint64_t>(page, 104), 2u);  // ring reserved
  const size_t slot = 4096 + 16 * (TableHash("one") % 4096);
  EXPECT_EQ(At<uint64_t>(page, slot), TableHash("one"));
  EXPECT_EQ(At<uint64_t>(page, slot + 8), 1u);
  EXPECT_EQ(At<uint64_t>(page, 69632), TableHash("one"));
  EXPECT_EQ(At<uint64_t>(page, 69640), KeyHash(5));
  EXPECT_EQ(At<uint64_t>(page, 69648), TableHash("two"));
  EXPECT_EQ(At<uint64_t>(page, 69656), 0u);
}

TEST(FreshnessPageTest, NamesWhatACommitChanged) {
  TestFolder folder;
  auto writer = OpenPage(folder.Path("page"), 3);
  auto view = OpenView(folder.Path("page"));
  EXPECT_EQ(view->applied_sequence(), 3);
  FreshnessPageView::Mark mark = view->mark();
  const uint64_t epoch = view->epoch();
  EXPECT_EQ(epoch % 2, 0u);

  TestChanges changes;
  changes.Key(4, "one", 5).Key(5, "two", 6).Table(6, "three").Key(6, "two", 7);
  writer->Committing(changes.span());
  EXPECT_EQ(view->epoch(), epoch + 1);
  writer->Committed(changes.span(), 6);
  EXPECT_EQ(view->epoch(), epoch + 2);
  EXPECT_EQ(view->applied_sequence(), 6);

  FreshnessPageView::Changed changed = ChangesSince(*view, &mark);
  EXPECT_FALSE(changed.everything);
  EXPECT_THAT(changed.tables, ElementsAre(TableHash("three")));
  ASSERT_THAT(changed.keys, SizeIs(3));
  EXPECT_EQ(changed.keys[0].table, TableHash("one"));
  EXPECT_EQ(changed.keys[0].key, KeyHash(5));
  EXPECT_EQ(changed.keys[1].table, TableHash("two"));
  EXPECT_EQ(changed.keys[1].key, KeyHash(6));
  EXPECT_EQ(changed.keys[2].table, TableHash("two"));
  EXPECT_EQ(changed.keys[2].key, KeyHash(7));

  changed = ChangesSince(*view, &mark);
  EXPECT_FALSE(changed.everything);
  EXPECT_THAT(changed.tables, IsEmpty());
  EXPECT_THAT(changed.keys, IsEmpty());
}

TEST(FreshnessPageTest, ACommitWithoutChangesMovesThePosition) {
  TestFolder folder;
  auto writer = OpenPage(folder.Path("page"), 3);
  auto view = OpenView(folder.Path("page"));
  FreshnessPageView::Mark mark = view->mark();
  TestChanges().Commit(writer.get(), 9);
  EXPECT_EQ(view->applied_sequence(), 9);
  const FreshnessPageView::Changed changed = ChangesSince(*view, &mark);
  EXPECT_FALSE(changed.everything);
  EXPECT_THAT(changed.keys, IsEmpty());
}

TEST(FreshnessPageTest, EverythingSaysNothingElse) {
  TestFolder folder;
  auto writer = OpenPage(folder.Path("page"));
  auto view = OpenView(folder.Path("page"));
  FreshnessPageView::Mark mark = view->mark();
  TestChanges changes;
  changes.Key(1, "one", 1).Everything(2).Key(3, "one", 2).Commit(writer.get(), 3);
  TestChanges more;
  more.Key(4, "one", 3).Commit(writer.get(), 4);
  const FreshnessPageView::Changed changed = ChangesSince(*view, &mark);
  EXPECT_TRUE(changed.everything);
  EXPECT_THAT(changed.tables, IsEmpty());
  EXPECT_THAT(changed.keys, IsEmpty());
  EXPECT_FALSE(ChangesSince(*view, &mark).everything);
}

TEST(FreshnessPageTest, AFailedCommitEndsEvenAndCountsAsAnything) {
  TestFolder folder;
  auto writer = OpenPage(folder.Path("page"), 3);
  auto view = OpenView(folder.Path("page"));
  FreshnessPageView::Mark mark = view->mark();
  const uint64_t epoch = view->epoch();
  TestChanges changes;
  changes.Key(4, "one", 1);
  writer->Committing(changes.span());
  writer->CommitFailed();
  EXPECT_EQ(view->epoch(), epoch + 2);
  EXPECT_EQ(view->applied_sequence(), 3);
  EXPECT_TRUE(ChangesSince(*view, &mark).everything);
}

TEST(FreshnessPageTest, APauseIsOddAndChangesNothing) {
  TestFolder folder;
  const std::string path = folder.Path("page");
  auto writer = OpenPage(path, 7);
  auto view = OpenView(path);
  TestChanges().Key(8, "tbl", 5).Commit(writer.get(), 8);
  FreshnessPageView::Mark mark = view->mark();
  const uint64_t epoch = view->epoch();
  const uint64_t version = view->TableVersion(TableHash("tbl"));
  writer->Pause();
  EXPECT_EQ(view->epoch() % 2, 1u);
  writer->Resume();
  EXPECT_EQ(view->epoch() % 2, 0u);
  EXPECT_GT(view->epoch(), epoch) << "who holds a transaction would keep it";
  EXPECT_EQ(view->applied_sequence(), 8);
  EXPECT_EQ(view->TableVersion(TableHash("tbl")), version);
  const FreshnessPageView::Changed changed = ChangesSince(*view, &mark);
  EXPECT_FALSE(changed.everything);
  EXPECT_THAT(changed.tables, IsEmpty());
  EXPECT_THAT(changed.keys, IsEmpty());
  // Where it was resumed already it stays even.
  writer->Resume();
  EXPECT_EQ(view->epoch() % 2, 0u);
  // A writer that ends in a pause leaves it odd.
  writer->Pause();
  writer = nullptr;
  EXPECT_EQ(view->epoch() % 2, 1u);
}

TEST(FreshnessPageTest, TheRingHoldsItsSizeAndNoMore) {
  TestFolder folder;
  auto writer = OpenPage(folder.Path("page"));
  auto view = OpenView(folder.Path("page"));
  FreshnessPageView::Mark exact = view->mark();
  TestChanges first;
  first.Key(1, "one", 0).Commit(writer.get(), 1);
  FreshnessPageView::Mark after_first = view->mark();
  for (int64_t i = 1; i < kRing;) {
    TestChanges changes;
    for (int j = 0; j < 5000 && i < kRing; ++j, ++i) changes.Key(i, "one", i);
    changes.Commit(writer.get(), i);
  }
  FreshnessPageView::Mark overrun = exact;
  FreshnessPageView::Changed changed = ChangesSince(*view, &exact);
  EXPECT_FALSE(changed.everything);
  ASSERT_THAT(changed.keys, SizeIs(kRing));
  for (int64_t i = 0; i < kRing; ++i) ASSERT_EQ(changed.keys[i].key, KeyHash(i));

  TestChanges last;
  last.Key(kRing, "one", kRing).Commit(writer.get(), kRing);
  EXPECT_TRUE(ChangesSince(*view, &overrun).everything);
  EXPECT_FALSE(ChangesSince(*view, &overrun).everything);
  changed = ChangesSince(*view, &after_first);
  EXPECT_FALSE(changed.everything);
  ASSERT_THAT(changed.keys, SizeIs(kRing));
  EXPECT_EQ(changed.keys.back().key, KeyHash(kRing));
}

TEST(FreshnessPageTest, ACommitTooLargeForTheRingNamesItsTables) {
  TestFolder folder;
  auto writer = OpenPage(folder.Path("page"));
  auto view = OpenView(folder.Path("page"));
  FreshnessPageView::Mark mark = view->mark();
  TestChanges changes;
  for (int64_t i = 0; i < kRing + 10; ++i) changes.Key(i, i % 2 == 0 ? "one" : "two", i);
  changes.Commit(writer.get(), kRing);
  const FreshnessPageView::Changed changed = ChangesSince(*view, &mark);
  EXPECT_FALSE(changed.everything);
  EXPECT_THAT(changed.keys, IsEmpty());
  EXPECT_THAT(changed.tables, testing::UnorderedElementsAre(TableHash("one"), TableHash("two")));
}

TEST(FreshnessPageTest, ACommitOfMoreTablesThanTheRingHoldsIsEverything) {
  TestFolder folder;
  auto writer = OpenPage(folder.Path("page"));
  auto view = OpenView(folder.Path("page"));
  FreshnessPageView::Mark mark = view->mark();
  TestChanges changes;
  for (int64_t i = 0; i < kRing + 1; ++i) changes.Table(i, absl::StrCat("t", i));
  changes.Commit(writer.get(), kRing);
  EXPECT_TRUE(ChangesSince(*view, &mark).everything);
}

TEST(FreshnessPageTest, TheVersionOfATableGrowsWithEachOfItsChanges) {
  TestFolder folder;
  auto writer = OpenPage(folder.Path("page"));
  auto view = OpenView(folder.Path("page"));
  const auto version = [&](const std::string& table) {
    return view->TableVersion(TableHash(table));
  };
  uint64_t one = version("one");
  const uint64_t two = version("two");
  TestChanges key;
  key.Key(1, "one", 1).Commit(writer.get(), 1);
  EXPECT_GT(version("one"), one);
  one = version("one");
  TestChanges table;
  table.Table(2, "one").Commit(writer.get(), 2);
  EXPECT_GT(version("one"), one);
  one = version("one");
  EXPECT_EQ(version("two"), two);
  TestChanges everything;
  everything.Everything(3).Commit(writer.get(), 3);
  EXPECT_GT(version("one"), one);
  EXPECT_GT(version("two"), two);
}

TEST(FreshnessPageTest, TablesWithoutASlotHaveAVersionToo) {
  TestFolder folder;
  auto writer = OpenPage(folder.Path("page"));
  auto view = OpenView(folder.Path("page"));
  constexpr int kTables = 6000;
  std::vector<uint64_t> versions(kTables);
  const auto update = [&](int first, int last) {
    TestChanges changes;
    for (int i = first; i < last; ++i) changes.Key(i, absl::StrCat("t", i), i);
    changes.Commit(writer.get(), last);
  };
  // More than there are slots; those that come late find none.
  for (int i = 0; i < kTables; ++i)
    versions[i] = view->TableVersion(TableHash(absl::StrCat("t", i)));
  for (int begin = 0; begin < kTables; begin += 100) {
    update(begin, begin + 100);
    for (int i = 0; i < kTables; ++i) {
      const uint64_t now = view->TableVersion(TableHash(absl::StrCat("t", i)));
      ASSERT_GE(now, versions[i]) << i;
      if (i >= begin && i < begin + 100) {
        ASSERT_GT(now, versions[i]) << i;
      }
      versions[i] = now;
    }
  }
  update(0, kTables);
  for (int i = 0; i < kTables; ++i) {
    ASSERT_GT(view->TableVersion(TableHash(absl::StrCat("t", i))), versions[i]) << i;
  }
}

TEST(FreshnessPageTest, IsOddWithoutAWriterAndGoesOnWithTheNext) {
  TestFolder folder;
  const std::string path = folder.Path("page");
  auto writer = OpenPage(path, 3);
  auto view = OpenView(path);
  FreshnessPageView::Mark mark = view->mark();
  const uint64_t first = view->epoch();
  writer.reset();
  EXPECT_EQ(view->epoch() % 2, 1u);
  EXPECT_EQ(OpenView(path)->epoch() % 2, 1u);
  writer = OpenPage(path, 8);
  EXPECT_EQ(view->epoch() % 2, 0u);
  EXPECT_GT(view->epoch(), first);
  EXPECT_EQ(view->applied_sequence(), 8);
  EXPECT_TRUE(ChangesSince(*view, &mark).everything);
  EXPECT_TRUE(view->InPlace());
  TestChanges changes;
  changes.Key(9, "one", 1).Commit(writer.get(), 9);
  EXPECT_THAT(ChangesSince(*view, &mark).keys, SizeIs(1));
}

// Runs in a process of its own, up to where `work` ends it.
template <typename Work>
void InOtherProcess(Work work) {
  const pid_t pid = fork();
  if (pid == 0) {
    work();
    _exit(1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(pid, &status, 0), pid);
  ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << status;
}

TEST(FreshnessPageTest, StaysOddWhereAWriterWasKilledInACommitUntilTheNextCame) {
  TestFolder folder;
  const std::string path = folder.Path("page");
  OpenPage(path).reset();
  auto view = OpenView(path);
  FreshnessPageView::Mark mark = view->mark();
  InOtherProcess([&] {
    auto writer = OpenPage(path, 3);
    TestChanges changes;
    changes.Key(4, "one", 1);
    writer->Committing(changes.span());
    kill(getpid(), SIGKILL);
  });
  EXPECT_EQ(view->epoch() % 2, 1u);
  EXPECT_TRUE(ChangesSince(*view, &mark).everything);
  auto writer = OpenPage(path, 4);
  EXPECT_EQ(view->epoch() % 2, 0u);
  EXPECT_EQ(view->applied_sequence(), 4);
  EXPECT_TRUE(ChangesSince(*view, &mark).everything);
}

TEST(FreshnessPageTest, GoesOnBehindEntriesThatWereBeingWritten) {
  TestFolder folder;
  const std::string path = folder.Path("page");
  auto writer = OpenPage(path);
  TestChanges changes;
  changes.Key(1, "one", 1).Key(2, "one", 2).Commit(writer.get(), 2);
  writer.reset();
  std::string page = ReadAll(path);
  const uint64_t reserved = 2 + 100;
  page.replace(104, 8, reinterpret_cast<const char*>(&reserved), 8);
  WriteAll(path, page);
  writer = OpenPage(path, 3);
  auto view = OpenView(path);
  EXPECT_EQ(view->mark().ring, reserved);
  FreshnessPageView::Mark mark = view->mark();
  TestChanges more;
  more.Key(4, "one", 4).Commit(writer.get(), 4);
  EXPECT_THAT(ChangesSince(*view, &mark).keys, SizeIs(1));
}

TEST(FreshnessPageTest, AViewTakesOnlyThePageOfItsLocalDatabase) {
  TestFolder folder;
  const std::string path = folder.Path("page");
  EXPECT_EQ(FreshnessPageView::Open(path, kIdentity).status().code(), absl::StatusCode::kNotFound);
  auto writer = OpenPage(path);
  EXPECT_EQ(FreshnessPageView::Open(path, "fedcba9876543210").status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(FreshnessPageView::Open(path, "").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(FreshnessPageWriter::Open(path, "short", 0).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(FreshnessPageView::Open(folder.Path(""), kIdentity).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST(FreshnessPageTest, ThePageOfAnotherDatabaseIsReplacedAndEndsOdd) {
  TestFolder folder;
  const std::string path = folder.Path("page");
  auto killed = OpenPage(path);
  auto view = OpenView(path);
  EXPECT_EQ(view->epoch() % 2, 0u);
  EXPECT_TRUE(view->InPlace());
  auto other = FreshnessPageWriter::Open(path, "fedcba9876543210", 5);
  ASSERT_TRUE(other.ok()) << other.status();
  EXPECT_EQ(view->epoch() % 2, 1u);
  EXPECT_FALSE(view->InPlace());
  auto other_view = FreshnessPageView::Open(path, "fedcba9876543210");
  ASSERT_TRUE(other_view.ok()) << other_view.status();
  EXPECT_EQ((*other_view)->epoch() % 2, 0u);
}

TEST(FreshnessPageTest, ABrokenPageIsRefusedByViewsAndReplacedByTheWriter) {
  TestFolder folder;
  const std::string path = folder.Path("page");
  OpenPage(path).reset();
  const std::string good = ReadAll(path);
  std::vector<std::string> bad = {"",
                                  "C",
                                  good.substr(0, 72),
                                  good.substr(0, 4096),
                                  good.substr(0, good.size() - 1),
                                  good + "x",
                                  std::string(good.size(), '\0'),
                                  std::string(good.size(), '\xff')};
  for (const size_t offset : {0, 8, 12, 16}) {
    bad.push_back(good);
    bad.back()[offset] ^= 1;
  }
  for (const std::string& page : bad) {
    std::filesystem::remove(path);
    WriteAll(path, page);
    EXPECT_EQ(FreshnessPageView::Open(path, kIdentity).status().code(),
              absl::StatusCode::kFailedPrecondition);
    auto writer = OpenPage(path, 1);
    EXPECT_EQ(OpenView(path)->epoch() % 2, 0u);
  }
  // Counters that no writer leaves.
  std::string page = good;
  page[104 + 3] = 1;
  WriteAll(path, page);
  auto writer = OpenPage(path, 1);
  EXPECT_EQ(OpenView(path)->mark().ring, 0u);
}

TEST(FreshnessPageTest, NothingInAPageMakesAReaderCrash) {
  TestFolder folder;
  const std::string path = folder.Path("page");
  OpenPage(path).reset();
  std::string page = ReadAll(path);
  std::mt19937_64 random(1);
  for (int round = 0; round < 20; ++round) {
    for (size_t i = 64; i < page.size(); i += 8) {
      const uint64_t word = random() % 3 == 0 ? random() % 100000 : random();
      page.replace(i, 8, reinterpret_cast<const char*>(&word), 8);
    }
    WriteAll(path, page);
    auto view = OpenView(path);
    FreshnessPageView::Mark mark;
    for (int i = 0; i < 10; ++i) {
      mark.ring = view->mark().ring - random() % (2 * kRing);
      mark.everything = view->mark().everything;
      const FreshnessPageView::Changed changed = ChangesSince(*view, &mark);
      EXPECT_LE(changed.keys.size() + changed.tables.size(), static_cast<size_t>(kRing));
      view->TableVersion(random());
    }
    // And the writer goes on from there, or makes it anew.
    auto writer = OpenPage(path, 1);
    TestChanges changes;
    changes.Key(2, "one", 2).Commit(writer.get(), 2);
  }
}

TEST(FreshnessPageTest, AFullDiskIsAnErrorAndLeavesNothing) {
  TestFolder folder;
  const std::string path = folder.Path("page");
  struct rlimit old_limit;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &old_limit), 0);
  const auto old_handler = signal(SIGXFSZ, SIG_IGN);
  struct rlimit limit = old_limit;
  limit.rlim_cur = 64 << 10;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
  const absl::Status status = FreshnessPageWriter::Open(path, kIdentity, 0).status();
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &old_limit), 0);
  signal(SIGXFSZ, old_handler);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  EXPECT_FALSE(std::filesystem::exists(path));
  EXPECT_FALSE(std::filesystem::exists(path + ".new"));
}

TEST(FreshnessPageTest, AFolderThatIsNotThereIsAnError) {
  TestFolder folder;
  const absl::Status status =
      FreshnessPageWriter::Open(folder.Path("none/page"), kIdentity, 0).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("none/page"));
}

TEST(FreshnessPageTest, ThePageHasRealBlocks) {
  TestFolder folder;
  const std::string path = folder.Path("page");
  OpenPage(path).reset();
  struct stat file;
  ASSERT_EQ(stat(path.c_str(), &file), 0);
  EXPECT_GE(file.st_blocks * 512, static_cast<int64_t>(kPageBytes));
}

// Stands for the database: its rows become visible between Committing() and Committed(). In memory
// that processes share.
constexpr int kRows = 500;
class SharedRows {
 public:
  SharedRows() {
    void* const memory = mmap(nullptr, kRows * sizeof(*rows_), PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) std::abort();
    rows_ = static_cast<std::atomic<int64_t>*>(memory);
  }
  ~SharedRows() { munmap(rows_, kRows * sizeof(*rows_)); }

  std::atomic<int64_t>& operator[](int key) const { return rows_[key]; }

 private:
  std::atomic<int64_t>* rows_;
};

// Rows are in two tables, by the key's last bit.
std::string TableOf(int key) { return key % 2 == 0 ? "even" : "odd"; }

void CommitAtRandom(FreshnessPageWriter* writer, const SharedRows& rows, std::mt19937* random,
                    int64_t sequence) {
  TestChanges changes;
  std::vector<int> changed;
  const int kind = (*random)() % 100;
  if (kind < 90) {
    for (int i = (*random)() % 5; i >= 0; --i) changed.push_back((*random)() % kRows);
    for (const int key : changed) changes.Key(sequence, TableOf(key), key);
  } else if (kind < 98) {
    const int first = (*random)() % 2;
    for (int key = first; key < kRows; key += 2) changed.push_back(key);
    changes.Table(sequence, TableOf(first));
  } else {
    for (int key = 0; key < kRows; ++key) changed.push_back(key);
    changes.Everything(sequence);
  }
  writer->Committing(changes.span());
  for (const int key : changed) {
    rows[key].store(sequence, std::memory_order_relaxed);
  }
  if ((*random)() % 50 == 0) {
    writer->CommitFailed();
  } else {
    writer->Committed(changes.span(), sequence);
  }
}

// Keeps rows as a reader does, and compares what is kept with what is there.
class CachingReader {
 public:
  CachingReader(const FreshnessPageView* view, const SharedRows* rows, uint32_t seed)
      : view_(*view), rows_(*rows), random_(seed) {
    for (int key = 0; key < kRows; ++key) keys_[KeyHash(key)] = key;
    values_.assign(kRows, -1);
    mark_ = view_.mark();
  }

  int64_t checked() const { return checked_; }
  int64_t moved() const { return moved_; }

  void Step() {
    const uint64_t epoch = view_.epoch();
    if (epoch % 2 != 0) {
      std::this_thread::yield();
      return;
    }
    if (epoch != epoch_) {
      FreshnessPageView::Changed changed;
      view_.ChangesSince(&mark_, &changed);
      if (changed.everything) values_.assign(kRows, -1);
      for (const uint64_t table : changed.tables) {
        for (int key = 0; key < kRows; ++key) {
          if (TableHash(TableOf(key)) == table) values_[key] = -1;
        }
      }
      for (const FreshnessPageView::Changed::Key& key : changed.keys) {
        const int row = keys_.at(key.key);
        ASSERT_EQ(key.table, TableHash(TableOf(row)));
        values_[row] = -1;
      }
      if (view_.epoch() != epoch) return;
      epoch_ = epoch;
      ++moved_;
    }
    for (int i = 0; i < 20; ++i) {
      const int key = random_() % kRows;
      const int64_t value = rows_[key].load(std::memory_order_relaxed);
      if (view_.epoch() != epoch_) return;
      if (values_[key] >= 0) {
        ASSERT_EQ(values_[key], value) << "key " << key;
        ++checked_;
      }
      values_[key] = value;
    }
  }

 private:
  const FreshnessPageView& view_;
  const SharedRows& rows_;
  std::mt19937 random_;
  absl::flat_hash_map<uint64_t, int> keys_;
  std::vector<int64_t> values_;
  FreshnessPageView::Mark mark_;
  uint64_t epoch_ = 1;
  int64_t checked_ = 0;
  int64_t moved_ = 0;
};

TEST(FreshnessPageTest, ThreadsMissNoChange) {
  TestFolder folder;
  auto writer = OpenPage(folder.Path("page"));
  auto view = OpenView(folder.Path("page"));
  SharedRows rows;
  std::vector<std::thread> readers;
  std::atomic<int> reading{2};
  for (uint32_t i = 0; i < 2; ++i) {
    readers.emplace_back([&, i] {
      CachingReader reader(view.get(), &rows, i);
      while ((reader.checked() < 20000 || reader.moved() < 500) && !testing::Test::HasFailure()) {
        reader.Step();
      }
      --reading;
    });
  }
  std::mt19937 random(1);
  for (int64_t sequence = 1; reading > 0; ++sequence) {
    CommitAtRandom(writer.get(), rows, &random, sequence);
    if (random() % 4 == 0) std::this_thread::yield();
  }
  for (std::thread& reader : readers) reader.join();
}

TEST(FreshnessPageTest, ProcessesMissNoChangeAlsoWhenWritersAreKilled) {
  TestFolder folder;
  const std::string path = folder.Path("page");
  OpenPage(path).reset();
  auto view = OpenView(path);
  SharedRows rows;
  CachingReader reader(view.get(), &rows, 7);
  std::mt19937 random(1);
  for (int round = 0; round < 20 && !HasFailure(); ++round) {
    const pid_t pid = fork();
    if (pid == 0) {
      auto writer = OpenPage(path, view->applied_sequence());
      std::mt19937 own(round);
      for (int64_t sequence = view->applied_sequence() + 1000;; ++sequence) {
        CommitAtRandom(writer.get(), rows, &own, sequence);
        if (own() % 4 == 0) std::this_thread::yield();
      }
    }
    const int64_t checked = reader.checked() + 500 + random() % 500;
    const int64_t moved = reader.moved() + 1 + random() % 20;
    while ((reader.checked() < checked || reader.moved() < moved) && !HasFailure()) reader.Step();
    kill(pid, SIGKILL);
    ASSERT_EQ(waitpid(pid, nullptr, 0), pid);
    for (int i = 0; i < 100; ++i) reader.Step();
  }
}

TEST(FreshnessPageTest, EntriesThatAreBeingOverwrittenAreNotTaken) {
  TestFolder folder;
  const std::string path = folder.Path("page");
  OpenPage(path).reset();
  std::string page = ReadAll(path);
  const uint64_t head = 60000;
  const uint64_t reserved = 70000;
  page.replace(96, 8, reinterpret_cast<const char*>(&head), 8);
  page.replace(104, 8, reinterpret_cast<const char*>(&reserved), 8);
  WriteAll(path, page);
  auto view = OpenView(path);
  FreshnessPageView::Mark safe = view->mark();
  FreshnessPageView::Mark overwritten = safe;
  safe.ring = reserved - kRing;
  overwritten.ring = safe.ring - 1;
  EXPECT_FALSE(ChangesSince(*view, &safe).everything);
  EXPECT_TRUE(ChangesSince(*view, &overwritten).everything);
  EXPECT_EQ(overwritten.ring, head);
}

TEST(FreshnessPageTest, EntriesThatAreOverwrittenWhileTheyAreReadAreNotTaken) {
  TestFolder folder;
  auto writer = OpenPage(folder.Path("page"));
  auto view = OpenView(folder.Path("page"));
  // Entry number n is key n modulo kKeys: another one than the entry that it overwrites.
  constexpr int kCommits = 23;
  constexpr int64_t kKeysOfCommit = 3000;
  constexpr int64_t kKeys = kCommits * kKeysOfCommit;
  std::vector<TestChanges> commits(kCommits);
  std::vector<uint64_t> hashes;
  for (TestChanges& changes : commits) {
    for (int i = 0; i < kKeysOfCommit; ++i) {
      changes.Key(1, "one", static_cast<int64_t>(hashes.size()));
      hashes.push_back(KeyHash(static_cast<int64_t>(hashes.size())));
    }
  }
  std::atomic<bool> stop{false};
  std::thread reader([&] {
    std::mt19937 random(1);
    FreshnessPageView::Mark mark = view->mark();
    FreshnessPageView::Changed changed;
    int named = 0;
    while (named < 30) {
      // Where the ring is overwritten soon.
      const uint64_t behind = kRing / 2 + random() % (kRing / 2);
      while (view->mark().ring - mark.ring < behind) std::this_thread::yield();
      const uint64_t first = mark.ring;
      view->ChangesSince(&mark, &changed);
      if (changed.everything) continue;
      ++named;
      ASSERT_EQ(changed.keys.size(), mark.ring - first);
      for (size_t i = 0; i < changed.keys.size(); ++i) {
        ASSERT_EQ(changed.keys[i].key, hashes[(first + i) % kKeys]);
      }
    }
    stop = true;
  });
  for (int64_t i = 0; !stop && !HasFailure(); ++i) {
    commits[i % kCommits].Commit(writer.get(), i);
  }
  reader.join();
}

}  // namespace
}  // namespace ctlstore::ldb
