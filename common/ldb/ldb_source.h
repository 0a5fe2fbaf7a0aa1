// One file that a reader reads: connections to it, its freshness page and its cached rows.

#ifndef CTLSTORE_COMMON_LDB_LDB_SOURCE_H_
#define CTLSTORE_COMMON_LDB_LDB_SOURCE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/ldb/file_identity.h"
#include "common/ldb/freshness_page.h"
#include "common/ldb/reader.h"
#include "common/ldb/reader_connection.h"
#include "common/ldb/reader_lanes.h"
#include "common/ldb/row_cache.h"

namespace ctlstore::ldb {

// A reader has one at a time; another one takes its place when the file is replaced, or when the
// page is another or not to be trusted any more. Thread-safe.
class LdbSource : public std::enable_shared_from_this<LdbSource> {
 public:
  // Opens the file. Without a page that can be trusted it has no cache. The lanes and the count
  // must outlive it. Errors are those of ReaderConnection::Open().
  static absl::StatusOr<std::shared_ptr<LdbSource>> Open(const std::string& file_path,
                                                         const ReaderOptions& options,
                                                         ReaderLanes* lanes,
                                                         std::atomic<int64_t>* open_connections);
  ~LdbSource();
  LdbSource(const LdbSource&) = delete;
  LdbSource& operator=(const LdbSource&) = delete;

  // No other source of this process has the same. Never 0.
  uint64_t id() const { return id_; }
  const std::string& file_path() const { return file_path_; }
  const FileIdentity& identity() const { return identity_; }
  // Null where there is none.
  const FreshnessPageView* page() const { return page_.get(); }
  RowCache* cache() const { return cache_.get(); }

  // A connection to this file. UNAVAILABLE (LDB_REPLACED) where the path leads to another one by
  // now.
  absl::StatusOr<std::unique_ptr<ReaderConnection>> TakeConnection();
  // Keeps a few.
  void GiveBack(std::unique_ptr<ReaderConnection> connection);
  // Closes those that are kept.
  void CloseSpare();

  // The file's applied sequence, also when the path leads to another one.
  absl::StatusOr<int64_t> ReadSequence();
  // The same where it can be read, and otherwise as far as is known; 0 where nothing is.
  int64_t LastSequence();

  // Whether the page is there and right, or there is none: otherwise the source is to be opened
  // anew. Reads the file.
  bool PageIsRight();

 private:
  LdbSource(std::string file_path, const ReaderOptions& options,
            std::atomic<int64_t>* open_connections);

  absl::StatusOr<std::unique_ptr<ReaderConnection>> OpenConnection() const;
  // Finds a page for the file that agrees with it.
  absl::StatusOr<std::unique_ptr<FreshnessPageView>> FindPage() const;
  // Whether the page says the same as the file. True where that cannot be told now.
  bool Agrees(const FreshnessPageView& page) const;

  const uint64_t id_;
  const std::string file_path_;
  const ReaderOptions options_;
  std::atomic<int64_t>* const open_connections_;
  FileIdentity identity_;
  std::unique_ptr<FreshnessPageView> page_;
  std::unique_ptr<RowCache> cache_;

  // Used for what is asked of the file itself, not of a thread.
  mutable std::mutex control_mutex_;
  std::unique_ptr<ReaderConnection> control_;

  std::mutex spare_mutex_;
  std::vector<std::unique_ptr<ReaderConnection>> spare_;
};

}  // namespace ctlstore::ldb

#endif  // CTLSTORE_COMMON_LDB_LDB_SOURCE_H_
