#include "common/rpc/watched_files.h"

#include <glog/logging.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <atomic>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "common/rpc/testing/certificates.h"

namespace ctlstore::rpc {
namespace {

using ::ctlstore::rpc::testing::ReplaceFile;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class SetClock : public Clock {
 public:
  absl::Time Now() override { return now; }
  bool SleepOrStop(absl::Duration, absl::Notification*) override { return true; }
  absl::Time now = absl::FromUnixSeconds(1700000000);
};

class LogCapture : public google::LogSink {
 public:
  LogCapture() { google::AddLogSink(this); }
  ~LogCapture() override { google::RemoveLogSink(this); }
  void send(google::LogSeverity, const char*, const char*, int, const google::LogMessageTime&,
            const char* message, size_t size) override {
    lines.emplace_back(message, size);
  }
  std::vector<std::string> lines;
};

class WatchedFilesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string folder = "/tmp/watched_files_XXXXXX";
    ASSERT_NE(mkdtemp(&folder[0]), nullptr);
    a_ = folder + "/a";
    b_ = folder + "/b";
    folder_ = folder;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  absl::Status Take(const std::vector<std::string>& texts) {
    ++offered_;
    for (const std::string& text : texts) {
      if (text == "bad") return absl::InvalidArgumentError("bad text");
    }
    taken_ = texts;
    return absl::OkStatus();
  }

  std::string folder_, a_, b_;
  SetClock clock_;
  std::vector<std::string> taken_;
  int offered_ = 0;
  WatchedFiles::Take take_ = [this](const std::vector<std::string>& texts) { return Take(texts); };
};

TEST_F(WatchedFilesTest, TakesTheTextsInOrderAndAgainWhenOneChanges) {
  ReplaceFile(a_, "1");
  ReplaceFile(b_, "2");
  WatchedFiles files({a_, b_}, take_, &clock_);
  ASSERT_TRUE(files.Load().ok());
  EXPECT_THAT(taken_, ElementsAre("1", "2"));
  ReplaceFile(b_, "3");
  clock_.now += absl::Seconds(1);
  files.Refresh();
  EXPECT_THAT(taken_, ElementsAre("1", "3"));
  // The same texts are not taken again.
  clock_.now += absl::Seconds(1);
  ReplaceFile(b_, "3");
  files.Refresh();
  EXPECT_EQ(offered_, 2);
}

TEST_F(WatchedFilesTest, LooksOnceASecondAtMost) {
  ReplaceFile(a_, "1");
  WatchedFiles files({a_}, take_, &clock_);
  ASSERT_TRUE(files.Load().ok());
  ReplaceFile(a_, "2");
  clock_.now += absl::Milliseconds(999);
  files.Refresh();
  EXPECT_THAT(taken_, ElementsAre("1"));
  clock_.now += absl::Milliseconds(1);
  files.Refresh();
  EXPECT_THAT(taken_, ElementsAre("2"));
  // Also while the clock is behind what it was.
  ReplaceFile(a_, "3");
  clock_.now -= absl::Hours(5);
  files.Refresh();
  EXPECT_THAT(taken_, ElementsAre("3"));
}

TEST_F(WatchedFilesTest, KeepsWhatItHasWhereTheNewTextIsBadAndLogsThatOnce) {
  ReplaceFile(a_, "1");
  WatchedFiles files({a_}, take_, &clock_);
  ASSERT_TRUE(files.Load().ok());
  ReplaceFile(a_, "bad");
  LogCapture log;
  for (int i = 0; i < 5; ++i) {
    clock_.now += absl::Seconds(1);
    files.Refresh();
  }
  EXPECT_THAT(taken_, ElementsAre("1"));
  ASSERT_THAT(log.lines, SizeIs(1));
  EXPECT_THAT(log.lines[0], HasSubstr("event=files_not_reloaded"));
  EXPECT_THAT(log.lines[0], HasSubstr(a_));

  std::filesystem::remove(a_);
  for (int i = 0; i < 5; ++i) {
    clock_.now += absl::Seconds(1);
    files.Refresh();
  }
  EXPECT_THAT(taken_, ElementsAre("1"));
  EXPECT_THAT(log.lines, SizeIs(2));

  ReplaceFile(a_, "2");
  clock_.now += absl::Seconds(1);
  files.Refresh();
  EXPECT_THAT(taken_, ElementsAre("2"));
  ASSERT_THAT(log.lines, SizeIs(3));
  EXPECT_THAT(log.lines[2], HasSubstr("event=files_reloaded"));
}

TEST_F(WatchedFilesTest, TheFirstLoadNamesTheFileThatCannotBeRead) {
  ReplaceFile(a_, "1");
  for (const std::string& path : {b_, folder_, std::string("/dev/null")}) {
    WatchedFiles files({a_, path}, take_, &clock_);
    const absl::Status status = files.Load();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr(path));
  }
  // A pipe does not make it wait.
  ASSERT_EQ(mkfifo(b_.c_str(), 0600), 0);
  EXPECT_FALSE(WatchedFiles({b_}, take_, &clock_).Load().ok());
  EXPECT_THAT(taken_, IsEmpty());
}

TEST_F(WatchedFilesTest, RefusesFilesOverTheLimit) {
  ReplaceFile(a_, std::string(WatchedFiles::kMaxFileBytes, 'x'));
  EXPECT_TRUE(WatchedFiles({a_}, take_, &clock_).Load().ok());
  ReplaceFile(a_, std::string(WatchedFiles::kMaxFileBytes + 1, 'x'));
  const absl::Status status = WatchedFiles({a_}, take_, &clock_).Load();
  EXPECT_THAT(std::string(status.message()), HasSubstr("1048576"));
}

TEST_F(WatchedFilesTest, ManyThreadsMayRefresh) {
  // A clock that moves with each look.
  class Moving : public Clock {
   public:
    absl::Time Now() override { return absl::FromUnixSeconds(seconds_++); }
    bool SleepOrStop(absl::Duration, absl::Notification*) override { return true; }

   private:
    std::atomic<int64_t> seconds_{1};
  } clock;
  ReplaceFile(a_, "0");
  WatchedFiles files({a_}, take_, &clock);
  ASSERT_TRUE(files.Load().ok());
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int j = 0; j < 200; ++j) files.Refresh();
    });
  }
  for (int j = 1; j <= 50; ++j) ReplaceFile(a_, std::to_string(j));
  for (std::thread& thread : threads) thread.join();
  files.Refresh();
  EXPECT_THAT(taken_, ElementsAre("50"));
}

}  // namespace
}  // namespace ctlstore::rpc
