#include "common/base/backoff.h"

#include <gtest/gtest.h>

namespace ctlstore {
namespace {

TEST(BackoffTest, DoublesUpToItsMaximumAndStartsAnewAfterASuccess) {
  Backoff longest(absl::Seconds(1), absl::Seconds(5), [] { return 1.0; });
  EXPECT_EQ(longest.Next(), absl::Seconds(1));
  EXPECT_EQ(longest.Next(), absl::Seconds(2));
  EXPECT_EQ(longest.Next(), absl::Seconds(4));
  EXPECT_EQ(longest.Next(), absl::Seconds(5));
  EXPECT_EQ(longest.Next(), absl::Seconds(5));
  longest.Reset();
  EXPECT_EQ(longest.Next(), absl::Seconds(1));
}

TEST(BackoffTest, WaitsAtLeastHalf) {
  Backoff shortest(absl::Seconds(1), absl::Seconds(5), [] { return 0.0; });
  EXPECT_EQ(shortest.Next(), absl::Milliseconds(500));
  EXPECT_EQ(shortest.Next(), absl::Seconds(1));
}

TEST(BackoffTest, RandomWaitsStayWithinTheirBoundsAndDiffer) {
  absl::Duration smallest = absl::InfiniteDuration(), largest = absl::ZeroDuration();
  for (int i = 0; i < 1000; ++i) {
    Backoff backoff(absl::Seconds(1), absl::Seconds(5));
    const absl::Duration wait = backoff.Next();
    smallest = std::min(smallest, wait);
    largest = std::max(largest, wait);
  }
  EXPECT_GE(smallest, absl::Milliseconds(500));
  EXPECT_LE(largest, absl::Seconds(1));
  EXPECT_LT(smallest, absl::Milliseconds(600));
  EXPECT_GT(largest, absl::Milliseconds(900));
}

TEST(JitteredTest, StaysWithinItsFraction) {
  absl::Duration smallest = absl::InfiniteDuration(), largest = absl::ZeroDuration();
  for (int i = 0; i < 1000; ++i) {
    const absl::Duration jittered = Jittered(absl::Seconds(1), 0.25);
    smallest = std::min(smallest, jittered);
    largest = std::max(largest, jittered);
  }
  EXPECT_GE(smallest, absl::Milliseconds(750));
  EXPECT_LE(largest, absl::Milliseconds(1250));
  EXPECT_LT(smallest, absl::Milliseconds(800));
  EXPECT_GT(largest, absl::Milliseconds(1200));
  EXPECT_EQ(Jittered(absl::Seconds(1), 0), absl::Seconds(1));
}

}  // namespace
}  // namespace ctlstore
