// What a reader consists of, behind its header.

#ifndef CTLSTORE_COMMON_LDB_READER_CORE_H_
#define CTLSTORE_COMMON_LDB_READER_CORE_H_

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "common/ldb/held_state.h"
#include "common/ldb/ldb_source.h"
#include "common/ldb/reader.h"
#include "common/ldb/reader_connection.h"
#include "common/ldb/reader_lanes.h"
#include "common/ldb/row_cache.h"

namespace ctlstore::ldb {

// Answers from the row cache where it can, and otherwise by the connection that the calling
// thread's lane keeps. Thread-safe.
//
// A thread of its own keeps house: it lets go of states that idle threads and forgotten snapshots
// hold, follows the path to another file, sees whether the page can be trusted, and frees what the
// cache has dropped.
class ReaderCore {
 public:
  ReaderCore(std::string path, const ReaderOptions& options);
  ~ReaderCore();
  ReaderCore(const ReaderCore&) = delete;
  ReaderCore& operator=(const ReaderCore&) = delete;

  absl::StatusOr<Row> GetRow(absl::string_view family, absl::string_view table,
                             absl::Span<const ValueView> key);
  RowIterator ListRows(absl::string_view family, absl::string_view table,
                       absl::Span<const ValueView> key_prefix, const ListOptions& options);
  absl::StatusOr<Snapshot> GetSnapshot();
  absl::StatusOr<TableSchema> GetTable(absl::string_view family, absl::string_view table);
  absl::StatusOr<std::vector<TableSchema>> ListTables();
  absl::StatusOr<int64_t> GetSequence();
  absl::StatusOr<Position> GetPosition();
  absl::Status WaitForSequence(int64_t sequence, absl::Time deadline);
  ReaderStats stats();
  const std::string& path() const { return path_; }

  // Whether this is a child of the process that made it; then nothing of it is to be touched.
  bool forked() const;

  // For snapshots and iterators.
  absl::StatusOr<Row> GetRowIn(HeldState* state, absl::string_view family, absl::string_view table,
                               absl::Span<const ValueView> key);
  static RowIterator ListRowsIn(std::shared_ptr<HeldState> state, absl::string_view family,
                                absl::string_view table, absl::Span<const ValueView> key_prefix,
                                const ListOptions& options);

 private:
  // What a thread has of its own.
  struct LaneState {
    // Who takes it out may use it; null while it is used.
    std::atomic<ReaderConnection*> connection{nullptr};
    // The epoch of the state that it holds, for the housekeeping; 0 for none. Set after the
    // connection is there, so it may be that of an earlier one for a moment.
    std::atomic<uint64_t> held_epoch{0};
    // Counts what the thread has asked of connections, so that idle ones can be told.
    std::atomic<uint64_t> uses{0};
    // Written by the lane's thread alone.
    std::atomic<int64_t> cache_hits{0};
    std::atomic<int64_t> cache_misses{0};

    // The cache's tables that the thread asked for last, under the names that it used.
    struct KnownTable {
      uint64_t source_id = 0;
      const RowCache::Table* table = nullptr;
      std::string family;
      std::string name;

      bool Is(const LdbSource& source, absl::string_view asked_family,
              absl::string_view asked_name) const {
        return source_id == source.id() && family == asked_family && name == asked_name;
      }
    };
    static constexpr size_t kKnownTables = 16;
    std::array<KnownTable, kKnownTables> known_tables;

    // Used by the housekeeping alone.
    uint64_t seen_uses = 0;
    int idle_rounds = 0;
    uint64_t uses_at_idle_check = 0;
  };

  using Lane = ReaderLanes::Lane;

  static LaneState* StateOf(Lane* lane) { return static_cast<LaneState*>(lane->data()); }
  static LaneState::KnownTable& KnownTableFor(LaneState* state, absl::string_view family,
                                              absl::string_view table);

