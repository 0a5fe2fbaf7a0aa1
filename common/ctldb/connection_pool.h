// A bounded set of connections to one ctldb.

#ifndef CTLSTORE_COMMON_CTLDB_CONNECTION_POOL_H_
#define CTLSTORE_COMMON_CTLDB_CONNECTION_POOL_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/ctldb/connection.h"

namespace ctlstore::ctldb {

// Lends connections, opening them as they are needed, up to a maximum. Broken ones are thrown away
// when they come back, together with those that lie idle, and one that lay idle for a while is
// asked for a sign of life before it is lent again, so callers see a database that went away and
// came back as single failed calls. Thread-safe; outlives all that it lends.
//
// Who holds a connection must not wait for another one: with all of them lent to such callers
// nobody would ever get one. Who needs two takes them with AcquireTwo().
class ConnectionPool {
 public:
  using Opener = std::function<absl::StatusOr<std::unique_ptr<Connection>>()>;

  // A borrowed connection: give it back by destroying it. An open transaction is rolled back then.
  class Lease {
   public:
    Lease(Lease&& other) noexcept = default;
    Lease& operator=(Lease&&) = delete;
    ~Lease();
    Connection* operator->() const { return connection_.get(); }
    Connection* get() const { return connection_.get(); }

   private:
    friend class ConnectionPool;
    Lease(ConnectionPool* pool, std::unique_ptr<Connection> connection)
        : pool_(pool), connection_(std::move(connection)) {}
    ConnectionPool* pool_;
    std::unique_ptr<Connection> connection_;
  };

  ConnectionPool(Opener opener, size_t max_connections);
  ~ConnectionPool();
  ConnectionPool(const ConnectionPool&) = delete;
  ConnectionPool& operator=(const ConnectionPool&) = delete;

  // Waits for a connection until `deadline`. UNAVAILABLE (CTLDB_BUSY) when none became free,
  // UNAVAILABLE (CTLDB_UNAVAILABLE) when none could be opened.
  absl::StatusOr<Lease> Acquire(absl::Time deadline);

  // Two connections, as Acquire(). Callers of this take turns, so that no two of them hold one
  // connection each and wait for the second. FAILED_PRECONDITION where the pool's maximum is less
  // than two.
  absl::StatusOr<std::pair<Lease, Lease>> AcquireTwo(absl::Time deadline);

  size_t max_connections() const { return max_connections_; }
  size_t open_connections() const;

 private:
  struct Idle {
    std::unique_ptr<Connection> connection;
    absl::Time since;
  };

  // An idle connection, or null with the right to open one, which counts as open already.
  absl::StatusOr<Idle> TakeSlot(absl::Time deadline);
  void Return(std::unique_ptr<Connection> connection);
  void GiveSlotBack();
  bool SlotIsFree() const ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    return !idle_.empty() || open_ < max_connections_;
  }

  const Opener opener_;
  const size_t max_connections_;
  mutable absl::Mutex mutex_;
  size_t open_ ABSL_GUARDED_BY(mutex_) = 0;
  // Whether someone is about to take two.
  bool two_wanted_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<Idle> idle_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace ctlstore::ctldb

#endif  // CTLSTORE_COMMON_CTLDB_CONNECTION_POOL_H_
