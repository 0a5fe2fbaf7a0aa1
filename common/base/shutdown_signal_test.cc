#include "common/base/shutdown_signal.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

namespace ctlstore {
namespace {

// Each in a process of its own: signals are taken for the whole process.

[[noreturn]] void EndOrderly(int signal) {
  ShutdownSignal shutdown;
  kill(getpid(), signal);
  shutdown.Wait();
  _exit(shutdown.notification()->HasBeenNotified() ? 7 : 8);
}

[[noreturn]] void EndAtOnce() {
  ShutdownSignal shutdown;
  kill(getpid(), SIGINT);
  shutdown.Wait();
  kill(getpid(), SIGINT);
  while (true) pause();
}

TEST(ShutdownSignalDeathTest, TheFirstSignalIsNotified) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(EndOrderly(SIGTERM), testing::ExitedWithCode(7), "");
  EXPECT_EXIT(EndOrderly(SIGINT), testing::ExitedWithCode(7), "");
}

TEST(ShutdownSignalDeathTest, TheSecondSignalEndsTheProcess) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(EndAtOnce(), testing::ExitedWithCode(130), "");
}

}  // namespace
}  // namespace ctlstore
