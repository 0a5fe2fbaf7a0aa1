#include "common/ldb/row_cache.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <memory>
#include <new>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/ldb/changes_test_util.h"
#include "common/ldb/freshness_page.h"
#include "common/ldb/ldb_test_util.h"

namespace {

// Calls of operator new by this thread.
thread_local int64_t allocations = 0;

}  // namespace

// Not inlined: the compiler takes what it sees of it for a mismatch.
__attribute__((noinline)) void* operator new(size_t size) {
  ++allocations;
  void* const memory = std::malloc(size);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
__attribute__((noinline)) void operator delete(void* memory) noexcept { std::free(memory); }
__attribute__((noinline)) void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace ctlstore::ldb {
namespace {

constexpr char kIdentity[] = "0123456789abcdef";

std::shared_ptr<const TableShape> Shape() {
  static const auto* const shape = [] {
    auto* const made = new TableShape;
    made->name = {"fam", "any"};
    made->columns = {{"k0", FieldType()}, {"version", FieldType()}, {"payload", FieldType()}};
    made->key = {0};
    return new std::shared_ptr<const TableShape>(made);
  }();
  return *shape;
}

RowData::Ptr MakeRow(ValueView key, int64_t version, size_t payload = 20) {
  return RowData::Row(Shape(), {key, ValueView(version), ValueView(std::string(payload, 'p'))});
}

uint64_t KeyHash(ValueView key) { return FreshnessKeyHash({key}); }

class RowCacheTest : public ::testing::Test {
 protected:
  RowCacheTest()
      : path_(folder_.Path("page")),
        writer_(*FreshnessPageWriter::Open(path_, kIdentity, 0)),
        page_(*FreshnessPageView::Open(path_, kIdentity)),
        lanes_([]() -> void* { return nullptr; }, [](void*) {}) {}

  std::unique_ptr<RowCache> Make(size_t max_bytes = size_t{8} << 20) {
    return std::make_unique<RowCache>(max_bytes, page_.get(), &lanes_);
  }

  ReaderLanes::Pin Pin() { return lanes_.MakePin(lanes_.Mine()); }

  // As a reader that has just read it does.
  const RowData* Insert(RowCache* cache, const RowCache::Table* table, ValueView key,
                        int64_t version, size_t payload = 20) {
    return cache->Insert(table, KeyHash(key), MakeRow(key, version, payload), page_->epoch());
  }

  // The version that is found, 0 for none, -1 for a row that is missing.
  static int64_t Version(RowCache* cache, const RowCache::Table* table, ValueView key) {
    const RowData* const row = cache->Find(table, KeyHash(key), {key});
    if (row == nullptr) return 0;
    EXPECT_TRUE(row->HasKey({key}));
    return row->exists() ? row->value(1).integer() : -1;
  }

  TestFolder folder_;
  const std::string path_;
  std::unique_ptr<FreshnessPageWriter> writer_;
  std::unique_ptr<FreshnessPageView> page_;
  ReaderLanes lanes_;
};

TEST_F(RowCacheTest, FindsWhatWasInserted) {
  const auto cache = Make();
  const RowCache::Table* const table = cache->GetTable({"fam", "one"});
  EXPECT_EQ(cache->GetTable({"fam", "one"}), table);
  const ReaderLanes::Pin pin = Pin();
  EXPECT_EQ(cache->Sync(), page_->epoch());
  EXPECT_EQ(Version(cache.get(), table, "NZ"), 0);
  const RowData* const row = Insert(cache.get(), table, "NZ", 7);
  EXPECT_EQ(cache->Find(table, KeyHash("NZ"), {ValueView("NZ")}), row);
  EXPECT_EQ(Version(cache.get(), table, "NZ"), 7);
  EXPECT_EQ(Version(cache.get(), table, "AU"), 0);
  EXPECT_EQ(Version(cache.get(), table, ValueView::Bytes("NZ")), 0);
  EXPECT_EQ(Version(cache.get(), cache->GetTable({"fam", "two"}), "NZ"), 0);
  EXPECT_EQ(Version(cache.get(), cache->GetTable({"map", "one"}), "NZ"), 0);
  EXPECT_EQ(cache->stats().rows, 1);
}

TEST_F(RowCacheTest, ManyRowsAreToldApart) {
  const auto cache = Make(size_t{64} << 20);
  const std::array<const RowCache::Table*, 3> tables = {cache->GetTable({"fam", "one"}),
                                                        cache->GetTable({"fam", "two"}),
                                                        cache->GetTable({"fam", "three"})};
  const ReaderLanes::Pin pin = Pin();
  cache->Sync();
  for (int64_t key = 0; key < 30000; ++key) {
    for (int64_t t = 0; t < 3; ++t) Insert(cache.get(), tables[t], key, key * 3 + t + 1);
  }
  for (int64_t key = 0; key < 30000; ++key) {
    for (int64_t t = 0; t < 3; ++t) {
      ASSERT_EQ(Version(cache.get(), tables[t], key), key * 3 + t + 1);
    }
  }
  EXPECT_EQ(cache->stats().rows, 90000);
  EXPECT_EQ(cache->stats().evicted, 0);
}

TEST_F(RowCacheTest, ACommitTakesOutTheRowsThatItChangedAndNoOthers) {
  const auto cache = Make();
  const RowCache::Table* const one = cache->GetTable({"fam", "one"});
  const RowCache::Table* const two = cache->GetTable({"fam", "two"});
  const ReaderLanes::Pin pin = Pin();
  const uint64_t before = cache->Sync();
  for (int64_t key = 1; key <= 100; ++key) {
    Insert(cache.get(), one, key, key);
    Insert(cache.get(), two, key, key);
  }
  TestChanges().Key(1, "one", 5).Key(1, "one", 7).Key(1, "two", 9).Commit(writer_.get(), 1);
  EXPECT_GT(cache->Sync(), before);
  for (int64_t key = 1; key <= 100; ++key) {
    EXPECT_EQ(Version(cache.get(), one, key), key == 5 || key == 7 ? 0 : key);
    EXPECT_EQ(Version(cache.get(), two, key), key == 9 ? 0 : key);
  }
  EXPECT_EQ(cache->stats().rows, 197);
  EXPECT_EQ(cache->stats().invalidated, 3);
  EXPECT_EQ(cache->stats().tables_invalidated, 0);
  Insert(cache.get(), one, 5, 500);
  EXPECT_EQ(Version(cache.get(), one, 5), 500);
}

TEST_F(RowCacheTest, ATableThatChangedAsAWholeIsTakenOutWhole) {
  const auto cache = Make();
  const RowCache::Table* const one = cache->GetTable({"fam", "one"});
  const RowCache::Table* const two = cache->GetTable({"fam", "two"});
  const ReaderLanes::Pin pin = Pin();
  cache->Sync();
  for (int64_t key = 1; key <= 100; ++key) {
    Insert(cache.get(), one, key, key);
    Insert(cache.get(), two, key, key);
  }
  TestChanges().Table(1, "one").Table(1, "never_read").Commit(writer_.get(), 1);
  EXPECT_NE(cache->Sync(), 0u);
  for (int64_t key = 1; key <= 100; ++key) {
    EXPECT_EQ(Version(cache.get(), one, key), 0);
    EXPECT_EQ(Version(cache.get(), two, key), key);
    Insert(cache.get(), one, key, key + 1000);
    EXPECT_EQ(Version(cache.get(), one, key), key + 1000);
  }
}

TEST_F(RowCacheTest, EverythingIsTakenOutWhenAnythingMayHaveChanged) {
  const auto cache = Make();
  const RowCache::Table* const one = cache->GetTable({"fam", "one"});
  const RowCache::Table* const two = cache->GetTable({"fam", "two"});
  const ReaderLanes::Pin pin = Pin();
  const auto fill = [&] {
    ASSERT_NE(cache->Sync(), 0u);
    Insert(cache.get(), one, 1, 10);
    Insert(cache.get(), two, 1, 10);
    ASSERT_EQ(Version(cache.get(), one, 1), 10);
  };
  const auto expect_empty = [&] {
    EXPECT_NE(cache->Sync(), 0u);
    EXPECT_EQ(Version(cache.get(), one, 1), 0);
    EXPECT_EQ(Version(cache.get(), two, 1), 0);
  };
  fill();
  TestChanges().Everything(1).Commit(writer_.get(), 1);
  expect_empty();

  fill();
  writer_->Committing({});
  writer_->CommitFailed();
  expect_empty();

  // More than the page's ring holds.
  fill();
  TestChanges many;
  for (int64_t key = 100; key < 30100; ++key) many.Key(2, "other", key);
  for (int i = 0; i < 3; ++i) many.Commit(writer_.get(), 2);
  expect_empty();

  // Another writer.
  fill();
  writer_.reset();
  EXPECT_EQ(cache->Sync(), 0u);
  writer_ = *FreshnessPageWriter::Open(path_, kIdentity, 2);
  expect_empty();
}

TEST_F(RowCacheTest, TellsNothingDuringACommitAndWithoutAWriter) {
  const auto cache = Make();
  const ReaderLanes::Pin pin = Pin();
  EXPECT_NE(cache->Sync(), 0u);
  const TestChanges none;
  writer_->Committing(none.span());
  EXPECT_EQ(cache->Sync(), 0u);
  writer_->Committed(none.span(), 1);
  EXPECT_NE(cache->Sync(), 0u);
  writer_.reset();
  EXPECT_EQ(cache->Sync(), 0u);
  const auto later = Make();
  EXPECT_EQ(later->Sync(), 0u);
}

TEST_F(RowCacheTest, WhatWasReadBeforeAChangeIsNotKeptAfterIt) {
  const auto cache = Make();
  const RowCache::Table* const table = cache->GetTable({"fam", "one"});
  const ReaderLanes::Pin pin = Pin();
  const uint64_t before = cache->Sync();
  TestChanges().Key(1, "one", 1).Commit(writer_.get(), 1);
  ASSERT_NE(cache->Sync(), 0u);
  // Key 1 was changed and key 2 was not, but that is not looked at.
  for (int64_t key : {1, 2}) {
    const RowData* const row = cache->Insert(table, KeyHash(key), MakeRow(key, 10), before);
    EXPECT_EQ(Version(cache.get(), table, key), 0);
    // The caller may still use it.
    EXPECT_EQ(row->value(1), ValueView(10));
    for (int i = 0; i < 10; ++i) lanes_.Reclaim();
    EXPECT_EQ(row->value(1), ValueView(10));
  }
  EXPECT_EQ(cache->stats().rows, 0);
  EXPECT_EQ(cache->stats().bytes, 0u);
}

TEST_F(RowCacheTest, WhatIsKeptLateIsTakenOutByTheNextSync) {
  for (const bool whole_table : {false, true}) {
    const auto cache = Make();
    const RowCache::Table* const table = cache->GetTable({"fam", "one"});
    const ReaderLanes::Pin pin = Pin();
    const uint64_t before = cache->Sync();
    if (whole_table) {
      TestChanges().Table(1, "one").Commit(writer_.get(), 1);
    } else {
      TestChanges().Key(1, "one", 1).Commit(writer_.get(), 1);
    }
    // Nobody has looked at the change yet.
    cache->Insert(table, KeyHash(1), MakeRow(1, 10), before);
    ASSERT_NE(cache->Sync(), 0u);
    EXPECT_EQ(Version(cache.get(), table, 1), 0);
  }
}

TEST_F(RowCacheTest, WhatIsInsertedDuringASyncIsNotOlderThanIt) {
  const auto cache = Make();
  const RowCache::Table* const table = cache->GetTable({"fam", "one"});
  // Until it was so a few times, where the other thread does not run as often.
  int during = 0;
  for (int round = 0; round < 300 && during < 10; ++round) {
    ASSERT_NE(cache->Sync(), 0u);
    const uint64_t before = page_->epoch();
    // The change that matters comes first, so that it is looked at long before the sync's end.
    TestChanges changes;
    if (round % 2 == 0) {
      changes.Key(1, "one", 1);
    } else {
      changes.Table(1, "one");
    }
    for (int64_t key = 0; key < 30000; ++key) changes.Key(1, "other", key);
    changes.Commit(writer_.get(), 1);
    std::atomic<int64_t> inserted{0};
    std::atomic<bool> stop{false};
    std::thread other([&] {
      while (!stop) {
        const ReaderLanes::Pin pin = Pin();
        cache->Insert(table, KeyHash(1), MakeRow(1, 10), before);
        ++inserted;
      }
    });
    while (inserted == 0) std::this_thread::yield();
    const int64_t until_sync = inserted;
    EXPECT_NE(cache->Sync(), 0u);
    if (inserted > until_sync) ++during;
    const ReaderLanes::Pin pin = Pin();
    EXPECT_EQ(Version(cache.get(), table, 1), 0);
    stop = true;
    other.join();
    lanes_.Reclaim();
  }
}

TEST_F(RowCacheTest, KeepsNothingBeforeTheFirstSync) {
  const auto cache = Make();
  const RowCache::Table* const table = cache->GetTable({"fam", "one"});
  const ReaderLanes::Pin pin = Pin();
  Insert(cache.get(), table, 1, 10);
  EXPECT_EQ(Version(cache.get(), table, 1), 0);
  cache->Sync();
  EXPECT_EQ(Version(cache.get(), table, 1), 0);
}

TEST_F(RowCacheTest, KnowsRowsThatDoNotExistUntilTheyDo) {
  const auto cache = Make();
  const RowCache::Table* const table = cache->GetTable({"fam", "one"});
  const ReaderLanes::Pin pin = Pin();
  cache->Sync();
  cache->Insert(table, KeyHash(1), RowData::Missing(Shape(), {ValueView(1)}), page_->epoch());
  cache->Insert(table, KeyHash(2), RowData::Missing(Shape(), {ValueView(2)}), page_->epoch());
  EXPECT_EQ(Version(cache.get(), table, 1), -1);
  TestChanges().Key(1, "one", 1).Commit(writer_.get(), 1);
  cache->Sync();
  EXPECT_EQ(Version(cache.get(), table, 1), 0);
  EXPECT_EQ(Version(cache.get(), table, 2), -1);
  Insert(cache.get(), table, 1, 10);
  EXPECT_EQ(Version(cache.get(), table, 1), 10);
}

TEST_F(RowCacheTest, KeysOfTheSameHashAreToldApartAndTakenOutTogether) {
  const auto cache = Make();
  const RowCache::Table* const one = cache->GetTable({"fam", "one"});
  const RowCache::Table* const two = cache->GetTable({"fam", "two"});
  const ReaderLanes::Pin pin = Pin();
  cache->Sync();
  // As if all of them had the hash that key 1 has.
  const uint64_t hash = KeyHash(1);
  for (int64_t key = 1; key <= 5; ++key) {
    cache->Insert(one, hash, MakeRow(key, key * 10), page_->epoch());
    cache->Insert(two, hash, MakeRow(key, key * 10), page_->epoch());
  }
  const auto found = [&](const RowCache::Table* table, int64_t key) {
    const RowData* const row = cache->Find(table, hash, {ValueView(key)});
    return row == nullptr ? 0 : row->value(1).integer();
  };
  for (int64_t key = 1; key <= 5; ++key) EXPECT_EQ(found(one, key), key * 10);
  EXPECT_EQ(found(one, 6), 0);
  EXPECT_EQ(cache->Find(one, hash, {ValueView("1")}), nullptr);
  EXPECT_EQ(cache->Find(one, hash, {}), nullptr);
  TestChanges().Key(1, "one", 1).Commit(writer_.get(), 1);
  cache->Sync();
  for (int64_t key = 1; key <= 5; ++key) {
    EXPECT_EQ(found(one, key), 0);
    EXPECT_EQ(found(two, key), key * 10);
  }
}

TEST_F(RowCacheTest, TheNewestOfTwoRowsWithAKeyIsKept) {
  const auto cache = Make();
  const RowCache::Table* const table = cache->GetTable({"fam", "one"});
  ReaderLanes::Pin pin = Pin();
  cache->Sync();
  const RowData* const first = Insert(cache.get(), table, "NZ", 1);
  Insert(cache.get(), table, "AU", 5);
  const size_t bytes = cache->stats().bytes;
  Insert(cache.get(), table, "NZ", 2);
  EXPECT_EQ(Version(cache.get(), table, "NZ"), 2);
  EXPECT_EQ(Version(cache.get(), table, "AU"), 5);
  EXPECT_EQ(cache->stats().rows, 2);
  EXPECT_EQ(cache->stats().bytes, bytes);
  for (int i = 0; i < 10; ++i) lanes_.Reclaim();
  EXPECT_EQ(first->value(1), ValueView(1));
  EXPECT_GT(lanes_.retired_bytes(), 0u);
  pin.Release();
  for (int i = 0; i < 10; ++i) lanes_.Reclaim();
  EXPECT_EQ(lanes_.retired_bytes(), 0u);
}

TEST_F(RowCacheTest, ADecimalKeyThatIsNotANumberIsNotKept) {
  const auto cache = Make();
  const RowCache::Table* const table = cache->GetTable({"fam", "one"});
  const ReaderLanes::Pin pin = Pin();
  cache->Sync();
  for (int i = 0; i < 10; ++i) {
    Insert(cache.get(), table, std::numeric_limits<double>::quiet_NaN(), 1);
  }
  EXPECT_EQ(cache->stats().rows, 0);
  Insert(cache.get(), table, 0.0, 1);
  EXPECT_EQ(Version(cache.get(), table, -0.0), 1);
}

TEST_F(RowCacheTest, NeverTakesMoreThanItsMemory) {
  for (const size_t max_bytes : {size_t{1000}, size_t{64} << 10, size_t{1} << 20}) {
    const auto cache = Make(max_bytes);
    const RowCache::Table* const table = cache->GetTable({"fam", "one"});
    std::mt19937_64 random(max_bytes);
    int64_t kept = 0;
    for (int i = 0; i < 50000; ++i) {
      const ReaderLanes::Pin pin = Pin();
      cache->Sync();
      const int64_t key = static_cast<int64_t>(random() % 20000);
      if (Version(cache.get(), table, key) != 0) {
        ++kept;
        continue;
      }
      // Mostly small, some larger than anything that is kept.
      RowData::Ptr row = MakeRow(key, 1, random() % 100 == 0 ? max_bytes / 60 : random() % 100);
      cache->Keep(table, KeyHash(key), &row, page_->epoch());
      ASSERT_LE(cache->stats().bytes + lanes_.retired_bytes(), max_bytes);
    }
    if (max_bytes > 10000) {
      EXPECT_GT(kept, 0);
      EXPECT_GT(cache->stats().evicted, 0);
      // Most of the memory is made use of.
      EXPECT_GT(cache->stats().bytes, max_bytes / 2);
    }
    for (int i = 0; i < 10; ++i) lanes_.Reclaim();
  }
}

TEST_F(RowCacheTest, StopsKeepingRowsRatherThanTakeMoreWhileAPinIsHeld) {
  constexpr size_t kMax = 256 << 10;
  const auto cache = Make(kMax);
  const RowCache::Table* const table = cache->GetTable({"fam", "one"});
  const auto churn = [&](int64_t begin, int64_t end) {
    int64_t kept = 0;
    for (int64_t key = begin; key < end; ++key) {
      const ReaderLanes::Pin pin = Pin();
      cache->Sync();
      RowData::Ptr row = MakeRow(key, key);
      const RowData* const data = row.get();
      if (cache->Keep(table, KeyHash(key), &row, page_->epoch())) {
        ++kept;
        EXPECT_EQ(row, nullptr);
        EXPECT_EQ(cache->Find(table, KeyHash(key), {ValueView(key)}), data);
      } else {
        EXPECT_EQ(row.get(), data);
      }
      EXPECT_LE(cache->stats().bytes + lanes_.retired_bytes(), kMax);
    }
    return kept;
  };
  // Not all: there is not always a row nearby that was not used.
  EXPECT_GT(churn(1, 10000), 9500);
  ReaderLanes::Pin held = Pin();
  EXPECT_LT(churn(10000, 20000), 1000);
  // What it has it still answers with.
  int64_t found = 0;
  for (int64_t key = 1; key < 20000; ++key) found += Version(cache.get(), table, key) == key;
  EXPECT_EQ(found, cache->stats().rows);
  EXPECT_GT(found, 500);
  // What changes is not forgotten before it is freed.
  for (int64_t begin = 1; begin < 20000; begin += 1000) {
    TestChanges changes;
    for (int64_t key = begin; key < begin + 1000; ++key) changes.Key(1, "one", key);
    changes.Commit(writer_.get(), 1);
    cache->Sync();
  }
  EXPECT_EQ(cache->stats().rows, 0);
  EXPECT_LT(churn(1, 10000), 1000);
  // Changes go on taking effect.
  TestChanges().Table(1, "one").Commit(writer_.get(), 1);
  cache->Sync();
  for (int64_t key = 1; key < 20000; ++key) ASSERT_EQ(Version(cache.get(), table, key), 0);
  held.Release();
  for (int i = 0; i < 10; ++i) lanes_.Reclaim();
  EXPECT_GT(churn(20000, 30000), 9500);
}

TEST_F(RowCacheTest, ALargeRowIsNotKept) {
  const auto cache = Make(size_t{1} << 20);
  const RowCache::Table* const table = cache->GetTable({"fam", "one"});
  const ReaderLanes::Pin pin = Pin();
  cache->Sync();
  Insert(cache.get(), table, 1, 10, 15000);
  EXPECT_EQ(Version(cache.get(), table, 1), 10);
  const RowData* const row = Insert(cache.get(), table, 2, 20, 20000);
  EXPECT_EQ(Version(cache.get(), table, 2), 0);
  EXPECT_EQ(row->value(1), ValueView(20));
}

TEST_F(RowCacheTest, RowsThatAreUsedStayWhenOthersGo) {
  const auto cache = Make(size_t{1} << 20);
  const RowCache::Table* const table = cache->GetTable({"fam", "one"});
  int64_t misses = 0;
  for (int64_t key = 1000; key < 100000; ++key) {
    const ReaderLanes::Pin pin = Pin();
    cache->Sync();
    const int64_t used = key % 100;
    if (Version(cache.get(), table, used) == 0) {
      ++misses;
      Insert(cache.get(), table, used, 1);
    }
    Insert(cache.get(), table, key, 1);
  }
  EXPECT_GT(cache->stats().evicted, 50000);
  EXPECT_LT(misses, 200);
}

TEST_F(RowCacheTest, RowsOfADroppedTableMakeRoom) {
  const auto cache = Make(256 << 10);
  const RowCache::Table* const table = cache->GetTable({"fam", "one"});
  for (int64_t round = 1; round <= 20; ++round) {
    for (int64_t key = 0; key < 1000; ++key) {
      const ReaderLanes::Pin pin = Pin();
      ASSERT_NE(cache->Sync(), 0u);
      Insert(cache.get(), table, key, round);
      ASSERT_EQ(Version(cache.get(), table, key), round);
    }
    TestChanges().Table(round, "one").Commit(writer_.get(), round);
  }
}

TEST_F(RowCacheTest, AnsweringAllocatesNothing) {
  const auto cache = Make();
  const RowCache::Table* const table = cache->GetTable({"fam", "one"});
  {
    const ReaderLanes::Pin pin = Pin();
    cache->Sync();
    for (int64_t key = 0; key < 1000; ++key) Insert(cache.get(), table, key, key + 1);
  }
  const int64_t before = allocations;
  int64_t sum = 0;
  for (int64_t key = 0; key < 1010; ++key) {
    const ReaderLanes::Pin pin = Pin();
    if (cache->Sync() == 0) continue;
    const ValueView value(key);
    const RowData* const row = cache->Find(table, FreshnessKeyHash({value}), {value});
    if (row != nullptr) sum += row->value(1).integer();
  }
  EXPECT_EQ(allocations, before);
  EXPECT_EQ(sum, 1000 * 1001 / 2);
  // The count is one.
  MakeRow(1, 1);
  EXPECT_GT(allocations, before);
}

// A database of versions, one writer and readers who answer from the cache as a Reader does. No
// answer may be older than what was committed when the call began, or than an earlier answer.
class RowCacheCoherenceTest : public RowCacheTest, public ::testing::WithParamInterface<size_t> {
 protected:
  static constexpr int64_t kKeys = 40;
  static constexpr int64_t kTables = 2;
  struct Record {
    std::atomic<int64_t> version{1};
    // What a call that begins now must see.
    std::atomic<int64_t> committed{1};
  };
  static std::string TableOf(int64_t table) { return table == 0 ? "one" : "two"; }
  // At some versions there is no row.
  static bool Exists(int64_t version) { return version % 4 != 0; }

  void Write(std::mt19937_64* random) {
    TestChanges changes;
    std::vector<Record*> changed;
    const auto change = [&](int64_t table, int64_t key) {
      changed.push_back(&records_[table][key]);
    };
    ++sequence_;
    const uint64_t kind = (*random)() % 100;
    if (kind < 90) {
      for (uint64_t i = (*random)() % 6; i > 0; --i) {
        const int64_t table = static_cast<int64_t>((*random)() % kTables);
        const int64_t key = static_cast<int64_t>((*random)() % kKeys);
        changes.Key(sequence_, TableOf(table), key);
        change(table, key);
      }
    } else if (kind < 96) {
      const int64_t table = static_cast<int64_t>((*random)() % kTables);
      changes.Table(sequence_, TableOf(table));
      for (int64_t key = 0; key < kKeys; ++key) change(table, key);
    } else if (kind < 98) {
      changes.Everything(sequence_);
      for (int64_t table = 0; table < kTables; ++table) {
        for (int64_t key = 0; key < kKeys; ++key) change(table, key);
      }
    } else {
      // A large part of the ring.
      for (int64_t i = 0; i < 30000; ++i) changes.Key(sequence_, "three", i);
      changes.Key(sequence_, "one", 0);
      change(0, 0);
    }
    writer_->Committing(changes.span());
    if ((*random)() % 8 == 0) std::this_thread::yield();
    for (Record* const record : changed) record->version.fetch_add(1);
    if ((*random)() % 16 == 0) {
      // It was committed, but the writer could not learn so.
      writer_->CommitFailed();
    } else {
      writer_->Committed(changes.span(), sequence_);
    }
    for (Record* const record : changed) record->committed.store(record->version.load());
  }

  // Returns false where an answer was wrong.
  bool Read(RowCache* cache, std::mt19937_64* random,
            std::array<std::array<int64_t, kKeys>, kTables>* seen) {
    const int64_t t = static_cast<int64_t>((*random)() % kTables);
    const int64_t key = static_cast<int64_t>((*random)() % kKeys);
    const RowCache::Table* const table = cache->GetTable({"fam", TableOf(t)});
    Record& record = records_[t][key];
    const int64_t least = std::max(record.committed.load(), (*seen)[t][key]);

    const ReaderLanes::Pin pin = Pin();
    const RowData* row = nullptr;
    if (cache->Sync() != 0) {
      row = cache->Find(table, KeyHash(key), {ValueView(key)});
      if (row != nullptr) ++hits_;
    }
    if (row == nullptr) {
      const uint64_t epoch = page_->epoch();
      const int64_t version = record.version.load();
      // As a read of a held transaction does, which was begun before the commit.
      if ((*random)() % 4 == 0) std::this_thread::yield();
      if (epoch % 2 != 0 || page_->epoch() != epoch) return true;
      if ((*random)() % 4 == 0) std::this_thread::yield();
      RowData::Ptr read = Exists(version) ? MakeRow(key, version, (*random)() % 60)
                                          : RowData::Missing(Shape(), {ValueView(key)});
      row = cache->Insert(table, KeyHash(key), std::move(read), epoch);
    }
    const int64_t most = record.version.load();
    if (!row->HasKey({ValueView(key)})) return false;
    if (row->exists()) {
      const int64_t version = row->value(1).integer();
      (*seen)[t][key] = version;
      if (version >= least && version <= most && Exists(version)) return true;
      ADD_FAILURE() << "version " << version << ", not " << least << " to " << most;
      return false;
    }
    if (least / 4 * 4 == least || least / 4 * 4 + 4 <= most) return true;
    ADD_FAILURE() << "no row, where versions were " << least << " to " << most;
    return false;
  }

  std::array<std::array<Record, kKeys>, kTables> records_;
  std::atomic<int64_t> hits_{0};
  int64_t sequence_ = 0;
};

TEST_P(RowCacheCoherenceTest, NoAnswerIsOlderThanTheCall) {
  const auto cache = Make(GetParam());
  constexpr int kReaders = 3;
  std::atomic<int> reading{kReaders};
  std::vector<std::thread> threads;
  for (int i = 0; i < kReaders; ++i) {
    threads.emplace_back([&, i] {
      std::mt19937_64 random(i + 100);
      std::array<std::array<int64_t, kKeys>, kTables> seen{};
      for (int n = 0; n < 100000; ++n) {
        if (!Read(cache.get(), &random, &seen)) break;
        if (n % 256 == 0) lanes_.Reclaim();
      }
      --reading;
    });
  }
  std::mt19937_64 random(7);
  while (reading > 0) {
    Write(&random);
    // So that there is something to find.
    for (uint64_t i = random() % 64; i > 0; --i) std::this_thread::yield();
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_GT(hits_, 0);
  EXPECT_LE(cache->stats().bytes, GetParam());
  for (int i = 0; i < 10; ++i) lanes_.Reclaim();
  EXPECT_EQ(lanes_.retired_bytes(), 0u);
}

// With room for all rows, and with so little that rows make way for others all the time.
INSTANTIATE_TEST_SUITE_P(Sizes, RowCacheCoherenceTest,
                         ::testing::Values(size_t{1} << 20, size_t{14} << 10));

}  // namespace
}  // namespace ctlstore::ldb
