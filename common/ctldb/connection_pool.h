// A bounded set of connections to one ctldb.

#ifndef CTLSTORE_COMMON_CTLDB_CONNECTION_POOL_H_
#define CTLSTORE_COMMON_CTLDB_CONNECTION_POOL_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/ctldb/connection.h"

namespace ctlstore::ctldb {

// Lends connections, opening them as they are needed, up to a maximum. Broken ones are thrown away
// when they come back, and one that lay idle for a while is asked for a sign of life before it is
// lent again, so callers see a database that went away and came back as single failed calls.
// Thread-safe; outlives all that it lends.
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

  size_t max_connections() const { return max_connections_; }
  size_t open_connections() const;

 private:
  struct Idle {
    std::unique_ptr<Connection> connection;
    absl::Time since;
  };

  void Return(std::unique_ptr<Connection> connection);

  const Opener opener_;
  const size_t max_connections_;
  mutable absl::Mutex mutex_;
  size_t open_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<Idle> idle_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace ctlstore::ctldb

#endif  // CTLSTORE_COMMON_CTLDB_CONNECTION_POOL_H_
