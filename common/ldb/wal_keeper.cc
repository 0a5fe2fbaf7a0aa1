#include "common/ldb/wal_keeper.h"

#include <glog/logging.h>
#include <sqlite3.h>
#include <sys/stat.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/ldb/wal_readers.h"
#include "common/schema/errors.h"

namespace ctlstore::ldb {
namespace {

// How long readers are waited for. While they are, nothing is applied, and readers take a lock for
// each read; so the longer waits come only where the WAL is some times as large as it should be.
// The short one is for readers that read one row after another, the long one also for those that
// have nothing to read: within 50 ms of the page's pause they let go of what they hold. The longest
// one is for readers that scan.
constexpr absl::Duration kShortWait = absl::Milliseconds(10);
constexpr absl::Duration kLongWait = absl::Milliseconds(100);
constexpr absl::Duration kLongestWait = absl::Milliseconds(500);
constexpr int64_t kLongWaitAtTimes = 2;
constexpr int64_t kLongestWaitAtTimes = 16;

// How often it is tried while a reader is in the way, however little is written.
constexpr absl::Duration kRetryPause = absl::Seconds(1);
// How long nothing must have been written for the WAL to be emptied although it is small.
constexpr absl::Duration kIdleAfter = absl::Seconds(3);
constexpr absl::Duration kBusyTimeout = absl::Seconds(5);

}  // namespace

WalKeeper::WalKeeper(std::string ldb_path, std::string file_path, FreshnessPageKeeper* page,
                     const Options& options)
    : ldb_path_(std::move(ldb_path)),
      file_path_(std::move(file_path)),
      wal_path_(absl::StrCat(file_path_, "-wal")),
      page_(page),
      options_(options) {
  Measure();
}

absl::Status WalKeeper::AfterCommit(sqlite::Database* database) {
  const int64_t bytes = Measure();
  last_commit_ = options_.clock->Now();
  if (bytes <= options_.checkpoint_bytes) return absl::OkStatus();
  if (retry_at_bytes_ == 0) return Try(database, kShortWait);
  if (bytes >= retry_at_bytes_) {
    return Try(database, bytes >= options_.checkpoint_bytes * kLongestWaitAtTimes ? kLongestWait
                         : bytes >= options_.checkpoint_bytes * kLongWaitAtTimes  ? kLongWait
                                                                                  : kShortWait);
  }
  // A clock that was set back is no reason not to try.
  if (last_commit_ - last_try_ >= kRetryPause || last_commit_ < last_try_) {
    return Try(database, kShortWait);
  }
  return absl::OkStatus();
}

absl::Status WalKeeper::MakeRoom(sqlite::Database* database) {
  if (Measure() <= options_.max_bytes) return absl::OkStatus();
  absl::Status status = Try(database, kLongWait);
  if (!status.ok()) return status;
  const int64_t bytes = Measure();
  if (bytes <= options_.max_bytes) return absl::OkStatus();
  return ErrorWithReason(
      absl::StatusCode::kResourceExhausted, reason::kWalFull,
      absl::StrCat("the WAL of ", ldb_path_, " has ", bytes, " bytes, more than the limit of ",
                   options_.max_bytes,
                   ", and a reader keeps it from being emptied; end that reader's transaction"));
}

absl::Status WalKeeper::Idle(sqlite::Database* database) {
  const int64_t bytes = Measure();
  if (bytes == 0) return absl::OkStatus();
  const absl::Time now = options_.clock->Now();
  const bool idle = now - last_commit_ >= kIdleAfter || now < last_commit_;
  if (!idle && retry_at_bytes_ == 0) return absl::OkStatus();
  // Nothing waits; but where a reader does not let go, the others are not disturbed for long.
  return Try(database, retry_at_bytes_ == 0 ? kLongWait : kShortWait);
}

WalStatus WalKeeper::status() const {
  absl::MutexLock lock(&mutex_);
  return status_;
}

absl::Status WalKeeper::Try(sqlite::Database* database, absl::Duration wait) {
  const absl::Time begin = options_.clock->Now();
  last_try_ = begin;
  bool emptied = false;
  // Takes most of the time, and no reader notices it.
  absl::Status status = database->PassiveCheckpoint();
  if (status.ok()) status = Empty(database, std::max(wait, kShortWait), &emptied);
  const absl::Time end = options_.clock->Now();
  Record(status, emptied, std::max(end - begin, absl::ZeroDuration()));
  if (status.ok()) WatchReader(end);
  return status;
}

absl::Status WalKeeper::Empty(sqlite::Database* database, absl::Duration wait, bool* emptied) {
  page_->Pause();
  // TRUNCATE, with a wait that is bounded: it moves what it can, and once all is moved new readers
  // use the database alone, so that it has to wait only for those that began before. A file that is
  // not truncated would be counted as full.
  sqlite3_busy_timeout(database->handle(), static_cast<int>(absl::ToInt64Milliseconds(wait)));
  absl::Status status = database->Checkpoint(emptied);
  sqlite3_busy_timeout(database->handle(),
                       static_cast<int>(absl::ToInt64Milliseconds(kBusyTimeout)));
  page_->Resume();
  return status;
}

void WalKeeper::Record(const absl::Status& status, bool emptied, absl::Duration took) {
  const int64_t bytes = Measure();
  // Where it did not work, trying at every commit would only cost time.
  retry_at_bytes_ =
      status.ok() && emptied ? 0 : bytes + std::max(options_.checkpoint_bytes / 4, bytes / 8);
  absl::MutexLock lock(&mutex_);
  status_.last_checkpoint = took;
  if (!status.ok()) {
    ++status_.failed_checkpoints;
  } else if (emptied) {
    ++status_.checkpoints;
  } else {
    ++status_.blocked_checkpoints;
  }
}

// After a checkpoint that did not fail: says which reader was in the way, once when it has been for
// long, and once when it is not any more.
void WalKeeper::WatchReader(absl::Time now) {
  const bool blocked = retry_at_bytes_ != 0;
  const std::vector<pid_t> readers = blocked ? WalReaders(file_path_) : std::vector<pid_t>();
  absl::optional<absl::Time> since;
  {
    absl::MutexLock lock(&mutex_);
    since = status_.blocked_since;
    if (!blocked) {
      status_.blocked_since.reset();
    } else if (!since.has_value() || now < *since) {
      status_.blocked_since = since = now;
    }
    status_.blocked_by.reset();
    if (!readers.empty()) status_.blocked_by = readers.front();
  }
  if (blocked && !reader_reported_ && now - *since >= options_.warn_reader_after) {
    reader_reported_ = true;
    LOG(WARNING) << "event=ldb_reader_holds_snapshot path=" << ldb_path_
                 << " since=" << absl::FormatTime(absl::RFC3339_sec, *since, absl::UTCTimeZone())
                 << " wal_bytes=" << status().bytes
                 << " pids=" << (readers.empty() ? "unknown" : absl::StrJoin(readers, ","));
  } else if (!blocked && reader_reported_) {
    reader_reported_ = false;
    LOG(INFO) << "event=ldb_reader_let_go path=" << ldb_path_ << " after_s="
              << absl::ToInt64Seconds(since.has_value() ? now - *since : absl::ZeroDuration());
  }
}

int64_t WalKeeper::Measure() {
  struct stat file;
  const int64_t bytes = stat(wal_path_.c_str(), &file) == 0 ? file.st_size : 0;
  absl::MutexLock lock(&mutex_);
  status_.bytes = bytes;
  return bytes;
}

}  // namespace ctlstore::ldb
