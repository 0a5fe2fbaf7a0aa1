#include "common/base/event.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "absl/time/clock.h"

namespace ctlstore {
namespace {

TEST(EventTest, WakesTheOneThatWaits) {
  Event event;
  std::thread waiter([&event] { EXPECT_TRUE(event.Wait(absl::InfiniteDuration())); });
  event.Notify();
  waiter.join();
}

TEST(EventTest, ANotificationIsUsedUpByOneWait) {
  Event event;
  event.Notify();
  event.Notify();
  EXPECT_TRUE(event.Wait(absl::InfiniteDuration()));
  EXPECT_FALSE(event.Wait(absl::ZeroDuration()));
}

TEST(EventTest, AWaitThatNobodyEndsEndsByItself) {
  Event event;
  const absl::Time before = absl::Now();
  EXPECT_FALSE(event.Wait(absl::Milliseconds(5)));
  EXPECT_GE(absl::Now() - before, absl::Milliseconds(5));
  EXPECT_FALSE(event.Wait(-absl::Seconds(1)));
}

TEST(EventTest, NothingIsMissed) {
  Event there;
  Event back;
  std::atomic<int> count{0};
  std::thread other([&] {
    for (int i = 0; i < 10000; ++i) {
      ASSERT_TRUE(there.Wait(absl::InfiniteDuration()));
      count = i + 1;
      back.Notify();
    }
  });
  for (int i = 0; i < 10000; ++i) {
    there.Notify();
    ASSERT_TRUE(back.Wait(absl::InfiniteDuration()));
    ASSERT_EQ(count, i + 1);
  }
  other.join();
}

}  // namespace
}  // namespace ctlstore
