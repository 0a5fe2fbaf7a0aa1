#include "common/object_store/retry.h"

#include <gtest/gtest.h>

#include <vector>

#include "absl/synchronization/notification.h"
#include "absl/time/time.h"

namespace ctlstore::object_store {
namespace {

// Does not wait, and remembers for how long it should have.
class PauseClock : public Clock {
 public:
  absl::Time Now() override { return absl::UnixEpoch(); }
  bool SleepOrStop(absl::Duration duration, absl::Notification* stop) override {
    pauses.push_back(duration);
    return stop->HasBeenNotified();
  }

  std::vector<absl::Duration> pauses;
};

TEST(RetryTest, GivesUpAfterAsManyAttempts) {
  PauseClock clock;
  absl::Notification stop;
  StoreOptions options;
  options.clock = &clock;
  options.max_attempts = 4;
  Retry retry(options, &stop);
  int attempts = 0;
  do {
    ++attempts;
  } while (retry.Again());
  EXPECT_EQ(attempts, 4);
  ASSERT_EQ(clock.pauses.size(), 3u);
  for (size_t i = 0; i < clock.pauses.size(); ++i) {
    EXPECT_LE(clock.pauses[i], options.min_retry_pause * (1 << i));
    EXPECT_GE(clock.pauses[i], options.min_retry_pause * (1 << i) / 2);
  }
}

TEST(RetryTest, AfterProgressItBeginsAnew) {
  PauseClock clock;
  absl::Notification stop;
  StoreOptions options;
  options.clock = &clock;
  options.max_attempts = 2;
  Retry retry(options, &stop);
  EXPECT_TRUE(retry.Again());
  retry.Progress();
  EXPECT_TRUE(retry.Again());
  EXPECT_FALSE(retry.Again());
  ASSERT_EQ(clock.pauses.size(), 2u);
  EXPECT_LE(clock.pauses[1], options.min_retry_pause);
}

TEST(RetryTest, StopsInAPause) {
  absl::Notification stop;
  StoreOptions options;
  options.min_retry_pause = options.max_retry_pause = absl::Hours(1);
  Retry retry(options, &stop);
  stop.Notify();
  EXPECT_FALSE(retry.Again());
}

}  // namespace
}  // namespace ctlstore::object_store
