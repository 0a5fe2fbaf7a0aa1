// Whose turn it is to write a SQLite ctldb.

#ifndef CTLSTORE_COMMON_CTLDB_WRITE_TURN_H_
#define CTLSTORE_COMMON_CTLDB_WRITE_TURN_H_

#include <cstddef>
#include <list>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/base/file_lock.h"

namespace ctlstore::ctldb {

// An exclusive lock on a database file, between the connections of this process and those of
// others. Every write transaction and every checkpoint happens in its holder's turn: SQLite before
// 3.51.3 can corrupt a WAL database when a checkpoint overlaps another connection's write
// (https://sqlite.org/wal.html#walresetbug), and SQLite's own lock is had by whoever happens to try
// at the right moment.
//
// Turns are fair. Within a process they are taken in the order in which they were asked for.
// Between processes two lock files see to it: `<path>.lock` is the turn, and `<path>.lock.next` is
// held by the one who is next, so that who has just ended a turn queues up behind it.
//
// Thread-safe.
class WriteTurn {
 public:
  // The one for this file, shared by all who use it in this process. UNAVAILABLE where the lock
  // files cannot be opened.
  static absl::StatusOr<std::shared_ptr<WriteTurn>> Of(const std::string& database_path);

  WriteTurn(const WriteTurn&) = delete;
  WriteTurn& operator=(const WriteTurn&) = delete;

  // UNAVAILABLE (CTLDB_BUSY) where the turn did not come within `wait`.
  absl::Status Take(absl::Duration wait);

  // By whoever has taken it, from any thread.
  void Give();

  // How many of this process wait.
  size_t waiting() const;

 private:
  struct Waiter {
    bool has_turn = false;
  };

  WriteTurn(std::string path, std::unique_ptr<FileLock> turn, std::unique_ptr<FileLock> next)
      : path_(std::move(path)), turn_(std::move(turn)), next_(std::move(next)) {}

  // The turn among this process's connections.
  bool TakeInProcess(absl::Time deadline);
  void GiveInProcess();

  const std::string path_;
  // Both are used by the one who has the turn in this process.
  const std::unique_ptr<FileLock> turn_;
  const std::unique_ptr<FileLock> next_;

  mutable absl::Mutex mutex_;
  bool taken_ ABSL_GUARDED_BY(mutex_) = false;
  std::list<Waiter> waiters_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace ctlstore::ctldb

#endif  // CTLSTORE_COMMON_CTLDB_WRITE_TURN_H_
