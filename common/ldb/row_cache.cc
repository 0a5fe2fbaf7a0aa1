#include "common/ldb/row_cache.h"

#include <algorithm>
#include <cstdlib>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/container/inlined_vector.h"

namespace ctlstore::ldb {
namespace {

// What the allocator takes for a row besides the row itself.
constexpr size_t kAllocationBytes = 16;
// So many bytes of the limit for each bucket: few rows are smaller, so chains are short.
constexpr size_t kBytesPerBucket = 128;
constexpr size_t kMinBuckets = 64;
// Buckets that lie together are under the same lock, and looked through together to make room.
constexpr size_t kSection = 8;
constexpr size_t kLocks = 64;
// A larger part of the limit is not given to one row.
constexpr size_t kRowsAtLeast = 64;
// The part of the limit that is for rows that are taken out and may still be looked at.
constexpr size_t kRetiredPart = 8;
// Between two calls to free such rows, and how many are freed by one.
constexpr uint32_t kInsertsPerReclaim = 8;
constexpr size_t kFreedAtOnce = 64;
// Buckets to look through for the room of a small row.
constexpr size_t kBucketsForRoom = 64;
// A writer that commits without a pause is not chased for ever.
constexpr int kSyncAttempts = 3;

size_t SizeOf(const RowData& row) { return row.bytes() + kAllocationBytes; }

void FreeRow(void* row) { RowData::Deleter()(static_cast<RowData*>(row)); }

size_t BucketsFor(size_t max_bytes) {
  size_t buckets = kMinBuckets;
  while (buckets * 2 * kBytesPerBucket <= max_bytes) buckets *= 2;
  return buckets;
}

struct Free {
  void operator()(void* memory) const { std::free(memory); }
};

}  // namespace

class RowCache::Table {
 public:
  explicit Table(uint64_t hash) : hash(hash) {}

  const uint64_t hash;
  // Rows that were inserted at another generation are out of date.
  std::atomic<uint64_t> generation{0};
};

// What a row of the cache has at its beginning. All but `next` and `used` never changes while the
// row can be found.
struct RowData::CacheLink {
  CacheLink(uint64_t key_hash, const RowCache::Table* table, uint64_t generation)
      : key_hash(key_hash), table(table), generation(generation) {}

  bool IsCurrent() const { return generation == table->generation.load(std::memory_order_acquire); }

  // The next row of the bucket. Changed under the bucket's lock.
  std::atomic<RowData*> next{nullptr};
  const uint64_t key_hash;
  const RowCache::Table* const table;
  const uint64_t generation;
  // Since the clock's hand last passed.
  std::atomic<bool> used{false};
};

// A hash table with a fixed number of buckets, which are lists of rows. Rows are found without a
// lock; a row that is taken out still leads on to the rows behind it, until it is freed.
class RowCache::Impl {
 public:
  Impl(size_t max_bytes, const FreshnessPageView* page, ReaderLanes* lanes);
  ~Impl();

  const Table* GetTable(const TableName& name);
  uint64_t Sync(std::atomic<uint64_t>* synced_epoch);
  const RowData* Find(const Table* table, uint64_t key_hash, absl::Span<const ValueView> key) const;
  bool Keep(const Table* table, uint64_t key_hash, RowData::Ptr* row, uint64_t epoch);
  void Retire(RowData* row) { lanes_->Retire(row, FreeRow, SizeOf(*row)); }
  Stats stats() const;

 private:
  using Bucket = std::atomic<RowData*>;
  using Rows = absl::InlinedVector<RowData*, 8>;
  struct alignas(64) Lock {
    std::mutex mutex;
  };
  static_assert(sizeof(RowData::CacheLink) <= RowData::kCacheLinkBytes, "rows have no more room");

  size_t BucketOf(uint64_t table_hash, uint64_t key_hash) const {
    return (table_hash ^ key_hash) & (buckets_count_ - 1);
  }
  std::mutex& LockOf(size_t bucket) { return locks_[bucket / kSection % kLocks].mutex; }

