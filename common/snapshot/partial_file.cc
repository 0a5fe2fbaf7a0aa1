#include "common/snapshot/partial_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <iterator>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/digest.h"

namespace ctlstore::snapshot {
namespace {

constexpr char kPartialName[] = "ldb.db.partial";
constexpr char kNotesName[] = "progress";
constexpr int64_t kSaveBytes = int64_t{64} << 20;

std::string NotesIn(const std::string& folder) { return absl::StrCat(folder, "/", kNotesName); }

// Two files with the same line are the same, wherever they come from: it has the digest of all
// that is said of the chunks.
std::string HeaderFor(absl::Span<const Chunk> chunks) {
  std::string text;
  for (const Chunk& chunk : chunks) {
    absl::StrAppend(&text, chunk.object_bytes, " ", chunk.file_bytes, " ",
                    absl::BytesToHexString(chunk.sha256), "\n");
  }
  return absl::StrCat("ctlstore-fetch 1 ", absl::BytesToHexString(Sha256(text)), "\n");
}

absl::Status Append(int fd, absl::string_view text, const std::string& path) {
  while (!text.empty()) {
    const ssize_t written = write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return DiskError(written < 0 ? errno : ENOSPC, "write", path);
    text.remove_prefix(written);
  }
  return absl::OkStatus();
}

// Takes the room on the disk now, so that a disk that is too full shows before anything is fetched.
absl::Status Allocate(int fd, int64_t bytes, const std::string& path) {
  int result;
  do {
    result = fallocate(fd, 0, 0, bytes);
  } while (result != 0 && errno == EINTR);
  if (result == 0) return absl::OkStatus();
  if (errno != EOPNOTSUPP) return DiskError(errno, "take room for", path);
  // Not every file system can.
  if (ftruncate(fd, bytes) != 0) return DiskError(errno, "enlarge", path);
  return absl::OkStatus();
}

}  // namespace

std::string PartialFile::PathIn(const std::string& folder) {
  return absl::StrCat(folder, "/", kPartialName);
}

PartialFile::PartialFile(const std::string& folder, absl::Span<const Chunk> chunks,
                         absl::Duration save_every)
    : folder_(folder),
      path_(PathIn(folder)),
      save_every_(save_every),
      resumed_(chunks.size(), false) {
  offsets_.reserve(chunks.size() + 1);
  offsets_.push_back(0);
  for (const Chunk& chunk : chunks) offsets_.push_back(offsets_.back() + chunk.file_bytes);
}

absl::StatusOr<std::unique_ptr<PartialFile>> PartialFile::Open(const std::string& folder,
                                                               absl::Span<const Chunk> chunks,
                                                               int64_t min_free_bytes,
                                                               absl::Duration save_every) {
  std::unique_ptr<PartialFile> file(new PartialFile(folder, chunks, save_every));
  const std::string header = HeaderFor(chunks);
  if (!file->Resume(header)) {
    std::fill(file->resumed_.begin(), file->resumed_.end(), false);
    absl::Status status = file->Begin(header, min_free_bytes);
    if (!status.ok()) {
      Remove(folder).IgnoreError();
      return status;
    }
  }
  file->saver_ = std::thread([raw = file.get()] { raw->SaveAllTheTime(); });
  return file;
}

PartialFile::~PartialFile() { Finish().IgnoreError(); }

bool PartialFile::Resume(const std::string& header) {
  std::ifstream stream(NotesIn(folder_), std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
  if (text.compare(0, header.size(), header) != 0) return false;
  struct stat info;
  if (stat(path_.c_str(), &info) != 0 || !S_ISREG(info.st_mode) ||
      info.st_size != offsets_.back()) {
    return false;
  }
  size_t good = header.size();
  for (size_t end; (end = text.find('\n', good)) != std::string::npos; good = end + 1) {
    const absl::string_view line = absl::string_view(text).substr(good, end - good);
    uint64_t chunk = 0;
    if (!std::all_of(line.begin(), line.end(), absl::ascii_isdigit) ||
        !absl::SimpleAtoi(line, &chunk) || chunk >= resumed_.size()) {
      break;
    }
    resumed_[chunk] = true;
  }
  absl::StatusOr<OwnedFd> file = OpenFile(path_, O_RDWR);
  absl::StatusOr<OwnedFd> notes = OpenFile(NotesIn(folder_), O_WRONLY | O_APPEND);
  if (!file.ok() || !notes.ok()) return false;
  // A line that was cut by a crash must not become another one by what is put behind it.
  if (ftruncate(notes->get(), static_cast<off_t>(good)) != 0) return false;
  file_ = *std::move(file);
  notes_ = *std::move(notes);
  return true;
}

absl::Status PartialFile::Begin(const std::string& header, int64_t min_free_bytes) {
  absl::Status status = Remove(folder_);
  if (status.ok()) status = CheckRoom(folder_, offsets_.back(), min_free_bytes);
  if (!status.ok()) return status;
  absl::StatusOr<OwnedFd> file = OpenFile(path_, O_RDWR | O_CREAT | O_EXCL);
  if (!file.ok()) return file.status();
  file_ = *std::move(file);
  status = Allocate(file_.get(), offsets_.back(), path_);
  if (!status.ok()) return status;
  absl::StatusOr<OwnedFd> notes =
      OpenFile(NotesIn(folder_), O_WRONLY | O_APPEND | O_CREAT | O_EXCL);
  if (!notes.ok()) return notes.status();
  notes_ = *std::move(notes);
  status = Append(notes_.get(), header, NotesIn(folder_));
  // The notes must never stand beside another file than the one that they are of.
  if (status.ok()) status = SyncFolder(folder_);
  return status;
}

absl::Status PartialFile::Write(size_t chunk, absl::string_view contents) {
  absl::Status status = WriteAt(file_.get(), offsets_[chunk], contents, path_);
  if (!status.ok()) return status;
  absl::MutexLock lock(&mutex_);
  written_.push_back(chunk);
  return save_status_;
}

absl::Status PartialFile::Finish() {
  {
    absl::MutexLock lock(&mutex_);
    finished_ = true;
  }
  if (saver_.joinable()) saver_.join();
  absl::MutexLock lock(&mutex_);
  return save_status_;
}

void PartialFile::SaveAllTheTime() {
  const auto due = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    int64_t bytes = 0;
    for (size_t chunk : written_) bytes += offsets_[chunk + 1] - offsets_[chunk];
    return finished_ || bytes >= kSaveBytes;
  };
  absl::MutexLock lock(&mutex_);
  while (true) {
    mutex_.AwaitWithTimeout(absl::Condition(&due), save_every_);
    const bool last = finished_;
    const std::vector<size_t> chunks = std::exchange(written_, {});
    if (!chunks.empty() && save_status_.ok()) {
      mutex_.Unlock();
      absl::Status status = Save(chunks);
      mutex_.Lock();
      save_status_ = std::move(status);
    }
    if (last) return;
  }
}

absl::Status PartialFile::Save(const std::vector<size_t>& chunks) {
  if (fdatasync(file_.get()) != 0) return DiskError(errno, "sync", path_);
  std::string lines;
  for (size_t chunk : chunks) absl::StrAppend(&lines, chunk, "\n");
  return Append(notes_.get(), lines, NotesIn(folder_));
}

absl::Status PartialFile::Remove(const std::string& folder) {
  absl::Status status = RemoveNotes(folder);
  if (status.ok()) status = RemoveFile(PathIn(folder));
  if (status.ok()) status = SyncFolder(folder);
  return status;
}

absl::Status PartialFile::RemoveNotes(const std::string& folder) {
  return RemoveFile(NotesIn(folder));
}

}  // namespace ctlstore::snapshot
