#include "common/snapshot/progress_meter.h"

#include <gtest/gtest.h>

namespace ctlstore::snapshot {
namespace {

class TestClock : public Clock {
 public:
  absl::Time Now() override { return absl::UnixEpoch() + steady_; }
  absl::Duration SteadyNow() override { return steady_; }
  bool SleepOrStop(absl::Duration, absl::Notification*) override { return false; }

  void Advance(absl::Duration duration) { steady_ += duration; }

 private:
  absl::Duration steady_ = absl::Hours(1);
};

TEST(ProgressMeterTest, WhatWasThereFromBeforeIsDoneButNoRate) {
  TestClock clock;
  ProgressMeter meter(&clock);
  EXPECT_EQ(meter.Measure().stage, FetchProgress::Stage::kLooking);
  meter.Fetching("file:///x", "id", 7, 1000, 600);
  FetchProgress progress = meter.Measure();
  EXPECT_EQ(progress.stage, FetchProgress::Stage::kFetching);
  EXPECT_EQ(progress.url, "file:///x");
  EXPECT_EQ(progress.id, "id");
  EXPECT_EQ(progress.sequence, 7);
  EXPECT_EQ(progress.bytes_total, 1000);
  EXPECT_EQ(progress.bytes_done, 600);
  EXPECT_EQ(progress.bytes_per_second, 0);
  EXPECT_FALSE(progress.time_left.has_value());

  meter.Add(100);
  clock.Advance(absl::Seconds(2));
  progress = meter.Measure();
  EXPECT_EQ(progress.bytes_done, 700);
  EXPECT_EQ(progress.bytes_per_second, 50);
  EXPECT_EQ(progress.time_left, absl::Seconds(6));
}

TEST(ProgressMeterTest, TheRateIsThatOfTheLastSeconds) {
  TestClock clock;
  ProgressMeter meter(&clock);
  meter.Fetching("file:///x", "id", 7, 1000000, 0);
  for (int i = 0; i < 30; ++i) {
    meter.Add(1000);
    clock.Advance(absl::Seconds(1));
    EXPECT_EQ(meter.Measure().bytes_per_second, 1000);
  }
  for (int i = 0; i < 11; ++i) {
    clock.Advance(absl::Seconds(1));
    meter.Measure();
  }
  EXPECT_EQ(meter.Measure().bytes_per_second, 0);
  EXPECT_FALSE(meter.Measure().time_left.has_value());
}

TEST(ProgressMeterTest, WhatIsDoneDoesNotGoBack) {
  TestClock clock;
  ProgressMeter meter(&clock);
  meter.Fetching("file:///x", "id", 7, 1000, 0);
  meter.Add(500);
  EXPECT_EQ(meter.Measure().bytes_done, 500);
  meter.Add(-200);
  EXPECT_EQ(meter.Measure().bytes_done, 500);
  meter.Add(100);
  EXPECT_EQ(meter.Measure().bytes_done, 500);
  meter.Add(600);
  EXPECT_EQ(meter.Measure().bytes_done, 1000);
  meter.Checking();
  EXPECT_EQ(meter.Measure().bytes_done, 1000);
  EXPECT_EQ(meter.Measure().stage, FetchProgress::Stage::kChecking);
  meter.Looking();
  EXPECT_EQ(meter.Measure().id, "");
}

}  // namespace
}  // namespace ctlstore::snapshot
