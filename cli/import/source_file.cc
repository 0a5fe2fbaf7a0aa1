#include "cli/import/source_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

namespace ctlstore::cli {
namespace {

constexpr size_t kCopyBytes = size_t{256} << 10;

absl::Status SystemError(absl::string_view what, absl::string_view name) {
  const std::string message = absl::StrCat("cannot ", what, " ", name, ": ", strerror(errno));
  return errno == ENOENT ? absl::NotFoundError(message) : absl::UnavailableError(message);
}

absl::StatusOr<size_t> ReadFully(int fd, const std::string& name, char* buffer, size_t size) {
  size_t done = 0;
  while (done < size) {
    const ssize_t count = read(fd, buffer + done, size - done);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return SystemError("read", name);
    if (count == 0) break;
    done += count;
  }
  return done;
}

absl::Status WriteFully(int fd, const char* data, size_t size) {
  while (size > 0) {
    const ssize_t count = write(fd, data, size);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return SystemError("write", "the temporary copy of the input");
    data += count;
    size -= count;
  }
  return absl::OkStatus();
}

// A file that vanishes when it is closed.
absl::StatusOr<int> OpenTemporary() {
  const char* folder = std::getenv("TMPDIR");
  std::string path = absl::StrCat(folder == nullptr || *folder == '\0' ? "/tmp" : folder,
                                  "/ctlstore-import-XXXXXX");
  const int fd = mkostemp(path.data(), O_CLOEXEC);
  if (fd < 0) return SystemError("create", path);
  unlink(path.c_str());
  return fd;
}

absl::StatusOr<int64_t> Copy(int from, const std::string& name, int to) {
  std::vector<char> buffer(kCopyBytes);
  int64_t total = 0;
  while (true) {
    absl::StatusOr<size_t> count = ReadFully(from, name, buffer.data(), buffer.size());
    if (!count.ok()) return count.status();
    if (*count == 0) return total;
    absl::Status written = WriteFully(to, buffer.data(), *count);
    if (!written.ok()) return written;
    total += static_cast<int64_t>(*count);
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<SourceFile>> SourceFile::Open(const std::string& path) {
  const bool standard_input = path == "-";
  const std::string name = standard_input ? "standard input" : path;
  int fd = standard_input ? dup(STDIN_FILENO) : open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return SystemError("open", name);

  struct stat info;
  if (fstat(fd, &info) != 0 || S_ISDIR(info.st_mode)) {
    if (errno == 0 || S_ISDIR(info.st_mode)) errno = EISDIR;
    absl::Status error = SystemError("read", name);
    close(fd);
    return error;
  }
  int64_t size = info.st_size;
  if (standard_input || !S_ISREG(info.st_mode)) {
    absl::StatusOr<int> copy = OpenTemporary();
    if (!copy.ok()) {
      close(fd);
      return copy.status();
    }
    absl::StatusOr<int64_t> copied = Copy(fd, name, *copy);
    close(fd);
    fd = *copy;
    if (!copied.ok()) {
      close(fd);
      return copied.status();
    }
    size = *copied;
  }
  auto file = std::unique_ptr<SourceFile>(new SourceFile(name, fd, size));
  absl::Status rewound = file->Rewind();
  if (!rewound.ok()) return rewound;
  return file;
}

SourceFile::~SourceFile() { close(fd_); }

absl::Status SourceFile::Rewind() {
  if (lseek(fd_, 0, SEEK_SET) != 0) return SystemError("go back in", name_);
  position_ = 0;
  return absl::OkStatus();
}

absl::StatusOr<size_t> SourceFile::Read(char* buffer, size_t size) {
  absl::StatusOr<size_t> count = ReadFully(fd_, name_, buffer, size);
  if (count.ok()) position_ += static_cast<int64_t>(*count);
  return count;
}

}  // namespace ctlstore::cli
