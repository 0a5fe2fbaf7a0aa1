#include "common/base/file_lock.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace ctlstore {
namespace {

using testing::HasSubstr;

class FileLockTest : public testing::Test {
 protected:
  FileLockTest() : folder_(testing::TempDir() + "/lock-XXXXXX") {
    if (mkdtemp(folder_.data()) == nullptr) std::abort();
    path_ = folder_ + "/lock";
  }
  ~FileLockTest() override { std::filesystem::remove_all(folder_); }

  std::string folder_;
  std::string path_;
};

TEST_F(FileLockTest, OnlyOneHolderAtATimeAlsoInOneProcess) {
  std::unique_ptr<FileLock> one = *FileLock::Open(path_);
  std::unique_ptr<FileLock> two = *FileLock::Open(path_);
  EXPECT_FALSE(one->locked());
  ASSERT_TRUE(one->Lock(absl::ZeroDuration()).ok());
  EXPECT_TRUE(one->locked());
  const absl::Status refused = two->Lock(absl::ZeroDuration());
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.message()), HasSubstr(absl::StrCat("process ", getpid())));
  EXPECT_FALSE(two->locked());
  one->Unlock();
  EXPECT_TRUE(two->Lock(absl::ZeroDuration()).ok());
  EXPECT_FALSE(one->Lock(absl::Milliseconds(5)).ok());
  two = nullptr;
  EXPECT_TRUE(one->Lock(absl::ZeroDuration()).ok());
}

TEST_F(FileLockTest, WaitsForTheHolderToLetGo) {
  std::unique_ptr<FileLock> one = *FileLock::Open(path_);
  ASSERT_TRUE(one->Lock(absl::ZeroDuration()).ok());
  absl::Status waited;
  std::thread waiter([&] {
    std::unique_ptr<FileLock> two = *FileLock::Open(path_);
    waited = two->Lock(absl::InfiniteDuration());
  });
  one->Unlock();
  waiter.join();
  EXPECT_TRUE(waited.ok()) << waited;
}

TEST_F(FileLockTest, AHolderThatDiesLetsGo) {
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    std::unique_ptr<FileLock> lock = *FileLock::Open(path_);
    if (!lock->Lock(absl::ZeroDuration()).ok() || write(ready[1], "x", 1) != 1) _exit(1);
    while (true) pause();
  }
  char byte;
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  std::unique_ptr<FileLock> lock = *FileLock::Open(path_);
  const absl::Status refused = lock->Lock(absl::ZeroDuration());
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.message()), HasSubstr(absl::StrCat("process ", child)));
  kill(child, SIGKILL);
  ASSERT_EQ(waitpid(child, nullptr, 0), child);
  EXPECT_TRUE(lock->Lock(absl::ZeroDuration()).ok());
  close(ready[0]);
  close(ready[1]);
}

TEST_F(FileLockTest, AFileThatCannotBeOpenedIsUnavailable) {
  EXPECT_EQ(FileLock::Open(folder_ + "/nothing/lock").status().code(),
            absl::StatusCode::kUnavailable);
  EXPECT_EQ(FileLock::Open(folder_).status().code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace ctlstore
