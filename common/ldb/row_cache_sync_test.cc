// What happens between the steps by which a cache follows the freshness page. The page is one of
// this test's own, which lets other things happen whenever the cache looks at it.

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "common/ldb/freshness_page.h"
#include "common/ldb/reader_lanes.h"
#include "common/ldb/row_cache.h"
#include "common/ldb/row_data.h"

namespace ctlstore::ldb {
namespace {

struct FakePage {
  uint64_t epoch = 2;
  // All that was ever in the ring.
  std::vector<FreshnessPageView::Changed::Key> ring;
  // Happens before each look at the page, but not at what itself looks at.
  std::function<void()> before_look;
  bool busy = false;

  void Look() {
    if (busy || before_look == nullptr) return;
    busy = true;
    before_look();
    busy = false;
  }
};

FakePage* fake = nullptr;

// The whole table, where it is a key.
constexpr uint64_t kWholeTable = 0;

}  // namespace

class FreshnessPageView::Impl {};
FreshnessPageView::FreshnessPageView(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
FreshnessPageView::~FreshnessPageView() = default;

// Stands in for the real one's name only: there is no file.
absl::StatusOr<std::unique_ptr<FreshnessPageView>> FreshnessPageView::Open(const std::string&,
                                                                           absl::string_view) {
  return std::unique_ptr<FreshnessPageView>(new FreshnessPageView(nullptr));
}

uint64_t FreshnessPageView::epoch() const {
  fake->Look();
  return fake->epoch;
}

FreshnessPageView::Mark FreshnessPageView::mark() const { return {fake->ring.size(), 0}; }

void FreshnessPageView::ChangesSince(Mark* since, Changed* changed) const {
  fake->Look();
  changed->everything = false;
  changed->tables.clear();
  changed->keys.clear();
  for (; since->ring < fake->ring.size(); ++since->ring) {
    const Changed::Key& key = fake->ring[since->ring];
    if (key.key == kWholeTable) {
      changed->tables.push_back(key.table);
    } else {
      changed->keys.push_back(key);
    }
  }
  fake->Look();
}

uint64_t FreshnessTableHash(const TableName& table) { return table.table.size(); }

namespace {

uint64_t KeyHash(int64_t key) { return 1000 + static_cast<uint64_t>(key); }

// A commit has three steps that others can see: the epoch becomes odd, the database shows it and
// the ring names it, the epoch becomes even. They and everything a reader does come at random
// between the cache's looks at the page.
class RowCacheSyncTest : public ::testing::TestWithParam<int> {
 protected:
  static constexpr int64_t kKeys = 3;

  RowCacheSyncTest()
      : lanes_([]() -> void* { return nullptr; }, [](void*) {}), random_(GetParam()) {
    auto shape = std::make_shared<TableShape>();
    shape->columns = {{"key", FieldType()}, {"version", FieldType()}};
    shape->key = {0};
    shape_ = std::move(shape);
    fake = &page_;
    view_ = *FreshnessPageView::Open("", "");
    cache_ = std::make_unique<RowCache>(1 << 20, view_.get(), &lanes_);
    table_ = cache_->GetTable({"fam", "table"});
  }

  void Step() {
    switch (random_() % 16) {
      case 0:
        NextOfCommit();
        break;
      case 1:
        for (int i = 0; i < 3; ++i) NextOfCommit();
        break;
      case 2:
      case 3:
      case 4:
        Read();
        break;
      case 5:
      case 6:
      case 7:
        Insert();
        break;
      default:
        // Commits do not begin as often as they end.
        if (page_.epoch % 2 != 0) NextOfCommit();
        break;
    }
  }

  void NextOfCommit() {
    if (page_.epoch % 2 == 0) {
      ++page_.epoch;
      applied_ = false;
      changed_ = random_() % 4 == 0 ? kKeys : static_cast<int64_t>(random_() % kKeys);
    } else if (!applied_) {
      applied_ = true;
      for (int64_t key = 0; key < kKeys; ++key) {
        if (changed_ == kKeys || key == changed_) ++versions_[key];
      }
      page_.ring.push_back({table_hash_, changed_ == kKeys ? kWholeTable : KeyHash(changed_)});
    } else {
      ++page_.epoch;
    }
  }

  // A reader that has missed reads the database at an even epoch.
  void Read() {
    if (page_.epoch % 2 != 0) return;
    const int64_t key = static_cast<int64_t>(random_() % kKeys);
    if (read_.size() == 6) read_.erase(read_.begin());
    read_.push_back({key, versions_[key], page_.epoch});
  }

  // And inserts what it has read, at once or later.
  void Insert() {
    if (read_.empty()) return;
    std::swap(read_[random_() % read_.size()], read_.back());
    const ReadRow row = read_.back();
    read_.pop_back();
    const ReaderLanes::Pin pin = lanes_.MakePin(lanes_.Mine());
    cache_->Insert(table_, KeyHash(row.key),
                   RowData::Row(shape_, {ValueView(row.key), ValueView(row.version)}), row.epoch);
  }

  struct ReadRow {
    int64_t key;
    int64_t version;
    uint64_t epoch;
  };

  ReaderLanes lanes_;
  std::mt19937_64 random_;
  FakePage page_;
  std::shared_ptr<const TableShape> shape_;
  std::unique_ptr<FreshnessPageView> view_;
  std::unique_ptr<RowCache> cache_;
  const RowCache::Table* table_ = nullptr;
  const uint64_t table_hash_ = FreshnessTableHash({"fam", "table"});
  int64_t versions_[kKeys] = {1, 1, 1};
  int64_t changed_ = 0;
  bool applied_ = true;
  std::vector<ReadRow> read_;
};

TEST_P(RowCacheSyncTest, WhateverHappensDuringASyncNothingOldIsFoundAfterIt) {
  int64_t synced = 0;
  int64_t found = 0;
  for (int round = 0; round < 20000; ++round) {
    for (uint64_t i = random_() % 6; i > 0; --i) Step();
    page_.before_look = [this] {
      for (uint64_t i = random_() % 4; i > 0; --i) Step();
    };
    const int64_t before[kKeys] = {versions_[0], versions_[1], versions_[2]};
    const uint64_t epoch = cache_->Sync();
    page_.before_look = nullptr;
    if (epoch == 0) continue;
    ++synced;
    ASSERT_EQ(epoch % 2, 0u);
    const ReaderLanes::Pin pin = lanes_.MakePin(lanes_.Mine());
    for (int64_t key = 0; key < kKeys; ++key) {
      const RowData* const row = cache_->Find(table_, KeyHash(key), {ValueView(key)});
      if (row == nullptr) continue;
      ++found;
      ASSERT_GE(row->value(1).integer(), before[key]) << round;
      // With nothing under way the answer is exact.
      if (page_.epoch == epoch) {
        ASSERT_EQ(row->value(1), ValueView(versions_[key])) << round;
      }
    }
    if (round % 64 == 0) lanes_.Reclaim();
  }
  EXPECT_GT(synced, 1000);
  EXPECT_GT(found, 1000);
}

INSTANTIATE_TEST_SUITE_P(Seeds, RowCacheSyncTest, ::testing::Range(0, 10));

}  // namespace
}  // namespace ctlstore::ldb
