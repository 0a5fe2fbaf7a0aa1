// One state of a local database, held for a snapshot or an iterator.

#ifndef CTLSTORE_COMMON_LDB_HELD_STATE_H_
#define CTLSTORE_COMMON_LDB_HELD_STATE_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "common/ldb/ldb_source.h"
#include "common/ldb/reader_connection.h"
#include "common/ldb/row_data.h"

namespace ctlstore::ldb {

class ReaderCore;

// Owns a connection between its BeginRead() and EndRead(), until it is destroyed or has lasted too
// long. Thread-safe, because the latter is seen to by another thread.
class HeldState {
 public:
  HeldState(ReaderCore* core, std::shared_ptr<LdbSource> source,
            std::unique_ptr<ReaderConnection> connection, uint64_t epoch, int64_t sequence);
  ~HeldState();
  HeldState(const HeldState&) = delete;
  HeldState& operator=(const HeldState&) = delete;

  ReaderCore* core() const { return core_; }
  LdbSource* source() const { return source_.get(); }
  // The page's epoch of the state; 0 where it is not known.
  uint64_t epoch() const { return epoch_; }
  int64_t sequence() const { return sequence_; }

  // Whether it has lasted too long, or has failed.
  bool let_go() const { return let_go_.load(std::memory_order_relaxed); }

  // Calls `read` with the connection. ABORTED (SNAPSHOT_EXPIRED) where it is let go of already.
  // After an error that is not the caller's mistake it is let go of.
  template <typename Read>
  auto With(Read read) -> decltype(read(std::declval<ReaderConnection&>())) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (connection_ == nullptr) return Expired();
    auto result = read(*connection_);
    if (!result.ok() && !IsCallersMistake(result.status())) Fail(result.status());
    return result;
  }

  // A select belongs to the state. EndSelect() may be left out where the state ends anyway.
  absl::StatusOr<ReaderConnection::Select*> BeginSelect(absl::string_view family,
                                                        absl::string_view table,
                                                        absl::Span<const ValueView> key_prefix,
                                                        absl::Span<const ValueView> after);
  absl::StatusOr<RowData::Ptr> Next(ReaderConnection::Select* select);
  void EndSelect(ReaderConnection::Select* select);

  // Lets go of it where it has lasted until `now`, in the time of a coarse steady clock; not while
  // it is being read from.
  void ExpireAt(int64_t now_nanos);

 private:
  friend class ReaderCore;

  absl::Status Expired() const;
  void Fail(const absl::Status& status);
  // Gives the connection back, or closes it.
  void LetGo(bool usable);

  ReaderCore* const core_;
  const std::shared_ptr<LdbSource> source_;
  const uint64_t epoch_;
  const int64_t sequence_;
  // When it is to be let go of. Guarded, as the two others, by the core's lock.
  int64_t expires_nanos_ = 0;
  HeldState* next_ = nullptr;
  HeldState* previous_ = nullptr;

  std::atomic<bool> let_go_{false};
  std::mutex mutex_;
  // Guarded by the lock: null when let go of.
  std::unique_ptr<ReaderConnection> connection_;
  std::vector<std::unique_ptr<ReaderConnection::Select>> selects_;
  // Why, where it was let go of for an error.
  absl::Status failure_;
};

// An iterator's way through one select.
class Cursor {
 public:
  // A list that only fails.
  explicit Cursor(absl::Status status) : status_(std::move(status)) {}
  Cursor(std::shared_ptr<HeldState> state, ReaderConnection::Select* select, int64_t limit)
      : state_(std::move(state)), select_(select), remaining_(limit) {}
  ~Cursor() { End(); }
  Cursor(const Cursor&) = delete;
  Cursor& operator=(const Cursor&) = delete;

  bool Next();
  const RowView& row() const { return row_; }
  const OwnedRow& owned_row() const { return row_; }
  std::vector<Value> key() const;
  const absl::Status& status() const { return status_; }

 private:
  void End();

  std::shared_ptr<HeldState> state_;
  ReaderConnection::Select* select_ = nullptr;
  int64_t remaining_ = 0;
  OwnedRow row_;
  absl::Status status_;
};

}  // namespace ctlstore::ldb

#endif  // CTLSTORE_COMMON_LDB_HELD_STATE_H_
