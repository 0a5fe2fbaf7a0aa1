// Files that are read again when they change.

#ifndef CTLSTORE_COMMON_RPC_WATCHED_FILES_H_
#define CTLSTORE_COMMON_RPC_WATCHED_FILES_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/base/clock.h"

namespace ctlstore::rpc {

// A few small files that belong together, such as a certificate and its key. There is no thread:
// whoever uses what is in them calls Refresh() first. Thread-safe. The clock must outlive it.
class WatchedFiles {
 public:
  // Larger files are errors.
  static constexpr size_t kMaxFileBytes = 1 << 20;
  // How often Refresh() looks, at most.
  static constexpr absl::Duration kInterval = absl::Seconds(1);

  // Takes the files' texts, in the order of the paths, or refuses them with an error and keeps what
  // it has. Called by one thread at a time.
  using Take = std::function<absl::Status(const std::vector<std::string>& texts)>;

  WatchedFiles(std::vector<std::string> paths, Take take, Clock* clock = Clock::Real());

  // Reads the files the first time. INVALID_ARGUMENT names the file that cannot be read; otherwise
  // the status of taking.
  absl::Status Load();

  // Has the texts taken where they have changed; does nothing where it was called less than a
  // second ago. What cannot be read or is refused is logged once, and tried again when it changes.
  void Refresh();

 private:
  absl::StatusOr<std::vector<std::string>> Read() const;

  const std::vector<std::string> paths_;
  const Take take_;
  Clock* const clock_;
  // When Refresh() looked last, in Unix nanoseconds.
  std::atomic<int64_t> looked_{0};
  absl::Mutex mutex_;
  // What was found last, whether or not it was taken.
  absl::StatusOr<std::vector<std::string>> found_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace ctlstore::rpc

#endif  // CTLSTORE_COMMON_RPC_WATCHED_FILES_H_