  // Takes the rows out of a bucket, whose lock is held, for which `out` is true.
  template <typename Condition>
  void TakeOut(size_t bucket, Condition out, Rows* taken);
  void RetireAll(const Rows& rows) {
    for (RowData* const row : rows) Retire(row);
  }
  // Whether so much may be kept, which counts from now on.
  bool Reserve(size_t size);
  bool Fits() const {
    const size_t bytes = bytes_.load(std::memory_order_relaxed);
    return bytes <= kept_bytes_ && bytes + lanes_->retired_bytes() <= kept_bytes_ + retired_bytes_;
  }
  // Takes out rows of the next section of buckets that were not used since it was last looked at.
  void Sweep();
  void Invalidate(const FreshnessPageView::Changed& changed);

  const size_t max_bytes_;
  const FreshnessPageView* const page_;
  ReaderLanes* const lanes_;
  const size_t buckets_count_;
  // Zeroed memory that costs nothing before it is used.
  const std::unique_ptr<Bucket[], Free> buckets_;
  // The limits for rows that are kept, and for those that are taken out on top.
  size_t kept_bytes_ = 0;
  size_t retired_bytes_ = 0;

  Lock locks_[kLocks];
  std::atomic<size_t> hand_{0};
  std::atomic<size_t> bytes_{0};
  std::atomic<int64_t> rows_{0};
  std::atomic<uint32_t> inserts_{0};
  std::atomic<int64_t> evicted_{0};
  std::atomic<int64_t> invalidated_{0};
  std::atomic<int64_t> tables_invalidated_{0};

  // The epoch that the last Sync() was or is for. What was read at another one is not inserted.
  std::atomic<uint64_t> target_epoch_{0};

  std::mutex sync_mutex_;
  // Guarded by it. All changes before the mark have been taken out, and all rows that were inserted
  // after it was made show the database as it was then or later.
  FreshnessPageView::Mark mark_;
  FreshnessPageView::Changed changed_;

