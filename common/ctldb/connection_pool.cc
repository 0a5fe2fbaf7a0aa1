#include "common/ctldb/connection_pool.h"

#include <glog/logging.h>

#include <algorithm>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/ctldb/connection_errors.h"

namespace ctlstore::ctldb {
namespace {

// A question to the server costs a round trip, so only those that lay idle for a while are asked.
constexpr absl::Duration kTrustIdleFor = absl::Seconds(5);

}  // namespace

ConnectionPool::Lease::~Lease() {
  if (connection_ == nullptr) return;
  connection_->Rollback();
  pool_->Return(std::move(connection_));
}

ConnectionPool::ConnectionPool(Opener opener, size_t max_connections)
    : opener_(std::move(opener)), max_connections_(std::max<size_t>(max_connections, 1)) {}

ConnectionPool::~ConnectionPool() {
  absl::MutexLock lock(&mutex_);
  CHECK_EQ(open_, idle_.size()) << "a connection pool is destroyed before what it has lent";
}

absl::StatusOr<ConnectionPool::Idle> ConnectionPool::TakeSlot(absl::Time deadline) {
  absl::MutexLock lock(&mutex_);
  const auto is_free = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return SlotIsFree(); };
  if (!mutex_.AwaitWithDeadline(absl::Condition(&is_free), deadline)) {
    return DatabaseBusy(absl::StrCat("all ", max_connections_,
                                     " connections to the ctldb were in use for too long"));
  }
  if (idle_.empty()) {
    ++open_;
    return Idle{nullptr, absl::InfinitePast()};
  }
  // The last one that came back: the others may stay idle.
  Idle idle = std::move(idle_.back());
  idle_.pop_back();
  return idle;
}

void ConnectionPool::GiveSlotBack() {
  absl::MutexLock lock(&mutex_);
  --open_;
}

absl::StatusOr<ConnectionPool::Lease> ConnectionPool::Acquire(absl::Time deadline) {
  absl::StatusOr<Idle> slot = TakeSlot(deadline);
  if (!slot.ok()) return slot.status();
  std::unique_ptr<Connection> connection = std::move(slot->connection);
  if (connection != nullptr && absl::Now() - slot->since > kTrustIdleFor && !connection->Alive()) {
    connection.reset();
  }
  if (connection == nullptr) {
    absl::StatusOr<std::unique_ptr<Connection>> opened = opener_();
    if (!opened.ok()) {
      GiveSlotBack();
      return opened.status();
    }
    connection = *std::move(opened);
  }
  return Lease(this, std::move(connection));
}

absl::StatusOr<std::pair<ConnectionPool::Lease, ConnectionPool::Lease>> ConnectionPool::AcquireTwo(
    absl::Time deadline) {
  if (max_connections_ < 2) {
    return absl::FailedPreconditionError(
        "two connections to the ctldb are needed, but only one is allowed");
  }
  {
    absl::MutexLock lock(&mutex_);
    const auto is_free = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return !two_wanted_; };
    if (!mutex_.AwaitWithDeadline(absl::Condition(&is_free), deadline)) {
      return DatabaseBusy("other changes of the schema waited for connections to the ctldb");
    }
    two_wanted_ = true;
  }
  const absl::Cleanup done = [this] {
    absl::MutexLock lock(&mutex_);
    two_wanted_ = false;
  };
  absl::StatusOr<Lease> first = Acquire(deadline);
  if (!first.ok()) return first.status();
  absl::StatusOr<Lease> second = Acquire(deadline);
  if (!second.ok()) return second.status();
  return std::make_pair(*std::move(first), *std::move(second));
}

void ConnectionPool::Return(std::unique_ptr<Connection> connection) {
  const bool broken = connection->broken();
  // Connections are closed outside the lock: that can take a while.
  std::vector<Idle> closed;
  if (broken) connection.reset();
  absl::MutexLock lock(&mutex_);
  if (!broken) {
    idle_.push_back(Idle{std::move(connection), absl::Now()});
    return;
  }
  // Whatever broke this one has most likely broken those too.
  closed.swap(idle_);
  open_ -= 1 + closed.size();
}

size_t ConnectionPool::open_connections() const {
  absl::MutexLock lock(&mutex_);
  return open_;
}

}  // namespace ctlstore::ctldb
