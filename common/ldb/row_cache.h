// The rows of one local database that were read last, kept in memory and never out of date.

#ifndef CTLSTORE_COMMON_LDB_ROW_CACHE_H_
#define CTLSTORE_COMMON_LDB_ROW_CACHE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/types/span.h"
#include "common/ldb/freshness_page.h"
#include "common/ldb/reader_lanes.h"
#include "common/ldb/row_data.h"
#include "common/schema/names.h"
#include "common/schema/value.h"

namespace ctlstore::ldb {

// A cache of rows by table and whole key, also of those that do not exist. It is coherent through
// the freshness page: before it answers it takes out what the page says has changed. A commit takes
// out the rows that it changed; where that cannot be told, the table's.
//
// Finding a row takes no lock, writes to nothing that is shared (but for a mark that the row was
// used, when that is not set) and allocates nothing. Thread-safe.
class RowCache {
 public:
  // A table that rows are cached for. Lives as long as the cache.
  class Table;

  // Keeps at most `max_bytes`, its own memory for each row included; what was not used for long
  // goes first. The page and the lanes must outlive it.
  RowCache(size_t max_bytes, const FreshnessPageView* page, ReaderLanes* lanes);
  // Nobody uses it, nor holds a pin since it was used.
  ~RowCache();
  RowCache(const RowCache&) = delete;
  RowCache& operator=(const RowCache&) = delete;

  // The table with this normalized name. Takes a lock: to be remembered.
  const Table* GetTable(const TableName& name);

  // Takes out what has changed. Returns the even epoch for which Find() answers from now on, or 0
  // where nothing can be told at this moment: a commit is under way, nobody keeps the page, or
  // another thread is about it. Never waits.
  uint64_t Sync() {
    const uint64_t epoch = page_->epoch();
    if (epoch == synced_epoch_.load(std::memory_order_acquire) && epoch % 2 == 0) return epoch;
    return SyncSlowly();
  }

  // The row, as it was at the epoch that Sync() returned or later; null where it is not cached. The
  // caller has held a pin since before it called, and the row lives as long as the pin.
  const RowData* Find(const Table* table, uint64_t key_hash, absl::Span<const ValueView> key) const;

  // Keeps what was read when the epoch was `epoch` before and after, unless something has changed
  // since, or it is too large. The row lives as long as the caller's pin, also where it is not
  // kept.
  const RowData* Insert(const Table* table, uint64_t key_hash, RowData::Ptr row, uint64_t epoch);

  // The same, but a row that is not kept remains the caller's: then `*row` is as it was and the
  // result is false.
  bool Keep(const Table* table, uint64_t key_hash, RowData::Ptr* row, uint64_t epoch);

  struct Stats {
    // Rows of a table that changed as a whole count until their room is needed.
    int64_t rows = 0;
    size_t bytes = 0;
    size_t max_bytes = 0;
    // Since the beginning: rows that made room for others, rows that were taken out because they
    // changed, and how often a table or everything had to be.
    int64_t evicted = 0;
    int64_t invalidated = 0;
    int64_t tables_invalidated = 0;
  };
  Stats stats() const;

 private:
  class Impl;
  uint64_t SyncSlowly();

  const FreshnessPageView* const page_;
  // What changed until then has been taken out.
  std::atomic<uint64_t> synced_epoch_{0};
  const std::unique_ptr<Impl> impl_;
};

}  // namespace ctlstore::ldb

#endif  // CTLSTORE_COMMON_LDB_ROW_CACHE_H_
