// What the fetching of a snapshot needs of a file system.

#ifndef CTLSTORE_COMMON_SNAPSHOT_DISK_H_
#define CTLSTORE_COMMON_SNAPSHOT_DISK_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace ctlstore::snapshot {

// RESOURCE_EXHAUSTED where `error`, an errno, says that there is no room (or that the file may not
// be so large); UNAVAILABLE otherwise.
absl::Status DiskError(int error, absl::string_view what, const std::string& path);

// A file descriptor that is closed at the end.
class OwnedFd {
 public:
  OwnedFd() = default;
  explicit OwnedFd(int fd) : fd_(fd) {}
  OwnedFd(OwnedFd&& other) noexcept : fd_(other.release()) {}
  OwnedFd& operator=(OwnedFd&& other) noexcept;
  ~OwnedFd() { reset(); }

  int get() const { return fd_; }
  int release();
  void reset();

 private:
  int fd_ = -1;
};

absl::StatusOr<OwnedFd> OpenFile(const std::string& path, int flags);

// Writes all of `data` at `offset`. Thread-safe.
absl::Status WriteAt(int fd, int64_t offset, absl::string_view data, const std::string& path);

// RESOURCE_EXHAUSTED where the file system of `folder` has less than `needed` + `min_free` bytes
// left.
absl::Status CheckRoom(const std::string& folder, int64_t needed, int64_t min_free);

// Brings the folder's names to the disk.
absl::Status SyncFolder(const std::string& folder);

// No error where there is none.
absl::Status RemoveFile(const std::string& path);

}  // namespace ctlstore::snapshot

#endif  // CTLSTORE_COMMON_SNAPSHOT_DISK_H_
