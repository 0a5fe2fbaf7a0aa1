#include "common/base/worker_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <vector>

#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/notification.h"

namespace ctlstore {
namespace {

TEST(WorkerPoolTest, RunsEverythingOnce) {
  constexpr int kTasks = 1000;
  std::atomic<int> runs(0);
  absl::BlockingCounter left(kTasks);
  WorkerPool pool(4, kTasks);
  for (int i = 0; i < kTasks; ++i) {
    ASSERT_TRUE(pool.TrySubmit([&] {
      ++runs;
      left.DecrementCount();
    }));
  }
  left.Wait();
  EXPECT_EQ(runs, kTasks);
}

TEST(WorkerPoolTest, OneThreadKeepsTheOrder) {
  std::vector<int> order;
  {
    WorkerPool pool(1, 100);
    for (int i = 0; i < 100; ++i) {
      // The thread may have taken some already.
      ASSERT_TRUE(pool.TrySubmit([&order, i] { order.push_back(i); }));
    }
  }
  ASSERT_EQ(order.size(), 100);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(order[i], i);
}

TEST(WorkerPoolTest, RefusesWhatWouldHaveToWaitBeyondItsLimit) {
  absl::Notification started, release;
  WorkerPool pool(1, 2);
  ASSERT_TRUE(pool.TrySubmit([&] {
    started.Notify();
    release.WaitForNotification();
  }));
  started.WaitForNotification();
  std::atomic<int> runs(0);
  EXPECT_TRUE(pool.TrySubmit([&] { ++runs; }));
  EXPECT_TRUE(pool.TrySubmit([&] { ++runs; }));
  EXPECT_FALSE(pool.TrySubmit([&] { runs += 100; }));
  EXPECT_EQ(pool.waiting(), 2);
  absl::Notification done;
  release.Notify();
  while (!pool.TrySubmit([&] { done.Notify(); })) std::this_thread::yield();
  done.WaitForNotification();
  EXPECT_EQ(runs, 2);
}

TEST(WorkerPoolTest, ItsEndWaitsForAllTasks) {
  auto runs = std::make_unique<std::atomic<int>>(0);
  {
    WorkerPool pool(2, 50);
    for (int i = 0; i < 50; ++i) ASSERT_TRUE(pool.TrySubmit([&] { ++*runs; }));
  }
  EXPECT_EQ(*runs, 50);
}

}  // namespace
}  // namespace ctlstore
