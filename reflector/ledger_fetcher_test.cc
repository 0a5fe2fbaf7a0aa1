#include "reflector/ledger_fetcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "reflector/fake_source.h"

namespace ctlstore::reflector {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;

constexpr absl::Duration kPatience = absl::Seconds(60);

std::vector<int64_t> UpTo(int64_t last) {
  std::vector<int64_t> sequences(last);
  for (int64_t i = 0; i < last; ++i) sequences[i] = i + 1;
  return sequences;
}

class LedgerFetcherTest : public ::testing::Test {
 protected:
  LedgerFetcherTest() {
    options_.min_retry_pause = absl::Milliseconds(1);
    options_.max_retry_pause = absl::Milliseconds(2);
    options_.on_read = [this](const absl::Status& status) {
      if (!status.ok()) ++failures_;
      read_.Notify();
    };
  }

  LedgerFetcher& Fetcher() {
    if (fetcher_ == nullptr) {
      fetcher_ = std::make_unique<LedgerFetcher>(&source_, &clock_, options_);
    }
    return *fetcher_;
  }

  // The next thing that is taken.
  absl::StatusOr<LedgerFetcher::Fetched> Next() {
    while (true) {
      auto taken = Fetcher().Take(limits_);
      if (taken.has_value()) return *std::move(taken);
      if (!read_.Wait(kPatience)) return absl::DeadlineExceededError("nothing was read");
    }
  }

  // Takes until `last` has come.
  std::vector<int64_t> TakeUntil(int64_t last) {
    std::vector<int64_t> sequences;
    while (sequences.empty() || sequences.back() < last) {
      auto next = Next();
      EXPECT_TRUE(next.ok()) << next.status();
      if (!next.ok()) break;
      for (const LedgerEntry& entry : next->entries) sequences.push_back(entry.sequence);
    }
    return sequences;
  }

  bool Eventually(const std::function<bool()>& condition) {
    const absl::Time give_up = absl::Now() + kPatience;
    while (!condition()) {
      if (absl::Now() > give_up) return false;
      absl::SleepFor(absl::Milliseconds(1));
    }
    return true;
  }

  class SettableClock : public Clock {
   public:
    absl::Time Now() override { return absl::Now() + offset.load(); }
    bool SleepOrStop(absl::Duration, absl::Notification*) override { return true; }
    std::atomic<absl::Duration> offset{absl::ZeroDuration()};
  };

