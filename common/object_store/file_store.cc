#include "common/object_store/file_store.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <utility>

#include "absl/random/random.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/object_store/object_key.h"
#include "common/schema/errors.h"

namespace ctlstore::object_store {
namespace {

constexpr char kUnfinishedPrefix[] = ".uploading-";
constexpr char kMetadataAttribute[] = "user.ctlstore.metadata";
// What S3 takes too, and what file systems have room for.
constexpr size_t kMaxMetadataBytes = 2048;

constexpr size_t kReadBytes = size_t{256} << 10;
// What is copied before it is looked whether to go on.
constexpr int64_t kCopyBytes = int64_t{8} << 20;

class FileDescriptor {
 public:
  explicit FileDescriptor(int fd) : fd_(fd) {}
  ~FileDescriptor() {
    if (fd_ >= 0) close(fd_);
  }
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;

  int get() const { return fd_; }

 private:
  const int fd_;
};

absl::Time ModifiedOf(const struct stat& file) { return absl::TimeFromTimespec(file.st_mtim); }

std::string VersionOf(const struct stat& file) {
  return absl::StrCat(file.st_ino, "-", absl::ToUnixNanos(ModifiedOf(file)), "-", file.st_size);
}

// What the metadata in the attribute belongs to.
std::string MetadataOwner(const struct stat& file) {
  return absl::StrCat(file.st_size, " ", absl::ToUnixNanos(ModifiedOf(file)));
}

// The owner, then each "name=value", a line each.
std::string EncodeMetadata(const struct stat& file,
                           const std::map<std::string, std::string>& metadata) {
  std::string text = MetadataOwner(file);
  for (const auto& [name, value] : metadata) absl::StrAppend(&text, "\n", name, "=", value);
  return text;
}

// Empty where there is none, or where it belongs to what the file was before.
std::map<std::string, std::string> ReadMetadata(const std::string& path, const struct stat& file) {
  char text[2 * kMaxMetadataBytes];
  const ssize_t size = getxattr(path.c_str(), kMetadataAttribute, text, sizeof(text));
  std::map<std::string, std::string> metadata;
  if (size < 0) return metadata;
  bool first = true;
  for (const absl::string_view line : absl::StrSplit(absl::string_view(text, size), '\n')) {
    if (first) {
      if (line != MetadataOwner(file)) return metadata;
      first = false;
      continue;
    }
    const std::pair<absl::string_view, absl::string_view> member =
        absl::StrSplit(line, absl::MaxSplits('=', 1));
    metadata.emplace(member.first, member.second);
  }
  return metadata;
}

absl::Status CheckMetadata(const std::map<std::string, std::string>& metadata) {
  size_t bytes = 0;
  for (const auto& [name, value] : metadata) {
    bytes += name.size() + value.size();
    if (name.empty() || !std::all_of(name.begin(), name.end(), [](unsigned char c) {
          return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '-';
        })) {
      return absl::InvalidArgumentError("a name of metadata must have characters of [a-z0-9-]");
    }
    if (!std::all_of(value.begin(), value.end(),
                     [](unsigned char c) { return absl::ascii_isprint(c); })) {
      return absl::InvalidArgumentError(
          absl::StrCat("the metadata \"", name, "\" must be printable ASCII"));
    }
  }
  if (bytes > kMaxMetadataBytes) {
    return absl::InvalidArgumentError(absl::StrCat("an object's metadata must have at most ",
                                                   kMaxMetadataBytes, " bytes, has ", bytes));
  }
  return absl::OkStatus();
}

// With a '/' at its end.
std::string FolderOf(absl::string_view path) {
  return std::string(path.substr(0, path.rfind('/') + 1));
}

int SyncFolder(const std::string& folder) {
  const FileDescriptor fd(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  // Some file systems have nothing to sync there.
  if (fd.get() < 0 || (fsync(fd.get()) != 0 && errno != EINVAL)) return errno;
  return 0;
}

// Makes the folder and those above it. Returns errno, 0 for success.
int MakeFolders(const std::string& folder) {
  if (mkdir(folder.c_str(), 0755) == 0) {
    return SyncFolder(FolderOf(folder.substr(0, folder.size() - 1)));
  }
  if (errno == EEXIST) return 0;
  if (errno != ENOENT || folder == "/") return errno;
  const int error = MakeFolders(FolderOf(folder.substr(0, folder.size() - 1)));
  if (error != 0) return error;
  return mkdir(folder.c_str(), 0755) == 0 || errno == EEXIST
             ? SyncFolder(FolderOf(folder.substr(0, folder.size() - 1)))
             : errno;
}

int WriteAll(int fd, absl::string_view data) {
  while (!data.empty()) {
    const ssize_t written = write(fd, data.data(), data.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      return errno;
    }
    data.remove_prefix(written);
  }
  return 0;
}

// Calls `visit` for each file in the folder `root` + `folder` and below it, with its path below
// `root`; those that are gone meanwhile are left out. Returns errno.
int VisitFiles(const std::string& root, const std::string& folder,
               const std::function<void(const std::string&, const struct stat&)>& visit) {
  const std::unique_ptr<DIR, int (*)(DIR*)> entries(opendir((root + folder).c_str()), closedir);
  if (entries == nullptr) return errno;
  std::vector<std::string> subfolders;
  while (true) {
    errno = 0;
    const struct dirent* const entry = readdir(entries.get());
    if (entry == nullptr) {
      if (errno != 0) return errno;
      break;
    }
    const std::string key = folder + entry->d_name;
    if (!CheckObjectKey(key).ok()) continue;
    struct stat file;
    if (lstat((root + key).c_str(), &file) != 0) continue;
    if (S_ISDIR(file.st_mode)) {
      subfolders.push_back(key + "/");
      continue;
    }
    if (stat((root + key).c_str(), &file) == 0 && S_ISREG(file.st_mode)) visit(key, file);
  }
  for (const std::string& subfolder : subfolders) {
    const int error = VisitFiles(root, subfolder, visit);
    // A folder that is not ours, such as lost+found, or one that has been removed.
    if (error != 0 && error != EACCES && error != ENOENT) return error;
  }
  return 0;
}

bool IsUnfinished(absl::string_view key) {
  return absl::StartsWith(key.substr(FolderOf(key).size()), kUnfinishedPrefix);
}

}  // namespace

// A file on its way to its place. Removed where it does not get there.
class FileStore::Upload {
 public:
  Upload(const FileStore& store, absl::string_view key, std::string path)
      : store_(store), key_(key), path_(std::move(path)) {}
  ~Upload() {
    if (fd_ >= 0) close(fd_);
    if (!temporary_.empty()) unlink(temporary_.c_str());
  }

