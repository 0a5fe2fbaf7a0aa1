// The connections of one reader.

#ifndef CTLSTORE_COMMON_LDB_READER_POOL_H_
#define CTLSTORE_COMMON_LDB_READER_POOL_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/optional.h"
#include "common/ldb/file_identity.h"
#include "common/ldb/reader_connection.h"

namespace ctlstore::ldb {

// Lends connections to one path. There are as many as are used at the same time; when they come
// back, a few are kept, and the last one to come back is the first to go out again, because what it
// has in memory is the newest. A file that is replaced by another is noticed within a second, and
// from then on no connection to it is lent. Thread-safe; must outlive what it lends.
class ReaderPool {
 public:
  // A borrowed connection, given back when it is destroyed.
  class Lease {
   public:
    Lease() = default;
    Lease(Lease&& other) noexcept = default;
    Lease& operator=(Lease&& other) noexcept;
    ~Lease() { GiveBack(); }

    ReaderConnection* operator->() const { return connection_.get(); }
    explicit operator bool() const { return connection_ != nullptr; }

    // Gives the connection back now.
    void GiveBack();
    // Closes the connection, because something is wrong with it.
    void Discard() { connection_ = nullptr; }

   private:
    friend class ReaderPool;
    Lease(ReaderPool* pool, std::unique_ptr<ReaderConnection> connection)
        : pool_(pool), connection_(std::move(connection)) {}
    ReaderPool* pool_ = nullptr;
    std::unique_ptr<ReaderConnection> connection_;
  };

  explicit ReaderPool(std::string path) : path_(std::move(path)) {}
  ReaderPool(const ReaderPool&) = delete;
  ReaderPool& operator=(const ReaderPool&) = delete;

  // Errors are those of ReaderConnection::Open().
  absl::StatusOr<Lease> Take();

  // The same, but never a connection that was used before.
  absl::StatusOr<Lease> TakeNew();

  const std::string& path() const { return path_; }

 private:
  using Connections = std::vector<std::unique_ptr<ReaderConnection>>;

  void GiveBack(std::unique_ptr<ReaderConnection> connection);
  // Looks whether the path still leads to the file that is read; `*outdated` receives what is to be
  // closed where not. Called with the lock.
  void CheckFile(Connections* outdated);

  const std::string path_;
  // ThreadSanitizer knows this kind of lock also where Abseil was built without it.
  std::mutex mutex_;
  // All below is guarded by the lock.
  Connections free_;
  // The file whose connections are kept.
  absl::optional<FileIdentity> identity_;
  // When it was looked at, in seconds of the monotonic clock.
  int64_t checked_at_ = 0;
};

}  // namespace ctlstore::ldb

#endif  // CTLSTORE_COMMON_LDB_READER_POOL_H_
