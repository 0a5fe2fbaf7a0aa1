// Stops a process that replaces a local database before each of its system calls, and looks at what
// it leaves.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/ldb/ldb_files.h"
#include "common/ldb/ldb_test_util.h"

namespace ctlstore::ldb {
namespace {

namespace fs = std::filesystem;
using testing::IsSupersetOf;

void Make(const std::string& path, int value) {
  std::unique_ptr<sqlite::Database> database = OpenPlain(path, /*read_only=*/false);
  if (!database
           ->Execute(absl::StrCat("PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; "
                                  "CREATE TABLE t (a); INSERT INTO t VALUES(",
                                  value, ")"))
           .ok()) {
    std::abort();
  }
}

int64_t Read(const std::string& path) {
  const Rows rows = QueryFile(path, "SELECT a FROM t");
  return rows.size() == 1 ? rows[0][0].integer() : -1;
}

// A child that does something, one system call after the other.
class SteppedProcess {
 public:
  // `work` begins at the first Step().
  explicit SteppedProcess(const std::function<bool()>& work) {
    pid_ = fork();
    if (pid_ == 0) {
      if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) _exit(2);
      raise(SIGSTOP);
      _exit(work() ? 0 : 1);
    }
    ended_ = waitpid(pid_, &status_, 0) != pid_ || !WIFSTOPPED(status_) ||
             ptrace(PTRACE_SETOPTIONS, pid_, nullptr, PTRACE_O_TRACESYSGOOD) != 0;
  }

  ~SteppedProcess() { Kill(); }

  // Goes on to right before the next system call. False when the child has ended.
  bool Step(__ptrace_syscall_info* call) {
    while (!ended_) {
      if (ptrace(PTRACE_SYSCALL, pid_, nullptr, nullptr) != 0) return false;
      if (waitpid(pid_, &status_, 0) != pid_) return false;
      ended_ = !WIFSTOPPED(status_);
      if (ended_ || WSTOPSIG(status_) != (SIGTRAP | 0x80)) continue;
      if (ptrace(PTRACE_GET_SYSCALL_INFO, pid_, sizeof(*call), call) <= 0) {
        return false;
      }
      if (call->op == PTRACE_SYSCALL_INFO_ENTRY) return true;
    }
    return false;
  }

  void Kill() {
    if (ended_) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, &status_, 0);
    ended_ = true;
  }

  bool ended_well() const { return ended_ && WIFEXITED(status_) && WEXITSTATUS(status_) == 0; }

  // What a descriptor of the child's is open on.
  std::string FileOf(uint64_t fd) const {
    std::error_code error;
    return fs::read_symlink(absl::StrCat("/proc/", pid_, "/fd/", fd), error).string();
  }

 private:
  pid_t pid_ = -1;
  int status_ = 0;
  bool ended_ = false;
};

bool CanStep() {
  SteppedProcess child([] { return true; });
  __ptrace_syscall_info call;
  return child.Step(&call);
}

// Takes its files ready-made from the folder, so that there are few system calls to stop at.
bool Rebuild(const TestFolder& folder, int value) {
  LdbFiles files(folder.Path("ldb.db"), Clock::Real());
  absl::StatusOr<std::string> file = files.NewGeneration();
  if (!file.ok()) return false;
  for (const char* suffix : {"", "-wal"}) {
    fs::copy_file(absl::StrCat(folder.Path(absl::StrCat(value)), suffix),
                  absl::StrCat(*file, suffix));
  }
  return files.KeepDamaged().ok() && files.Publish(*file).ok() &&
         files.RemoveOld(absl::ZeroDuration()).ok();
}

class LdbFilesCrashTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!CanStep()) GTEST_SKIP() << "this system does not let a process be traced";
    for (int value : {1, 2, 3}) Make(folder_.Path(absl::StrCat(value)), value);
  }

  int Generations() const {
    int count = 0;
    for ([[maybe_unused]] const auto& entry : fs::directory_iterator(path_ + ".d")) ++count;
    return count;
  }

  // Kills the rebuild before its 1st, 2nd, ... system call.
  void KillAtEachCall(const std::function<void()>& prepare) {
    int killed = 0, old_ones = 0, new_ones = 0;
    for (bool done = false; !done; ++killed) {
      prepare();
      {
        SteppedProcess child([this] { return Rebuild(folder_, 2); });
        __ptrace_syscall_info call;
        for (int i = 0; i <= killed; ++i) done = !child.Step(&call);
        if (done) {
          EXPECT_TRUE(child.ended_well());
        }
      }
      const int64_t value = Read(path_);
      ASSERT_TRUE(value == 1 || value == 2) << value << " after " << killed << " calls";
      ++(value == 1 ? old_ones : new_ones);
      // A start cleans up what cannot be of use to anyone, and the next rebuild works as ever.
      LdbFiles after(path_, Clock::Real());
      ASSERT_TRUE(after.RemoveOld(absl::ZeroDuration()).ok());
      ASSERT_EQ(Read(path_), value);
      if (fs::exists(path_ + ".d")) {
        ASSERT_EQ(Generations(), fs::is_symlink(path_) ? 1 : 0) << killed;
      }
      ASSERT_FALSE(fs::is_symlink(path_ + ".next"));
      // Not each time: what takes long is to bring it to the disk.
      if (killed % 8 != 0) continue;
      ASSERT_TRUE(Rebuild(folder_, 3)) << killed;
      ASSERT_EQ(Read(path_), 3);
      ASSERT_EQ(Generations(), 1);
      ASSERT_FALSE(fs::exists(path_ + "-wal"));
    }
    EXPECT_GT(old_ones, 20);
    EXPECT_GT(new_ones, 3);
  }

  TestFolder folder_;
  const std::string path_ = folder_.Path("ldb.db");
};

TEST_F(LdbFilesCrashTest, APlainFileIsReplacedOrNot) {
  KillAtEachCall([this] {
    fs::remove_all(path_ + ".d");
    for (const char* suffix : {"", "-wal", "-shm"}) fs::remove(path_ + suffix);
    fs::copy_file(folder_.Path("1"), path_);
    fs::copy_file(folder_.Path("1-wal"), path_ + "-wal");
  });
}

TEST_F(LdbFilesCrashTest, AGenerationIsReplacedOrNot) {
  KillAtEachCall([this] {
    fs::remove_all(path_ + ".d");
    fs::remove(path_);
    const std::string first = "ldb.db.d/0000000000001";
    fs::create_directories(folder_.Path(first));
    fs::copy_file(folder_.Path("1"), folder_.Path(first + "/ldb.db"));
    fs::copy_file(folder_.Path("1-wal"), folder_.Path(first + "/ldb.db-wal"));
    fs::create_symlink(first + "/ldb.db", path_);
  });
}

TEST_F(LdbFilesCrashTest, WhatThePathLeadsToIsOnTheDiskBeforeItDoes) {
  Make(path_, 1);
  const std::string file = *LdbFiles(path_, Clock::Real()).NewGeneration();
  Make(file, 2);
  SteppedProcess child([&] { return LdbFiles(path_, Clock::Real()).Publish(file).ok(); });
  std::set<std::string> synced, synced_before;
  bool in_place = false;
  __ptrace_syscall_info call;
  while (child.Step(&call)) {
    switch (call.entry.nr) {
      case SYS_fsync:
      case SYS_fdatasync:
        synced.insert(child.FileOf(call.entry.args[0]));
        break;
#ifdef SYS_rename
      case SYS_rename:
#endif
      case SYS_renameat:
      case SYS_renameat2:
        synced_before = std::move(synced);
        synced.clear();
        in_place = true;
        break;
      default:
        break;
    }
  }
  EXPECT_TRUE(child.ended_well());
  ASSERT_TRUE(in_place);
  const std::string folder = fs::canonical(folder_.Path("")).string();
  const std::string real_file = fs::canonical(file).string();
  // All that leads to the file, and then the link.
  EXPECT_THAT(synced_before, IsSupersetOf({real_file, real_file + "-wal",
                                           fs::path(real_file).parent_path().string(),
                                           folder + "/ldb.db.d", folder}));
  EXPECT_THAT(synced, testing::ElementsAre(folder));
}

}  // namespace
}  // namespace ctlstore::ldb