  absl::Status Begin() {
    const std::string folder = FolderOf(path_);
    int error = Create(folder);
    if (error == ENOENT) {
      error = MakeFolders(folder);
      if (error != 0) return Failed(error, "make the folder of");
      error = Create(folder);
    }
    return error == 0 ? absl::OkStatus() : Failed(error, "write");
  }

  absl::Status Append(absl::string_view data) {
    while (!data.empty()) {
      absl::Status going_on = store_.CheckNotCancelled();
      if (!going_on.ok()) return going_on;
      const absl::string_view piece = data.substr(0, kCopyBytes);
      const int error = WriteAll(fd_, piece);
      if (error != 0) return Failed(error, "write");
      Written(piece.size());
      data.remove_prefix(piece.size());
    }
    return absl::OkStatus();
  }

  // What `from` has, from its beginning. The system copies it where it can.
  absl::Status AppendFile(int from, const std::string& from_path) {
    while (true) {
      absl::Status going_on = store_.CheckNotCancelled();
      if (!going_on.ok()) return going_on;
      const ssize_t copied = copy_file_range(from, nullptr, fd_, nullptr, kCopyBytes, 0);
      if (copied > 0) {
        Written(copied);
      } else if (copied == 0 || errno == EXDEV || errno == EINVAL || errno == ENOSYS ||
                 errno == EOPNOTSUPP || errno == EPERM) {
        // At the end, or it cannot: what is left is copied by hand.
        break;
      } else if (errno != EINTR) {
        return Failed(errno, "write");
      }
    }
    std::string buffer(kReadBytes, '\0');
    while (true) {
      const ssize_t size = read(from, &buffer[0], buffer.size());
      if (size == 0) return absl::OkStatus();
      if (size < 0) {
        if (errno == EINTR) continue;
        return absl::UnavailableError(
            absl::StrCat("cannot read ", from_path, ": ", strerror(errno)));
      }
      absl::Status status = Append(absl::string_view(buffer).substr(0, size));
      if (!status.ok()) return status;
    }
  }

  absl::Status Finish(const std::map<std::string, std::string>& metadata) {
    if (fsync(fd_) != 0) return Failed(errno, "sync");
    if (!metadata.empty()) {
      struct stat file;
      if (fstat(fd_, &file) != 0) return Failed(errno, "look at");
      const std::string text = EncodeMetadata(file, metadata);
      if (fsetxattr(fd_, kMetadataAttribute, text.data(), text.size(), 0) == 0) {
        if (fsync(fd_) != 0) return Failed(errno, "sync");
      } else if (errno != EOPNOTSUPP && errno != EPERM) {
        return Failed(errno, "set the metadata of");
      }
    }
    const int fd = std::exchange(fd_, -1);
    if (close(fd) != 0) return Failed(errno, "close");
    if (rename(temporary_.c_str(), path_.c_str()) != 0) return Failed(errno, "rename");
    temporary_.clear();
    const int error = SyncFolder(FolderOf(path_));
    return error == 0 ? absl::OkStatus() : Failed(error, "sync the folder of");
  }

