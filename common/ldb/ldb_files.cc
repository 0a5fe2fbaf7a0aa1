#include "common/ldb/ldb_files.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "common/sqlite/database.h"

namespace ctlstore::ldb {
namespace {

constexpr char kFileName[] = "ldb.db";
constexpr size_t kNameDigits = 13;
constexpr int64_t kMaxName = 9999999999999;
// What stands beside a plain file at the path, and is nobody's once a link has taken its place.
constexpr const char* kSuffixesBesideThePath[] = {"-wal", "-shm", ".freshness"};
// Only a reader that repairs the WAL after a crash is ever waited for.
constexpr absl::Duration kBusyTimeout = absl::Seconds(5);

absl::Status FileError(int error, absl::string_view what, const std::string& path) {
  const absl::StatusCode code = error == ENOSPC || error == EDQUOT
                                    ? absl::StatusCode::kResourceExhausted
                                    : absl::StatusCode::kUnavailable;
  return absl::Status(code, absl::StrCat("cannot ", what, " ", path, ": ", strerror(error)));
}

std::string FolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

std::string NameOf(const std::string& path) { return path.substr(path.rfind('/') + 1); }

std::string GenerationsFolder(const std::string& path) { return absl::StrCat(path, ".d"); }

// The link before it is put in place.
std::string NextLink(const std::string& path) { return absl::StrCat(path, ".next"); }

// A generation's number, which its folder has for a name; -1 for a name that is none.
int64_t GenerationOf(absl::string_view folder_name) {
  int64_t number = -1;
  if (folder_name.size() != kNameDigits ||
      !std::all_of(folder_name.begin(), folder_name.end(), absl::ascii_isdigit) ||
      !absl::SimpleAtoi(folder_name, &number)) {
    return -1;
  }
  return number;
}

std::string GenerationName(int64_t generation) {
  return absl::StrFormat("%0*d", static_cast<int>(kNameDigits), generation);
}

std::string GenerationFolder(const std::string& path, int64_t generation) {
  return absl::StrCat(GenerationsFolder(path), "/", GenerationName(generation));
}

std::string GenerationFile(const std::string& path, int64_t generation) {
  return absl::StrCat(GenerationFolder(path, generation), "/", kFileName);
}

// What the link at the path says, from the folder that it is in: so it is also right where that
// folder is seen at another place.
std::string LinkTarget(const std::string& path, int64_t generation) {
  return absl::StrCat(NameOf(path), ".d/", GenerationName(generation), "/", kFileName);
}

// The generation that a link at `path` names; -1 where it names none, or is no link.
int64_t LinkedGeneration(const std::string& path) {
  std::error_code error;
  const std::string target = std::filesystem::read_symlink(path, error).string();
  absl::string_view rest = target;
  if (error || !absl::ConsumePrefix(&rest, absl::StrCat(NameOf(path), ".d/"))) return -1;
  const int64_t generation = GenerationOf(rest.substr(0, kNameDigits));
  return generation >= 0 && target == LinkTarget(path, generation) ? generation : -1;
}

// All generations that have a folder.
absl::Status ListGenerations(const std::string& path, std::vector<int64_t>* generations) {
  std::error_code error;
  std::filesystem::directory_iterator entries(GenerationsFolder(path), error);
  if (error == std::errc::no_such_file_or_directory) return absl::OkStatus();
  for (const std::filesystem::directory_iterator end; !error && entries != end;
       entries.increment(error)) {
    const int64_t generation = GenerationOf(entries->path().filename().string());
    if (generation >= 0) generations->push_back(generation);
  }
  if (error) return FileError(error.value(), "read the folder", GenerationsFolder(path));
  return absl::OkStatus();
}

absl::Status Remove(const std::string& path) {
  std::error_code error;
  std::filesystem::remove_all(path, error);
  if (error) return FileError(error.value(), "remove", path);
  return absl::OkStatus();
}

absl::Status SyncFolder(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return FileError(errno, "open the folder", path);
  const int error = fsync(fd) == 0 ? 0 : errno;
  close(fd);
  if (error != 0) return FileError(error, "sync the folder", path);
  return absl::OkStatus();
}

// Brings the database and its WAL to the disk. Through SQLite, because a descriptor of our own
// would give up the locks that this process's connections have on the file when it is closed.
absl::Status SyncDatabase(const std::string& path) {
  absl::StatusOr<std::unique_ptr<sqlite::Database>> database =
      sqlite::Database::Open(path, sqlite::Database::Mode::kReadOnly, kBusyTimeout);
  if (!database.ok()) return database.status();
  // The WAL is opened when the database is first read.
  absl::Status status = (*database)->Execute("SELECT 1 FROM sqlite_schema LIMIT 1");
  if (!status.ok()) return status;
  for (int pointer : {SQLITE_FCNTL_FILE_POINTER, SQLITE_FCNTL_JOURNAL_POINTER}) {
    sqlite3_file* file = nullptr;
    sqlite3_file_control((*database)->handle(), "main", pointer, &file);
    if (file == nullptr || file->pMethods == nullptr) continue;
    status = sqlite::StatusFromCode(file->pMethods->xSync(file, SQLITE_SYNC_FULL), nullptr,
                                    absl::StrCat("cannot sync ", path));
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status LinkOrCopy(const std::string& from, const std::string& to) {
  if (link(from.c_str(), to.c_str()) == 0) return absl::OkStatus();
  if (errno == ENOENT) return FileError(errno, "keep", from);
  std::error_code error;
  std::filesystem::copy_file(from, to, error);
  if (!error) return absl::OkStatus();
  Remove(to).IgnoreError();
  return FileError(error.value(), absl::StrCat("copy ", from, " to"), to);
}

}  // namespace

LdbFiles::LdbFiles(std::string path, Clock* clock) : path_(std::move(path)), clock_(clock) {}

std::string LdbFiles::current() const {
  const int64_t generation = LinkedGeneration(path_);
  if (generation >= 0) return GenerationFile(path_, generation);
  std::error_code error;
  if (!std::filesystem::is_symlink(path_, error)) return path_;
  const std::filesystem::path target = std::filesystem::canonical(path_, error);
  return error ? path_ : target.string();
}

absl::StatusOr<std::string> LdbFiles::NewGeneration() {
  building_ = -1;
  absl::Status status = RemoveUnpublished();
  if (!status.ok()) return status;
  std::error_code error;
  std::filesystem::create_directories(GenerationsFolder(path_), error);
  if (error) return FileError(error.value(), "make the folder", GenerationsFolder(path_));
  std::vector<int64_t> others;
  status = ListGenerations(path_, &others);
  if (!status.ok()) return status;
  // Later ones have higher numbers, whatever the clock says: so it can be told which of them were
  // in place once.
  int64_t generation = std::max<int64_t>(0, absl::ToUnixMillis(clock_->Now()));
  others.push_back(LinkedGeneration(path_));
  generation = std::max(generation, *std::max_element(others.begin(), others.end()) + 1);
  if (generation > kMaxName) {
    return absl::FailedPreconditionError(
        absl::StrCat("there is no number for a folder left in ", GenerationsFolder(path_)));
  }
  const std::string folder = GenerationFolder(path_, generation);
  if (mkdir(folder.c_str(), 0755) != 0) return FileError(errno, "make the folder", folder);
  building_ = generation;
  return GenerationFile(path_, generation);
}

absl::Status LdbFiles::Publish(const std::string& generation_path) {
  const int64_t generation = GenerationOf(NameOf(FolderOf(generation_path)));
  if (generation < 0 || generation_path != GenerationFile(path_, generation)) {
    return absl::InvalidArgumentError(
        absl::StrCat(generation_path, " is no generation of ", path_));
  }
  absl::Status status = SyncDatabase(generation_path);
  if (status.ok()) status = SyncFolder(GenerationFolder(path_, generation));
  if (status.ok()) status = SyncFolder(GenerationsFolder(path_));
  if (status.ok()) status = SyncFolder(FolderOf(path_));
  if (status.ok()) status = Remove(NextLink(path_));
  if (!status.ok()) return status;
  const std::string next = NextLink(path_);
  if (symlink(LinkTarget(path_, generation).c_str(), next.c_str()) != 0) {
    return FileError(errno, "make the link", next);
  }
  status = StampLink(next);
  if (!status.ok()) return status;
  if (rename(next.c_str(), path_.c_str()) != 0) return FileError(errno, "put in place", path_);
  if (building_ == generation) building_ = -1;
  return SyncFolder(FolderOf(path_));
}

absl::Status LdbFiles::KeepDamaged() {
  const std::string kept = absl::StrCat(path_, ".damaged");
  const std::string file = current();
  for (const char* suffix : {"-wal", "-shm", ""}) {
    absl::Status status = Remove(absl::StrCat(kept, suffix));
    if (!status.ok()) return status;
  }
  for (const char* suffix : {"", "-wal"}) {
    const std::string from = absl::StrCat(file, suffix);
    std::error_code error;
    if (!std::filesystem::exists(from, error)) continue;
    absl::Status status = LinkOrCopy(from, absl::StrCat(kept, suffix));
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status LdbFiles::RemoveOld(absl::Duration age) {
  std::error_code error;
  // Where the path leads nowhere, somebody may want to have what there is.
  if (!std::filesystem::exists(path_, error)) return absl::OkStatus();
  absl::Status result = RemoveUnpublished();
  const int64_t in_place = LinkedGeneration(path_);
  struct stat link;
  if (in_place < 0 || lstat(path_.c_str(), &link) != 0) return result;
  const absl::Time replaced = absl::TimeFromTimespec(link.st_mtim);
  const absl::Time now = clock_->Now();
  if (replaced > now) {
    // The clock was set back. The age counts from now.
    result.Update(StampLink(path_));
    if (age > absl::ZeroDuration()) return result;
  } else if (now - replaced < age) {
    return result;
  }
  std::vector<int64_t> generations;
  result.Update(ListGenerations(path_, &generations));
  for (int64_t generation : generations) {
    if (generation < in_place) result.Update(Remove(GenerationFolder(path_, generation)));
  }
  for (const char* suffix : kSuffixesBesideThePath) {
    result.Update(Remove(absl::StrCat(path_, suffix)));
  }
  return result;
}

absl::Status LdbFiles::RemoveUnpublished() {
  const int64_t in_place = LinkedGeneration(path_);
  std::vector<int64_t> generations;
  absl::Status result = ListGenerations(path_, &generations);
  for (int64_t generation : generations) {
    if (generation > in_place && generation != building_) {
      result.Update(Remove(GenerationFolder(path_, generation)));
    }
  }
  result.Update(Remove(NextLink(path_)));
  return result;
}

absl::Status LdbFiles::StampLink(const std::string& link) const {
  const timespec now = absl::ToTimespec(clock_->Now());
  const timespec times[] = {now, now};
  if (utimensat(AT_FDCWD, link.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0) {
    return FileError(errno, "set the time of", link);
  }
  return absl::OkStatus();
}

}  // namespace ctlstore::ldb
