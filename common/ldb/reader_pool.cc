#include "common/ldb/reader_pool.h"

#include <time.h>

#include <utility>

namespace ctlstore::ldb {
namespace {

constexpr size_t kMaxKept = 16;

constexpr int64_t kNanosPerSecond = 1000000000;
constexpr int64_t kCheckIntervalNanos = kNanosPerSecond;

// Exact to a few milliseconds, and far cheaper than an exact one.
int64_t MonotonicNanos() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return now.tv_sec * kNanosPerSecond + now.tv_nsec;
}

}  // namespace

ReaderPool::Lease& ReaderPool::Lease::operator=(Lease&& other) noexcept {
  if (this != &other) {
    GiveBack();
    pool_ = other.pool_;
    connection_ = std::move(other.connection_);
  }
  return *this;
}

void ReaderPool::Lease::GiveBack() {
  if (connection_ != nullptr) pool_->GiveBack(std::move(connection_));
}

void ReaderPool::CheckFile(Connections* outdated) {
  const int64_t now = MonotonicNanos();
  if (now - checked_at_ < kCheckIntervalNanos) return;
  checked_at_ = now;
  if (!identity_.has_value() || IdentityOf(path_) == identity_) return;
  identity_ = absl::nullopt;
  outdated->swap(free_);
}

absl::StatusOr<ReaderPool::Lease> ReaderPool::Take() {
  // Closed without the lock.
  Connections outdated;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    CheckFile(&outdated);
    if (!free_.empty()) {
      std::unique_ptr<ReaderConnection> connection = std::move(free_.back());
      free_.pop_back();
      return Lease(this, std::move(connection));
    }
  }
  return TakeNew();
}

absl::StatusOr<ReaderPool::Lease> ReaderPool::TakeNew() {
  while (true) {
    absl::StatusOr<std::unique_ptr<ReaderConnection>> connection = ReaderConnection::Open(path_);
    if (!connection.ok()) return connection.status();
    Connections outdated;
    std::lock_guard<std::mutex> lock(mutex_);
    if (identity_ != (*connection)->identity()) {
      // Looked at with the lock, so that nobody who was late brings back a file that another one
      // has taken the place of, when somebody has already read that.
      if (IdentityOf(path_) != (*connection)->identity()) continue;
      outdated.swap(free_);
      identity_ = (*connection)->identity();
    }
    return Lease(this, *std::move(connection));
  }
}

void ReaderPool::GiveBack(std::unique_ptr<ReaderConnection> connection) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (free_.size() < kMaxKept && identity_ == connection->identity()) {
    free_.push_back(std::move(connection));
  }
  // Otherwise it is closed after the lock is let go of.
}

}  // namespace ctlstore::ldb