  std::mutex tables_mutex_;
  absl::flat_hash_map<TableName, std::unique_ptr<Table>> tables_;
};

RowCache::Impl::Impl(size_t max_bytes, const FreshnessPageView* page, ReaderLanes* lanes)
    : max_bytes_(max_bytes),
      page_(page),
      lanes_(lanes),
      buckets_count_(BucketsFor(max_bytes)),
      buckets_(static_cast<Bucket*>(std::calloc(buckets_count_, sizeof(Bucket)))),
      mark_(page->mark()) {
  if (buckets_ == nullptr) throw std::bad_alloc();
  const size_t table_bytes = buckets_count_ * sizeof(Bucket);
  if (max_bytes_ <= table_bytes) return;
  const size_t rest = max_bytes_ - table_bytes;
  retired_bytes_ = rest / kRetiredPart;
  kept_bytes_ = rest - retired_bytes_;
}

RowCache::Impl::~Impl() {
  for (size_t i = 0; i < buckets_count_; ++i) {
    RowData* row = buckets_[i].load(std::memory_order_relaxed);
    while (row != nullptr) {
      RowData* const next = row->cache_link()->next.load(std::memory_order_relaxed);
      FreeRow(row);
      row = next;
    }
  }
}

const RowCache::Table* RowCache::Impl::GetTable(const TableName& name) {
  std::lock_guard<std::mutex> lock(tables_mutex_);
  std::unique_ptr<Table>& table = tables_[name];
  if (table == nullptr) table = std::make_unique<Table>(FreshnessTableHash(name));
  return table.get();
}

uint64_t RowCache::Impl::Sync(std::atomic<uint64_t>* synced_epoch) {
  std::unique_lock<std::mutex> lock(sync_mutex_, std::try_to_lock);
  if (!lock.owns_lock()) return 0;
  for (int i = 0; i < kSyncAttempts; ++i) {
    const uint64_t epoch = page_->epoch();
    if (epoch % 2 != 0) return 0;
    if (epoch == synced_epoch->load(std::memory_order_relaxed)) return epoch;
    // First: from now on nothing is inserted that was read before the changes were.
    target_epoch_.store(epoch, std::memory_order_release);
    FreshnessPageView::Mark mark = mark_;
    page_->ChangesSince(&mark, &changed_);
    Invalidate(changed_);
    // Otherwise the mark may be behind changes after the epoch, and rows of the epoch may still be
    // inserted: the changes will be looked at once more.
    if (page_->epoch() != epoch) continue;
    mark_ = mark;
    synced_epoch->store(epoch, std::memory_order_release);
    return epoch;
  }
  return 0;
}

void RowCache::Impl::Invalidate(const FreshnessPageView::Changed& changed) {
  if (changed.everything || !changed.tables.empty()) {
    const absl::flat_hash_set<uint64_t> hashes(changed.tables.begin(), changed.tables.end());
    std::lock_guard<std::mutex> lock(tables_mutex_);
    for (const auto& [name, table] : tables_) {
      if (!changed.everything && !hashes.contains(table->hash)) continue;
      table->generation.fetch_add(1, std::memory_order_release);
    }
    tables_invalidated_.fetch_add(changed.everything ? 1 : hashes.size(),
                                  std::memory_order_relaxed);
  }
  for (const FreshnessPageView::Changed::Key& key : changed.keys) {
    const size_t bucket = BucketOf(key.table, key.key);
    Rows taken;
    {
      std::lock_guard<std::mutex> lock(LockOf(bucket));
      TakeOut(
          bucket,
          [&key](const RowData&, const RowData::CacheLink& link) {
            return link.key_hash == key.key && link.table->hash == key.table;
          },
          &taken);
    }
    invalidated_.fetch_add(taken.size(), std::memory_order_relaxed);
    RetireAll(taken);
  }
}

const RowData* RowCache::Impl::Find(const Table* table, uint64_t key_hash,
                                    absl::Span<const ValueView> key) const {
  const RowData* row = buckets_[BucketOf(table->hash, key_hash)].load(std::memory_order_acquire);
  while (row != nullptr) {
    // Most rows are the one that is looked for, and not in the processor's caches: what will be
    // read of it comes at once, not one piece after the other.
    const char* const memory = reinterpret_cast<const char*>(row);
    __builtin_prefetch(memory + 64);
    __builtin_prefetch(memory + 128);
    __builtin_prefetch(memory + 192);
    RowData::CacheLink* const link = row->cache_link();
    if (link->key_hash == key_hash && link->table == table && link->IsCurrent() &&
        row->HasKey(key)) {
      // Not written where it is set already: other threads have it in their caches.
      if (!link->used.load(std::memory_order_relaxed)) {
        link->used.store(true, std::memory_order_relaxed);
      }
      return row;
    }
    row = link->next.load(std::memory_order_acquire);
  }
  return nullptr;
}

bool RowCache::Impl::Keep(const Table* table, uint64_t key_hash, RowData::Ptr* row,
                          uint64_t epoch) {
  if (lanes_->retired_bytes() > retired_bytes_ / 8 &&
      inserts_.fetch_add(1, std::memory_order_relaxed) % kInsertsPerReclaim == 0) {
    lanes_->Reclaim(kFreedAtOnce);
  }
  RowData* const data = row->get();
  for (size_t i = 0; i < data->shape().key.size(); ++i) {
    // A decimal that is not a number could never be found.
    if (data->key_value(i) != data->key_value(i)) return false;
  }
  const size_t size = SizeOf(*data);
  if (!Reserve(size)) return false;
  // Before the target: where this is after a change of the table, the target is after it too.
  const uint64_t generation = table->generation.load(std::memory_order_acquire);
  auto* const link = new (data->cache_link()) RowData::CacheLink(key_hash, table, generation);
  const size_t bucket = BucketOf(table->hash, key_hash);
  Rows replaced;
  {
    std::lock_guard<std::mutex> lock(LockOf(bucket));
    if (epoch != target_epoch_.load(std::memory_order_acquire)) {
      bytes_.fetch_sub(size, std::memory_order_relaxed);
      return false;
    }
    row->release();
    RowData* const first = buckets_[bucket].load(std::memory_order_relaxed);
    link->next.store(first, std::memory_order_relaxed);
    rows_.fetch_add(1, std::memory_order_relaxed);
    buckets_[bucket].store(data, std::memory_order_release);
    TakeOut(
        bucket,
        [&](const RowData& other, const RowData::CacheLink& other_link) {
          if (&other == data) return false;
          if (!other_link.IsCurrent()) return true;
          if (other_link.key_hash != key_hash || other_link.table != table) return false;
          for (size_t i = 0; i < data->shape().key.size(); ++i) {
            if (other.key_value(i) != data->key_value(i)) return false;
          }
          return true;
        },
        &replaced);
  }
  RetireAll(replaced);
  return true;
}

template <typename Condition>
void RowCache::Impl::TakeOut(size_t bucket, Condition out, Rows* taken) {
  Bucket* before = &buckets_[bucket];
  RowData* row = before->load(std::memory_order_relaxed);
  while (row != nullptr) {
    RowData::CacheLink* const link = row->cache_link();
    RowData* const next = link->next.load(std::memory_order_relaxed);
    if (out(*row, *link)) {
      before->store(next, std::memory_order_release);
      bytes_.fetch_sub(SizeOf(*row), std::memory_order_relaxed);
      rows_.fetch_sub(1, std::memory_order_relaxed);
      taken->push_back(row);
    } else {
      before = &link->next;
    }
    row = next;
  }
}

bool RowCache::Impl::Reserve(size_t size) {
  if (size > max_bytes_ / kRowsAtLeast) return false;
  bytes_.fetch_add(size, std::memory_order_relaxed);
  for (size_t buckets = 0; buckets < kBucketsForRoom + size / 8; buckets += kSection) {
    if (Fits()) return true;
    // It would be for nothing: what is taken out cannot be freed.
    if (lanes_->retired_bytes() + size > retired_bytes_) break;
    Sweep();
  }
  if (Fits()) return true;
  bytes_.fetch_sub(size, std::memory_order_relaxed);
  return false;
}

void RowCache::Impl::Sweep() {
  const size_t begin =
      hand_.fetch_add(1, std::memory_order_relaxed) % (buckets_count_ / kSection) * kSection;
  Rows taken;
  {
    std::lock_guard<std::mutex> lock(LockOf(begin));
    for (size_t bucket = begin; bucket < begin + kSection; ++bucket) {
      TakeOut(
          bucket,
          [](const RowData&, RowData::CacheLink& link) {
            if (!link.IsCurrent()) return true;
            if (!link.used.load(std::memory_order_relaxed)) return true;
            link.used.store(false, std::memory_order_relaxed);
            return false;
          },
          &taken);
    }
  }
  evicted_.fetch_add(taken.size(), std::memory_order_relaxed);
  RetireAll(taken);
}

RowCache::Stats RowCache::Impl::stats() const {
  Stats stats;
  stats.rows = rows_.load(std::memory_order_relaxed);
  stats.bytes = bytes_.load(std::memory_order_relaxed);
  stats.max_bytes = max_bytes_;
  stats.evicted = evicted_.load(std::memory_order_relaxed);
  stats.invalidated = invalidated_.load(std::memory_order_relaxed);
  stats.tables_invalidated = tables_invalidated_.load(std::memory_order_relaxed);
  return stats;
}

RowCache::RowCache(size_t max_bytes, const FreshnessPageView* page, ReaderLanes* lanes)
    : page_(page), impl_(std::make_unique<Impl>(max_bytes, page, lanes)) {}
RowCache::~RowCache() = default;

const RowCache::Table* RowCache::GetTable(const TableName& name) { return impl_->GetTable(name); }

uint64_t RowCache::SyncSlowly() { return impl_->Sync(&synced_epoch_); }

const RowData* RowCache::Find(const Table* table, uint64_t key_hash,
                              absl::Span<const ValueView> key) const {
  return impl_->Find(table, key_hash, key);
}

const RowData* RowCache::Insert(const Table* table, uint64_t key_hash, RowData::Ptr row,
                                uint64_t epoch) {
  const RowData* const data = row.get();
  if (!Keep(table, key_hash, &row, epoch)) impl_->Retire(row.release());
  return data;
}

bool RowCache::Keep(const Table* table, uint64_t key_hash, RowData::Ptr* row, uint64_t epoch) {
  return impl_->Keep(table, key_hash, row, epoch);
}

RowCache::Stats RowCache::stats() const { return impl_->stats(); }

}  // namespace ctlstore::ldb
