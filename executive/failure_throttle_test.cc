#include "executive/failure_throttle.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "common/schema/errors.h"
#include "executive/testing/manual_clock.h"

namespace ctlstore::executive {
namespace {

class FailureThrottleTest : public ::testing::Test {
 protected:
  bool IsAdmitted(absl::string_view writer = "writer", absl::string_view peer = "10.0.0.1") {
    return throttle_.Admit(writer, peer).ok();
  }
  void Fail(int times = 1) {
    for (int i = 0; i < times; ++i) throttle_.Failed("writer", "10.0.0.1");
  }
  // The penalty that goes on, and waits until it is over.
  absl::Duration Sit() {
    const absl::Duration delay =
        RetryDelay(throttle_.Admit("writer", "10.0.0.1")).value_or(absl::ZeroDuration());
    clock_.Advance(delay - absl::Milliseconds(1));
    EXPECT_FALSE(IsAdmitted());
    clock_.Advance(absl::Milliseconds(1));
    EXPECT_TRUE(IsAdmitted());
    return delay;
  }

  ManualClock clock_;
  FailureThrottle throttle_{{3, absl::Seconds(1), absl::Seconds(5), 4}, &clock_};
};

TEST_F(FailureThrottleTest, TheFirstFailuresAreFree) {
  EXPECT_TRUE(IsAdmitted());
  for (int i = 0; i < 3; ++i) {
    Fail();
    EXPECT_TRUE(IsAdmitted());
  }
  Fail();
  EXPECT_FALSE(IsAdmitted());
}

TEST_F(FailureThrottleTest, EachPenaltyIsTwiceTheLastUpToTheMaximum) {
  Fail(3);
  for (int seconds : {1, 2, 4, 5, 5, 5}) {
    Fail();
    EXPECT_EQ(Sit(), absl::Seconds(seconds));
  }
}

TEST_F(FailureThrottleTest, RefusalsDoNotCountAndSayHowLongToWait) {
  Fail(4);
  clock_.Advance(absl::Milliseconds(300));
  for (int i = 0; i < 100; ++i) {
    const absl::Status status = throttle_.Admit("writer", "10.0.0.1");
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
    EXPECT_EQ(ErrorReason(status), reason::kTooManyFailures);
    EXPECT_EQ(RetryDelay(status), absl::Milliseconds(700));
  }
  clock_.Advance(absl::Milliseconds(700) - absl::Nanoseconds(1));
  // Never no time at all, while it would be refused.
  EXPECT_EQ(RetryDelay(throttle_.Admit("writer", "10.0.0.1")), absl::Milliseconds(1));
  clock_.Advance(absl::Nanoseconds(1));
  EXPECT_TRUE(IsAdmitted());
}

TEST_F(FailureThrottleTest, HostsAndWritersAreCountedEachByItself) {
  Fail(4);
  EXPECT_FALSE(IsAdmitted());
  EXPECT_TRUE(IsAdmitted("writer", "10.0.0.2"));
  EXPECT_TRUE(IsAdmitted("Writer", "10.0.0.1"));
  EXPECT_TRUE(IsAdmitted("writer1", "0.0.0.1"));
  EXPECT_TRUE(IsAdmitted("write", "r10.0.0.1"));
}

TEST_F(FailureThrottleTest, ASuccessClears) {
  Fail(4);
  throttle_.Succeeded("writer", "10.0.0.2");
  EXPECT_FALSE(IsAdmitted());
  throttle_.Succeeded("writer", "10.0.0.1");
  EXPECT_TRUE(IsAdmitted());
  Fail(3);
  EXPECT_TRUE(IsAdmitted());
}

TEST_F(FailureThrottleTest, FailuresAreForgottenALongTimeAfterTheLast) {
  Fail(3);
  clock_.Advance(absl::Seconds(50));
  Fail();
  EXPECT_EQ(Sit(), absl::Seconds(1));
  clock_.Advance(absl::Seconds(50));
  Fail(3);
  EXPECT_TRUE(IsAdmitted());
}

TEST_F(FailureThrottleTest, APenaltyBeginsAnewWhereTheClockWasSetBack) {
  Fail(4);
  clock_.Advance(-absl::Hours(1));
  EXPECT_EQ(Sit(), absl::Seconds(1));
}

TEST_F(FailureThrottleTest, ManyFailuresDoNotOverflow) {
  Fail(100000);
  EXPECT_EQ(Sit(), absl::Seconds(5));
}

TEST_F(FailureThrottleTest, IsBounded) {
  Fail(4);
  for (int i = 0; i < 3; ++i) throttle_.Failed(absl::StrCat("other", i), "10.0.0.1");
  EXPECT_FALSE(IsAdmitted());
  throttle_.Failed("one more", "10.0.0.1");
  EXPECT_TRUE(IsAdmitted());
}

TEST(FailureThrottle, MayHaveNoFreeFailuresAndNoPenalty) {
  ManualClock clock;
  FailureThrottle strict({0, absl::Seconds(1), absl::Seconds(1), 10}, &clock);
  EXPECT_TRUE(strict.Admit("writer", "host").ok());
  strict.Failed("writer", "host");
  EXPECT_FALSE(strict.Admit("writer", "host").ok());
  FailureThrottle none({0, absl::ZeroDuration(), absl::ZeroDuration(), 10}, &clock);
  for (int i = 0; i < 10; ++i) none.Failed("writer", "host");
  EXPECT_TRUE(none.Admit("writer", "host").ok());
}

}  // namespace
}  // namespace ctlstore::executive
