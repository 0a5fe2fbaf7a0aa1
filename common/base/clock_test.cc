#include "common/base/clock.h"

#include <gtest/gtest.h>

#include <thread>

namespace ctlstore {
namespace {

TEST(ClockTest, TheRealClockIsTheMachines) {
  const absl::Time before = absl::Now();
  const absl::Time now = Clock::Real()->Now();
  EXPECT_LE(before, now);
  EXPECT_LE(now, absl::Now());
  EXPECT_EQ(Clock::Real(), Clock::Real());
}

TEST(ClockTest, SteadyTimeOnlyGoesForward) {
  const absl::Duration before = Clock::Real()->SteadyNow();
  absl::SleepFor(absl::Milliseconds(1));
  EXPECT_GE(Clock::Real()->SteadyNow() - before, absl::Milliseconds(1));
}

TEST(ClockTest, ASleepEndsWhenItIsToldToStop) {
  absl::Notification stop;
  std::thread sleeper(
      [&stop] { EXPECT_TRUE(Clock::Real()->SleepOrStop(absl::InfiniteDuration(), &stop)); });
  stop.Notify();
  sleeper.join();
  EXPECT_TRUE(Clock::Real()->SleepOrStop(absl::InfiniteDuration(), &stop));
}

TEST(ClockTest, ASleepEndsWhenItIsWoken) {
  Event event;
  std::thread sleeper(
      [&event] { EXPECT_TRUE(Clock::Real()->SleepOrWake(absl::InfiniteDuration(), &event)); });
  event.Notify();
  sleeper.join();
  EXPECT_FALSE(Clock::Real()->SleepOrWake(absl::Milliseconds(1), &event));
}

TEST(ClockTest, ASleepThatNobodyStopsEndsByItself) {
  absl::Notification stop;
  const absl::Time before = absl::Now();
  EXPECT_FALSE(Clock::Real()->SleepOrStop(absl::Milliseconds(5), &stop));
  EXPECT_GE(absl::Now() - before, absl::Milliseconds(5));
}

}  // namespace
}  // namespace ctlstore
