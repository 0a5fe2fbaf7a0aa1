#include "common/rpc/watched_files.h"

#include <fcntl.h>
#include <glog/logging.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace ctlstore::rpc {
namespace {

absl::Status Unreadable(const std::string& path, absl::string_view problem) {
  return absl::InvalidArgumentError(absl::StrCat("cannot read the file ", path, ": ", problem));
}

absl::StatusOr<std::string> ReadOpen(int fd, const std::string& path) {
  struct stat info = {};
  if (fstat(fd, &info) != 0) return Unreadable(path, std::strerror(errno));
  // Anything else could make the reader wait.
  if (!S_ISREG(info.st_mode)) return Unreadable(path, "it is not a regular file");
  std::string text;
  char buffer[16384];
  while (true) {
    const ssize_t size = read(fd, buffer, sizeof(buffer));
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return Unreadable(path, std::strerror(errno));
    if (size == 0) return text;
    text.append(buffer, static_cast<size_t>(size));
    if (text.size() > WatchedFiles::kMaxFileBytes) {
      return Unreadable(path, absl::StrCat("it has more than ", WatchedFiles::kMaxFileBytes,
                                           " bytes, the limit"));
    }
  }
}

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return Unreadable(path, std::strerror(errno));
  absl::StatusOr<std::string> text = ReadOpen(fd, path);
  close(fd);
  return text;
}

}  // namespace

WatchedFiles::WatchedFiles(std::vector<std::string> paths, Take take, Clock* clock)
    : paths_(std::move(paths)), take_(std::move(take)), clock_(clock) {}

absl::Status WatchedFiles::Load() {
  looked_ = absl::ToUnixNanos(clock_->Now());
  absl::MutexLock lock(&mutex_);
  found_ = Read();
  return found_.ok() ? take_(*found_) : found_.status();
}

void WatchedFiles::Refresh() {
  const int64_t now = absl::ToUnixNanos(clock_->Now());
  int64_t looked = looked_;
  // A clock that was set back is no reason to wait.
  if (now >= looked && now - looked < absl::ToInt64Nanoseconds(kInterval)) return;
  // One caller looks; the others go on with what there is.
  if (!looked_.compare_exchange_strong(looked, now)) return;
  absl::MutexLock lock(&mutex_);
  absl::StatusOr<std::vector<std::string>> found = Read();
  if (found == found_) return;
  found_ = std::move(found);
  const absl::Status status = found_.ok() ? take_(*found_) : found_.status();
  if (status.ok()) {
    LOG(INFO) << "event=files_reloaded files=" << absl::StrJoin(paths_, ",");
  } else {
    LOG(ERROR) << "event=files_not_reloaded files=" << absl::StrJoin(paths_, ",") << " error=\""
               << status.message() << "; what was read before stays in use\"";
  }
}

absl::StatusOr<std::vector<std::string>> WatchedFiles::Read() const {
  std::vector<std::string> texts;
  for (const std::string& path : paths_) {
    absl::StatusOr<std::string> text = ReadFile(path);
    if (!text.ok()) return text.status();
    texts.push_back(*std::move(text));
  }
  return texts;
}

}  // namespace ctlstore::rpc