  // The source as it is now; the caller has held a pin since before. Null before there is one.
  LdbSource* pinned_source() const { return current_.load(std::memory_order_acquire); }

  // The source for a call that is not answered from the cache, by a caller with a pin: opened where
  // there is none yet, and looked for anew where nobody keeps its page at this moment.
  absl::StatusOr<LdbSource*> FindSource();
  // Looks where the path leads. Errors are those of a reader that finds no file it can read.
  absl::Status CheckPath();
  // Whether the file is behind the present one, or the last one there was, so that it is not to be
  // read yet. With the lock, as the next one: what CheckPath() says then.
  bool IsBehind(LdbSource* source);
  absl::Status Behind() const;
  // Puts it in place of the present one. With the lock.
  void Install(std::shared_ptr<LdbSource> source);

  absl::StatusOr<std::unique_ptr<ReaderConnection>> TakeConnection(LaneState* state,
                                                                   LdbSource* source);
  void GiveBack(LaneState* state, LdbSource* source, std::unique_ptr<ReaderConnection> connection);

  // Calls `read` with a source and a connection to it, which `read` may keep; once more with new
  // ones, where it fails for another reason than the caller's mistake. The caller holds a pin.
  template <typename Read>
  auto WithConnection(LaneState* state, Read read)
      -> decltype(read(std::declval<LdbSource*>(),
                       std::declval<std::unique_ptr<ReaderConnection>&>()));

  absl::StatusOr<Row> GetRowSlowly(LaneState* state, ReaderLanes::Pin pin, absl::string_view family,
                                   absl::string_view table, absl::Span<const ValueView> key);
  // What was read at `epoch`, kept in the cache where it can be.
  Row ToRow(LaneState* state, LdbSource* source, ReaderLanes::Pin pin, absl::string_view family,
            absl::string_view table, RowData::Ptr data, uint64_t epoch);
  absl::StatusOr<std::shared_ptr<HeldState>> Hold();

  friend class HeldState;
  void AddHeld(HeldState* state);
  void RemoveHeld(HeldState* state);
  // Takes back what a snapshot or an iterator had.
  void Release(LdbSource* source, std::unique_ptr<ReaderConnection> connection);

  void KeepHouse();
  // One round. Returns whether anything is held, so that the next one should come soon.
  bool DoHousework();
  bool LetGoOfLanes(LdbSource* source);
  bool LetGoOfHeld();
  void CloseIdleConnections();
  void WakeHouse();

  const std::string path_;
  const ReaderOptions options_;
  // How often the process had been forked when this was made.
  const uint64_t forks_;
  std::atomic<int64_t> open_connections_{0};
  std::atomic<int64_t> files_replaced_{0};

  ReaderLanes lanes_;
  std::atomic<LdbSource*> current_{nullptr};

  mutable std::mutex source_mutex_;
  // Guarded by source_mutex_.
  std::shared_ptr<LdbSource> source_;
  // What the last source had reached that was given up.
  int64_t left_sequence_ = 0;
  // Where the path leads to a file that is behind: since when, and when that was last
  // looked at, in nanoseconds of the steady clock; 0 for never.
  int64_t behind_since_ = 0;
  int64_t behind_checked_ = 0;

  std::mutex held_mutex_;
  // Guarded by held_mutex_: a list of those that may have to be let go of.
  HeldState* held_ = nullptr;

  std::mutex house_mutex_;
  std::condition_variable house_wake_;
  // Whether the thread sleeps for long because nothing is held.
  std::atomic<bool> house_asleep_{false};
  // Guarded by house_mutex_.
  bool house_woken_ = false;
  bool ending_ = false;
  // Used by the thread alone.
  int64_t next_look_ = 0;
  int64_t next_page_check_ = 0;
  int64_t next_idle_check_ = 0;
  std::thread house_;
};

}  // namespace ctlstore::ldb

#endif  // CTLSTORE_COMMON_LDB_READER_CORE_H_
