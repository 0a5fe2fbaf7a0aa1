#include "common/ldb/wal_readers.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <memory>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace ctlstore::ldb {
namespace {

// The bytes of the -shm file that readers lock, each for one state of the WAL. The byte after them
// is locked by everyone who has the file open, reading or not.
constexpr uint64_t kFirstReadLock = 123;
constexpr uint64_t kLastReadLock = 127;

// Reads `MAJOR:MINOR:INODE`, of which the first two are hexadecimal.
bool IsFile(absl::string_view text, dev_t device, ino_t inode) {
  const std::vector<absl::string_view> parts = absl::StrSplit(text, ':');
  uint32_t major_number, minor_number;
  uint64_t inode_number;
  return parts.size() == 3 && absl::SimpleHexAtoi(parts[0], &major_number) &&
         absl::SimpleHexAtoi(parts[1], &minor_number) &&
         absl::SimpleAtoi(parts[2], &inode_number) && inode_number == inode &&
         makedev(major_number, minor_number) == device;
}

bool CoversAReadLock(absl::string_view first, absl::string_view last) {
  uint64_t first_byte, last_byte;
  if (!absl::SimpleAtoi(first, &first_byte)) return false;
  if (last == "EOF") return first_byte <= kLastReadLock;
  return absl::SimpleAtoi(last, &last_byte) && first_byte <= kLastReadLock &&
         last_byte >= kFirstReadLock;
}

}  // namespace

std::vector<pid_t> WalReadersIn(absl::string_view proc_locks, dev_t device, ino_t inode) {
  std::vector<pid_t> readers;
  for (absl::string_view line : absl::StrSplit(proc_locks, '\n')) {
    // "7: POSIX  ADVISORY  READ 4711 08:01:131 123 123"; locks that are waited for have an arrow.
    const std::vector<absl::string_view> words =
        absl::StrSplit(line, absl::ByAnyChar(" \t"), absl::SkipEmpty());
    pid_t process;
    if (words.size() != 8 || words[1] != "POSIX" || words[3] != "READ") continue;
    if (!absl::SimpleAtoi(words[4], &process) || process <= 0 || process == getpid()) continue;
    if (IsFile(words[5], device, inode) && CoversAReadLock(words[6], words[7])) {
      readers.push_back(process);
    }
  }
  std::sort(readers.begin(), readers.end());
  readers.erase(std::unique(readers.begin(), readers.end()), readers.end());
  return readers;
}

std::vector<pid_t> WalReaders(const std::string& ldb_path) {
  const std::unique_ptr<char, decltype(&free)> real_path(realpath(ldb_path.c_str(), nullptr), free);
  if (real_path == nullptr) return {};
  struct stat shm;
  if (stat(absl::StrCat(real_path.get(), "-shm").c_str(), &shm) != 0) return {};
  std::ifstream file("/proc/locks");
  const std::string locks{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  return WalReadersIn(locks, shm.st_dev, shm.st_ino);
}

}  // namespace ctlstore::ldb
