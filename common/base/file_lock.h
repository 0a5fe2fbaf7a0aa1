// An exclusive lock between processes, held through a file.

#ifndef CTLSTORE_COMMON_BASE_FILE_LOCK_H_
#define CTLSTORE_COMMON_BASE_FILE_LOCK_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace ctlstore {

// A lock file that at most one holder, in any process or in the same one, has locked at a time. The
// system gives the lock up when its holder dies, so a lock is never stale; the file itself stays.
// Not thread-safe: one object, one user at a time.
class FileLock {
 public:
  // Opens or creates the file, without locking it. UNAVAILABLE where that fails.
  static absl::StatusOr<std::unique_ptr<FileLock>> Open(const std::string& path);

  // Unlocks, if locked.
  ~FileLock();
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

  // Locks and writes the process id into the file. FAILED_PRECONDITION naming the holder's process
  // where another holder has it and `wait` passed without its letting go; a zero `wait` tries once.
  absl::Status Lock(absl::Duration wait);

  // Does nothing where not locked.
  void Unlock();

  bool locked() const { return locked_; }

 private:
  FileLock(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}

  const std::string path_;
  const int fd_;
  bool locked_ = false;
};

}  // namespace ctlstore

#endif  // CTLSTORE_COMMON_BASE_FILE_LOCK_H_