 private:
  // Returns errno.
  int Create(const std::string& folder) {
    static thread_local absl::BitGen random;
    while (true) {
      const std::string path = absl::StrCat(
          folder, kUnfinishedPrefix, absl::Hex(absl::Uniform<uint64_t>(random), absl::kZeroPad16));
      fd_ = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
      if (fd_ >= 0) {
        temporary_ = path;
        return 0;
      }
      // Processes that were forked draw the same numbers.
      if (errno != EEXIST) return errno;
    }
  }

  // Begins to bring to the disk what was written, so that the sync at the end does not keep other
  // programs' syncs waiting for long.
  void Written(int64_t bytes) {
    not_started_ += bytes;
    if (not_started_ < kCopyBytes) return;
    sync_file_range(fd_, started_, not_started_, SYNC_FILE_RANGE_WRITE);
    started_ += not_started_;
    not_started_ = 0;
  }

  absl::Status Failed(int error, absl::string_view action) const {
    // There is nothing yet that could be missing.
    if (error == ENOENT || error == ENOTDIR) {
      return absl::UnavailableError(
          absl::StrCat(store_.name(), ": cannot ", action, " ", key_, ": ", strerror(error)));
    }
    return store_.Error(error, action, key_);
  }

  const FileStore& store_;
  const std::string key_;
  const std::string path_;
  std::string temporary_;
  int fd_ = -1;
  int64_t started_ = 0;
  int64_t not_started_ = 0;
};

FileStore::FileStore(const StoreUrl& url)
    : name_(url.ToString()), folder_(absl::EndsWith(url.path, "/") ? url.path : url.path + "/") {}

absl::StatusOr<std::vector<ObjectInfo>> FileStore::List(absl::string_view prefix) {
  absl::Status status = CheckNotCancelled();
  if (!status.ok()) return status;
  // The prefix may end in the middle of a name.
  if (!prefix.empty()) status = CheckObjectKey(absl::StrCat(prefix, "x"));
  if (!status.ok()) return status;
  std::vector<ObjectInfo> objects;
  const int error =
      VisitFiles(folder_, FolderOf(prefix), [&](const std::string& key, const struct stat& file) {
        if (!absl::StartsWith(key, prefix) || IsUnfinished(key)) return;
        ObjectInfo object;
        object.key = key;
        object.size = file.st_size;
        object.modified = ModifiedOf(file);
        object.version = VersionOf(file);
        objects.push_back(std::move(object));
      });
  if (error != 0 && error != ENOENT && error != ENOTDIR) return Error(error, "list", prefix);
  std::sort(objects.begin(), objects.end(),
            [](const ObjectInfo& a, const ObjectInfo& b) { return a.key < b.key; });
  return objects;
}

absl::StatusOr<ObjectInfo> FileStore::Stat(absl::string_view key) {
  absl::Status going_on = CheckNotCancelled();
  if (!going_on.ok()) return going_on;
  const absl::StatusOr<std::string> path = PathOf(key);
  if (!path.ok()) return path.status();
  struct stat file;
  if (stat(path->c_str(), &file) != 0) return Error(errno, "look at", key);
  if (!S_ISREG(file.st_mode)) return Error(ENOENT, "look at", key);
  ObjectInfo object;
  object.key = std::string(key);
  object.size = file.st_size;
  object.modified = ModifiedOf(file);
  object.version = VersionOf(file);
  object.metadata = ReadMetadata(*path, file);
  return object;
}

absl::Status FileStore::Read(absl::string_view key, const ReadOptions& options, const Sink& sink) {
  const absl::StatusOr<std::string> path = PathOf(key);
  if (!path.ok()) return path.status();
  if (options.offset < 0) return absl::InvalidArgumentError("an offset must not be below 0");
  // Not to wait for a writer, where it is a pipe.
  const FileDescriptor fd(open(path->c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (fd.get() < 0) return Error(errno, "open", key);
  struct stat file;
  if (fstat(fd.get(), &file) != 0) return Error(errno, "look at", key);
  if (!S_ISREG(file.st_mode)) return Error(ENOENT, "open", key);
  if (!options.version.empty() && options.version != VersionOf(file)) {
    return ErrorWithReason(absl::StatusCode::kFailedPrecondition, reason::kObjectChanged,
                           absl::StrCat(name_, ": ", key, " is another object than before"));
  }

  std::string buffer(kReadBytes, '\0');
  int64_t offset = options.offset;
  int64_t left = options.length;
  const auto ends_early = [&] {
    return absl::OutOfRangeError(absl::StrCat(name_, ": ", key, " has ", offset,
                                              " bytes at most, and is to be read from ",
                                              options.offset, " on, ", options.length, " bytes"));
  };
  if (offset > file.st_size) {
    offset = file.st_size;
    return ends_early();
  }
  while (left != 0) {
    absl::Status status = CheckNotCancelled();
    if (!status.ok()) return status;
    const size_t wanted =
        left < 0 ? buffer.size() : std::min<uint64_t>(buffer.size(), static_cast<uint64_t>(left));
    const ssize_t size = pread(fd.get(), &buffer[0], wanted, offset);
    if (size < 0) {
      if (errno == EINTR) continue;
      return Error(errno, "read", key);
    }
    if (size == 0) {
      if (left < 0) break;
      return ends_early();
    }
    status = sink(absl::string_view(buffer).substr(0, size));
    if (!status.ok()) return status;
    offset += size;
    if (left > 0) left -= size;
  }
  return CheckNotCancelled();
}

absl::Status FileStore::PutFile(absl::string_view key, const std::string& path,
                                const PutOptions& options) {
  const FileDescriptor from(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (from.get() < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot open the file to be put, ", path, ": ", strerror(errno)));
  }
  const absl::StatusOr<std::string> to = PathOf(key);
  if (!to.ok()) return to.status();
  absl::Status status = CheckMetadata(options.metadata);
  Upload upload(*this, key, *to);
  if (status.ok()) status = upload.Begin();
  if (status.ok()) status = upload.AppendFile(from.get(), path);
  if (status.ok()) status = upload.Finish(options.metadata);
  return status;
}

absl::Status FileStore::Put(absl::string_view key, absl::string_view contents,
                            const PutOptions& options) {
  const absl::StatusOr<std::string> to = PathOf(key);
  if (!to.ok()) return to.status();
  absl::Status status = CheckMetadata(options.metadata);
  if (status.ok()) status = CheckNotCancelled();
  Upload upload(*this, key, *to);
  if (status.ok()) status = upload.Begin();
  if (status.ok()) status = upload.Append(contents);
  if (status.ok()) status = upload.Finish(options.metadata);
  return status;
}

absl::Status FileStore::Delete(absl::string_view key) {
  absl::Status going_on = CheckNotCancelled();
  if (!going_on.ok()) return going_on;
  const absl::StatusOr<std::string> path = PathOf(key);
  if (!path.ok()) return path.status();
  if (unlink(path->c_str()) != 0) {
    // A folder is no object.
    if (errno == ENOENT || errno == ENOTDIR || errno == EISDIR) return absl::OkStatus();
    return Error(errno, "remove", key);
  }
  const int error = SyncFolder(FolderOf(*path));
  return error == 0 ? absl::OkStatus() : Error(error, "sync the folder of", key);
}

absl::Status FileStore::RemoveUnfinished(absl::Time before) {
  absl::Status going_on = CheckNotCancelled();
  if (!going_on.ok()) return going_on;
  int failed = 0;
  std::string failed_key;
  const int error = VisitFiles(folder_, "", [&](const std::string& key, const struct stat& file) {
    if (!IsUnfinished(key) || ModifiedOf(file) >= before) return;
    if (unlink((folder_ + key).c_str()) == 0 || errno == ENOENT) return;
    failed = errno;
    failed_key = key;
  });
  if (error != 0 && error != ENOENT && error != ENOTDIR) return Error(error, "list", "");
  return failed == 0 ? absl::OkStatus() : Error(failed, "remove", failed_key);
}

absl::StatusOr<std::string> FileStore::PathOf(absl::string_view key) const {
  absl::Status status = CheckObjectKey(key);
  if (!status.ok()) return status;
  if (IsUnfinished(key)) {
    return absl::InvalidArgumentError(absl::StrCat("an object's name must not begin with \"",
                                                   kUnfinishedPrefix, "\", as \"", key, "\" does"));
  }
  return folder_ + std::string(key);
}

absl::Status FileStore::CheckNotCancelled() const {
  if (!cancelled_) return absl::OkStatus();
  return absl::CancelledError(absl::StrCat(name_, ": was told to stop"));
}

absl::Status FileStore::Error(int error, absl::string_view action, absl::string_view key) const {
  absl::StatusCode code = absl::StatusCode::kUnavailable;
  switch (error) {
    case ENOENT:
    case ENOTDIR:
    case ENAMETOOLONG:
      code = absl::StatusCode::kNotFound;
      break;
    case EACCES:
    case EPERM:
    case EROFS:
      code = absl::StatusCode::kPermissionDenied;
      break;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      code = absl::StatusCode::kResourceExhausted;
      break;
    default:
      break;
  }
  return absl::Status(code,
                      absl::StrCat(name_, ": cannot ", action, " ", key, ": ", strerror(error)));
}

}  // namespace ctlstore::object_store