  SettableClock clock_;
  FakeSource source_;
  LedgerFetcher::Options options_;
  LedgerSource::Limits limits_;
  Event read_;
  std::atomic<int> failures_{0};
  std::unique_ptr<LedgerFetcher> fetcher_;
};

TEST_F(LedgerFetcherTest, ReadsNothingBeforeItIsToldWhere) {
  source_.Append(3);
  Fetcher();
  absl::SleepFor(absl::Milliseconds(5));
  EXPECT_THAT(source_.asked_after(), SizeIs(0));
  EXPECT_FALSE(Fetcher().Take(limits_).has_value());
}

TEST_F(LedgerFetcherTest, HandsOutAllInOrder) {
  source_.Append(100);
  options_.read.max_entries = 7;
  Fetcher().Restart({});
  EXPECT_EQ(TakeUntil(100), UpTo(100));
  source_.Append(5);
  EXPECT_THAT(TakeUntil(105), ElementsAre(101, 102, 103, 104, 105));
}

TEST_F(LedgerFetcherTest, JoinsWhatWaitsUpToTheLimits) {
  source_.Append(100);
  options_.read.max_entries = 10;
  limits_.max_entries = 35;
  Fetcher().Restart({});
  // Asked for what comes after the last one: the others are in the queue.
  ASSERT_TRUE(Eventually([&] { return source_.last_asked_after() == 100; }));
  for (const size_t size : {30, 30, 30, 10}) {
    const auto next = Next();
    ASSERT_TRUE(next.ok()) << next.status();
    EXPECT_THAT(next->entries, SizeIs(size));
    EXPECT_EQ(next->all_as_of.has_value(), size == 10);
    EXPECT_EQ(next->ledger_sequence, 100);
  }
}

TEST_F(LedgerFetcherTest, TakesAtLeastOneReadWhateverTheLimits) {
  source_.Append(100);
  options_.read.max_entries = 10;
  limits_.max_bytes = 1;
  Fetcher().Restart({});
  const auto next = Next();
  ASSERT_TRUE(next.ok()) << next.status();
  EXPECT_THAT(next->entries, SizeIs(10));
}

TEST_F(LedgerFetcherTest, ReadsNoFurtherThanTheQueueHolds) {
  source_.Append(1000);
  options_.read.max_entries = 1;
  options_.max_queue_bytes = 1000;
  Fetcher().Restart({});
  ASSERT_TRUE(Eventually([&] { return Fetcher().queue_bytes() >= 1000; }));
  absl::SleepFor(absl::Milliseconds(5));
  const size_t asked = source_.asked_after().size();
  EXPECT_LT(asked, 20);
  EXPECT_LT(Fetcher().queue_bytes(), 1200);
  // Taking makes room.
  EXPECT_EQ(TakeUntil(1000), UpTo(1000));
}

TEST_F(LedgerFetcherTest, ASourceWithNothingNewDoesNotFillTheQueue) {
  Fetcher().Restart({});
  ASSERT_TRUE(Eventually([&] { return source_.asked_after().size() > 5; }));
  ASSERT_TRUE(Next().ok());
  EXPECT_EQ(Fetcher().queue_bytes(), 0);
  source_.Append(1);
  EXPECT_THAT(TakeUntil(1), ElementsAre(1));
}

TEST_F(LedgerFetcherTest, AnErrorComesAfterTheEntriesBeforeIt) {
  source_.Append(3);
  Fetcher().Restart({});
  ASSERT_TRUE(Eventually([&] { return source_.asked_after().size() > 1; }));
  source_.Fail(absl::UnavailableError("away"));
  ASSERT_TRUE(Eventually([&] { return failures_ > 3; }));
  EXPECT_THAT(TakeUntil(3), ElementsAre(1, 2, 3));
  absl::StatusOr<LedgerFetcher::Fetched> next = Next();
  EXPECT_EQ(next.status(), absl::UnavailableError("away"));
  // It goes on by itself, where it was.
  source_.Append(2);
  source_.Fail(absl::OkStatus());
  do {
    next = Next();
  } while (!next.ok() && absl::IsUnavailable(next.status()));
  ASSERT_TRUE(next.ok()) << next.status();
  ASSERT_THAT(next->entries, SizeIs(2));
  EXPECT_EQ(next->entries.front().sequence, 4);
}

TEST_F(LedgerFetcherTest, ARestartDropsWhatWasRead) {
  source_.Append(50);
  options_.read.max_entries = 10;
  Fetcher().Restart({});
  ASSERT_TRUE(Eventually([&] { return source_.last_asked_after() == 50; }));
  Fetcher().Restart({20, ""});
  const std::vector<int64_t> taken = TakeUntil(50);
  EXPECT_EQ(taken.front(), 21);
  EXPECT_THAT(taken, SizeIs(30));
}

TEST_F(LedgerFetcherTest, APauseLastsUntilTheRestart) {
  source_.Append(5);
  Fetcher().Restart({});
  ASSERT_TRUE(Next().ok());
  Fetcher().Pause();
  source_.Append(5);
  absl::SleepFor(absl::Milliseconds(50));
  EXPECT_FALSE(Fetcher().Take(limits_).has_value());
  Fetcher().Restart({5, ""});
  EXPECT_THAT(TakeUntil(10), ElementsAre(6, 7, 8, 9, 10));
}

TEST_F(LedgerFetcherTest, StopsWhileItReadsWaitsAndPauses) {
  Fetcher().Restart({});
  ASSERT_TRUE(Eventually([&] { return !source_.asked_after().empty(); }));
  Fetcher().Stop();
  Fetcher().Stop();
  options_.min_retry_pause = options_.max_retry_pause = absl::Hours(1);
  FakeSource failing;
  failing.Fail(absl::UnavailableError("away"));
  LedgerFetcher pausing(&failing, Clock::Real(), options_);
  pausing.Restart({});
  ASSERT_TRUE(Eventually([&] { return failures_ > 0; }));
  pausing.Stop();
}

TEST_F(LedgerFetcherTest, WhenAllWasReadIsKnownOnTheSteadyClockWhateverTheOtherSays) {
  for (const absl::Duration offset : {-absl::Hours(1000), absl::Hours(1000)}) {
    clock_.offset = offset;
    const absl::Duration before = clock_.SteadyNow();
    Fetcher().Restart({});
    const auto next = Next();
    ASSERT_TRUE(next.ok()) << next.status();
    ASSERT_TRUE(next->all_as_of.has_value());
    // A read from before the restart may have begun earlier.
    EXPECT_GE(next->all_as_of_steady, before - kPatience);
    EXPECT_LE(next->all_as_of_steady, clock_.SteadyNow());
  }
}

}  // namespace
}  // namespace ctlstore::reflector
