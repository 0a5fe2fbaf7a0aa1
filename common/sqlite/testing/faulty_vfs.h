// A file system under SQLite that fails when it is told to. For tests.

#ifndef CTLSTORE_COMMON_SQLITE_TESTING_FAULTY_VFS_H_
#define CTLSTORE_COMMON_SQLITE_TESTING_FAULTY_VFS_H_

#include <sqlite3.h>

#include <array>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace ctlstore::sqlite {

// What SQLite asks of a file or of its name.
enum class VfsCall { kOpen, kDelete, kAccess, kRead, kWrite, kTruncate, kSync, kFileSize, kShmMap };
inline constexpr int kVfsCalls = 9;

// A SQLite VFS over the one that was the default, which counts the calls that reach it and makes
// chosen ones fail. Thread-safe. To be made before the connections that are to use it are opened,
// and to outlive them.
//
//   FaultyVfs vfs("faulty", {".db", "-wal"});
//   vfs.MakeDefault();
//   for (int64_t n = 1;; ++n) {
//     vfs.Arm(FaultyVfs::Fault::kShortWrite, n);
//     ... what is to be tested ...
//     if (vfs.Disarm() == 0) break;  // The n-th call was never made.
//   }
class FaultyVfs {
 public:
  enum class Fault {
    // Any call: fails with the error that SQLite has for it, and does nothing.
    kIoError,
    // kWrite: half of the bytes are written.
    kShortWrite,
    // kWrite, and kShmMap where the file grows: there is no space.
    kFull,
    // kSync: fails after the system has taken what was to be synced.
    kFailedSync,
  };

  // Registered as `name`, which no other VFS has. Looks after files whose path ends with one of
  // `endings`; after all where there are none.
  explicit FaultyVfs(std::string name, std::vector<std::string> endings = {});
  ~FaultyVfs();
  FaultyVfs(const FaultyVfs&) = delete;
  FaultyVfs& operator=(const FaultyVfs&) = delete;

  // From now on connections use it that name no other VFS; until it is destroyed.
  void MakeDefault();

  // Makes the `countdown`-th (from 1) of the calls that can have the fault fail, and where not
  // `once`, all such calls after it. In place of what was armed before.
  void Arm(Fault fault, int64_t countdown, bool once = true);

  // No call fails any more. Returns how many have failed since Arm().
  int64_t Disarm();

  // Calls since this was made, failed ones too.
  int64_t calls() const;
  int64_t calls(VfsCall call) const;

 private:
  struct File;
  struct Methods;

  // Counts the call. Returns whether it has to fail, and sets `*fault`.
  bool Fails(VfsCall call, bool grows, Fault* fault);
  bool LooksAfter(absl::string_view path) const;

  const std::string name_;
  const std::vector<std::string> endings_;
  sqlite3_vfs* const base_;
  sqlite3_vfs vfs_;

  mutable std::mutex mutex_;
  // All below is guarded by the lock.
  std::array<int64_t, kVfsCalls> calls_{};
  bool armed_ = false;
  bool once_ = true;
  Fault fault_ = Fault::kIoError;
  int64_t countdown_ = 0;
  int64_t failed_ = 0;
};

}  // namespace ctlstore::sqlite

#endif  // CTLSTORE_COMMON_SQLITE_TESTING_FAULTY_VFS_H_
