#include "executive/ledger_turn.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "absl/time/clock.h"

namespace ctlstore::executive {
namespace {

TEST(LedgerTurn, OneAtATimeHasIt) {
  LedgerTurn turn;
  std::atomic<int> holders(0);
  int turns = 0;  // guarded by the turn
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < 1000; ++n) {
        ASSERT_TRUE(turn.Take(absl::InfiniteFuture()));
        EXPECT_EQ(++holders, 1);
        ++turns;
        --holders;
        turn.Give();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(turns, 8000);
}

TEST(LedgerTurn, WhoWaitedTooLongDoesNotGetItAndIsNotInTheWay) {
  LedgerTurn turn;
  ASSERT_TRUE(turn.Take(absl::InfiniteFuture()));
  EXPECT_FALSE(turn.Take(absl::Now() + absl::Milliseconds(1)));
  EXPECT_FALSE(turn.Take(absl::Now() - absl::Seconds(1)));
  std::thread next([&turn] {
    EXPECT_TRUE(turn.Take(absl::InfiniteFuture()));
    turn.Give();
  });
  turn.Give();
  next.join();
  EXPECT_TRUE(turn.Take(absl::Now() - absl::Seconds(1)));
  turn.Give();
}

}  // namespace
}  // namespace ctlstore::executive
