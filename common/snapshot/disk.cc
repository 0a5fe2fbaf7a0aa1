#include "common/snapshot/disk.h"

#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"

namespace ctlstore::snapshot {

absl::Status DiskError(int error, absl::string_view what, const std::string& path) {
  const absl::StatusCode code = error == ENOSPC || error == EDQUOT || error == EFBIG
                                    ? absl::StatusCode::kResourceExhausted
                                    : absl::StatusCode::kUnavailable;
  return absl::Status(code, absl::StrCat("cannot ", what, " ", path, ": ", strerror(error)));
}

OwnedFd& OwnedFd::operator=(OwnedFd&& other) noexcept {
  if (this != &other) {
    reset();
    fd_ = other.release();
  }
  return *this;
}

int OwnedFd::release() { return std::exchange(fd_, -1); }

void OwnedFd::reset() {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
}

absl::StatusOr<OwnedFd> OpenFile(const std::string& path, int flags) {
  OwnedFd fd(open(path.c_str(), flags | O_CLOEXEC, 0644));
  if (fd.get() < 0) return DiskError(errno, "open", path);
  return fd;
}

absl::Status WriteAt(int fd, int64_t offset, absl::string_view data, const std::string& path) {
  while (!data.empty()) {
    const ssize_t written = pwrite(fd, data.data(), data.size(), offset);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return DiskError(written < 0 ? errno : ENOSPC, "write", path);
    data.remove_prefix(written);
    offset += written;
  }
  return absl::OkStatus();
}

absl::Status CheckRoom(const std::string& folder, int64_t needed, int64_t min_free) {
  struct statvfs figures;
  if (statvfs(folder.c_str(), &figures) != 0) {
    return DiskError(errno, "ask for the free space of", folder);
  }
  const uint64_t free = uint64_t{figures.f_bavail} * figures.f_frsize;
  if (free >= static_cast<uint64_t>(needed) + static_cast<uint64_t>(min_free)) {
    return absl::OkStatus();
  }
  return absl::ResourceExhaustedError(
      absl::StrCat("no room in ", folder, ": ", free, " bytes are free, ", needed,
                   " more are needed, and ", min_free, " have to be left"));
}

absl::Status SyncFolder(const std::string& folder) {
  absl::StatusOr<OwnedFd> fd = OpenFile(folder, O_RDONLY | O_DIRECTORY);
  if (!fd.ok()) return fd.status();
  if (fsync(fd->get()) != 0) return DiskError(errno, "sync the folder", folder);
  return absl::OkStatus();
}

absl::Status RemoveFile(const std::string& path) {
  if (unlink(path.c_str()) != 0 && errno != ENOENT) return DiskError(errno, "remove", path);
  return absl::OkStatus();
}

}  // namespace ctlstore::snapshot
