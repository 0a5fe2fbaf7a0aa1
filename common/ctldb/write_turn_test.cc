#include "common/ctldb/write_turn.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "common/ctldb/testing/ctldb_test_base.h"
#include "common/schema/errors.h"

namespace ctlstore::ctldb {
namespace {

// The path of a database whose folder exists.
std::string NewPath() {
  const Target target = testing::NewTarget(Target::Kind::kSqlite);
  testing::MustOpen(target);
  return target.path;
}

std::shared_ptr<WriteTurn> MustTurn(const std::string& path) { return *WriteTurn::Of(path); }

TEST(WriteTurnTest, IsHadByOneAtATime) {
  const std::string path = NewPath();
  int inside = 0;
  int most_inside = 0;
  int total = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      std::shared_ptr<WriteTurn> turn = MustTurn(path);
      for (int repeat = 0; repeat < 200; ++repeat) {
        ASSERT_TRUE(turn->Take(absl::Minutes(1)).ok());
        most_inside = std::max(most_inside, ++inside);
        ++total;
        --inside;
        turn->Give();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(most_inside, 1);
  EXPECT_EQ(total, 800);
}

TEST(WriteTurnTest, SaysBusyWhereItDoesNotCome) {
  const std::string path = NewPath();
  std::shared_ptr<WriteTurn> turn = MustTurn(path);
  ASSERT_TRUE(turn->Take(absl::ZeroDuration()).ok());
  absl::Status status = turn->Take(absl::Milliseconds(10));
  EXPECT_EQ(ErrorReason(status), reason::kCtldbBusy) << status;
  turn->Give();
  EXPECT_TRUE(turn->Take(absl::ZeroDuration()).ok());
  turn->Give();
}

TEST(WriteTurnTest, GivesTurnsInTheOrderTheyWereAskedFor) {
  std::shared_ptr<WriteTurn> turn = MustTurn(NewPath());
  ASSERT_TRUE(turn->Take(absl::ZeroDuration()).ok());
  std::vector<int> order;
  std::vector<std::thread> threads;
  for (int i = 0; i < 5; ++i) {
    threads.emplace_back([&, i] {
      ASSERT_TRUE(turn->Take(absl::Minutes(1)).ok());
      order.push_back(i);
      turn->Give();
    });
    while (turn->waiting() != static_cast<size_t>(i + 1)) absl::SleepFor(absl::Milliseconds(1));
  }
  turn->Give();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 3, 4}));
}

TEST(WriteTurnTest, ComesToEveryProcessThoughAnotherAsksAgainAtOnce) {
  const std::string path = NewPath();
  // Seen by both processes: the turns that the other one has taken.
  void* const shared = mmap(nullptr, sizeof(std::atomic<int>), PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(shared, MAP_FAILED);
  auto* const greedy_turns = new (shared) std::atomic<int>(0);
  // A process that takes one turn after the other and holds each of them almost all the time.
  const pid_t greedy = fork();
  if (greedy == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    std::shared_ptr<WriteTurn> turn = MustTurn(path);
    while (turn->Take(absl::Minutes(1)).ok()) {
      ++*greedy_turns;
      absl::SleepFor(absl::Milliseconds(1));
      turn->Give();
    }
    _exit(1);
  }
  while (*greedy_turns == 0) absl::SleepFor(absl::Milliseconds(1));

  std::shared_ptr<WriteTurn> turn = MustTurn(path);
  constexpr int kTurns = 50;
  int waited_for = 0;
  for (int i = 0; i < kTurns; ++i) {
    const int before = *greedy_turns;
    absl::Status status = turn->Take(absl::Minutes(1));
    EXPECT_TRUE(status.ok()) << status;
    if (!status.ok()) break;
    waited_for += *greedy_turns - before;
    turn->Give();
  }
  // One each, were this process always running; without an order it would be more than twenty.
  EXPECT_LT(waited_for, 8 * kTurns);
  kill(greedy, SIGKILL);
  ASSERT_EQ(waitpid(greedy, nullptr, 0), greedy);
  // Its turn ended with it.
  EXPECT_TRUE(turn->Take(absl::Minutes(1)).ok());
  turn->Give();
  munmap(shared, sizeof(std::atomic<int>));
}

}  // namespace
}  // namespace ctlstore::ctldb
