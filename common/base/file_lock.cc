#include "common/base/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"

namespace ctlstore {
namespace {

std::string HolderFrom(int fd) {
  char text[32] = {};
  const ssize_t size = pread(fd, text, sizeof(text) - 1, 0);
  if (size <= 0) return "unknown";
  return std::string(absl::StripAsciiWhitespace(absl::string_view(text, size)));
}

}  // namespace

absl::StatusOr<std::unique_ptr<FileLock>> FileLock::Open(const std::string& path) {
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) {
    return absl::UnavailableError(absl::StrCat("cannot open ", path, ": ", strerror(errno)));
  }
  return std::unique_ptr<FileLock>(new FileLock(path, fd));
}

FileLock::~FileLock() {
  Unlock();
  close(fd_);
}

absl::Status FileLock::Lock(absl::Duration wait) {
  const absl::Time deadline = absl::Now() + wait;
  // flock() cannot wait with a limit, so it is tried at growing intervals.
  absl::Duration pause = absl::Microseconds(50);
  while (flock(fd_, LOCK_EX | LOCK_NB) != 0) {
    if (errno == EINTR) continue;
    if (errno != EWOULDBLOCK) {
      return absl::UnavailableError(absl::StrCat("cannot lock ", path_, ": ", strerror(errno)));
    }
    if (absl::Now() >= deadline) {
      return absl::FailedPreconditionError(
          absl::StrCat(path_, " is locked by process ", HolderFrom(fd_)));
    }
    absl::SleepFor(pause);
    pause = std::min(pause * 2, absl::Milliseconds(5));
  }
  locked_ = true;
  // For people only: the lock does not depend on what the file says, nor on whether it can be
  // written.
  const std::string holder = absl::StrCat(getpid(), "\n");
  const bool written = ftruncate(fd_, 0) == 0 && pwrite(fd_, holder.data(), holder.size(), 0) > 0;
  static_cast<void>(written);
  return absl::OkStatus();
}

void FileLock::Unlock() {
  if (!locked_) return;
  flock(fd_, LOCK_UN);
  locked_ = false;
}

}  // namespace ctlstore
