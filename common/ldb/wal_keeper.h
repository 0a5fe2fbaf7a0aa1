// Keeps the WAL of a local database small.

#ifndef CTLSTORE_COMMON_LDB_WAL_KEEPER_H_
#define CTLSTORE_COMMON_LDB_WAL_KEEPER_H_

#include <cstdint>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/ldb/freshness_page_keeper.h"
#include "common/ldb/wal_status.h"
#include "common/sqlite/database.h"

namespace ctlstore::ldb {

// Decides when the WAL is moved into the database, and how long readers are waited for. A reader
// keeps what it looks at in the WAL: short reads are waited out, the longer the larger the WAL is,
// with the time between two tries growing as well, so that neither writing nor the disk suffers; a
// long one is reported. Those who hold a read transaction for as long as the freshness page says
// that nothing has changed are made to let go of it: the page is paused while the WAL is emptied,
// which does not take long because what is in it was moved before. Used by one thread, but for
// status(). Each method that takes the connection is called outside of a transaction.
class WalKeeper {
 public:
  struct Options {
    // The WAL is moved when it is larger than this.
    int64_t checkpoint_bytes = int64_t{8} << 20;
    // It must not grow further than this.
    int64_t max_bytes = int64_t{2} << 30;
    absl::Duration warn_reader_after = absl::Seconds(10);
    Clock* clock = Clock::Real();
  };

  // `ldb_path` for logs; `file_path` is the database file itself, behind symbolic links. `page`
  // must outlive it.
  WalKeeper(std::string ldb_path, std::string file_path, FreshnessPageKeeper* page,
            const Options& options);

  // After a commit: a checkpoint where one is due.
  absl::Status AfterCommit(sqlite::Database* database);

  // Before a commit. RESOURCE_EXHAUSTED (WAL_FULL) where the WAL is too large and cannot be
  // emptied.
  absl::Status MakeRoom(sqlite::Database* database);

  // While nothing is written: a checkpoint of what has been in the WAL for some seconds.
  absl::Status Idle(sqlite::Database* database);

  // A checkpoint now.
  absl::Status Checkpoint(sqlite::Database* database) {
    return Try(database, absl::ZeroDuration());
  }

  // Thread-safe.
  WalStatus status() const;

 private:
  // Waits for readers at least kShortWait.
  absl::Status Try(sqlite::Database* database, absl::Duration wait);
  absl::Status Empty(sqlite::Database* database, absl::Duration wait, bool* emptied);
  void Record(const absl::Status& status, bool emptied, absl::Duration took);
  void WatchReader(absl::Time now);
  int64_t Measure();

  const std::string ldb_path_;
  const std::string file_path_;
  const std::string wal_path_;
  FreshnessPageKeeper* const page_;
  const Options options_;

  // When something was last put in the WAL.
  absl::Time last_commit_ = absl::InfinitePast();
  // While a reader is in the way: when it was last tried, and the size at which it is tried again,
  // with a longer wait.
  absl::Time last_try_ = absl::InfinitePast();
  int64_t retry_at_bytes_ = 0;
  bool reader_reported_ = false;

  mutable absl::Mutex mutex_;
  WalStatus status_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace ctlstore::ldb

#endif  // CTLSTORE_COMMON_LDB_WAL_KEEPER_H_
