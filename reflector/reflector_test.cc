#include "reflector/reflector.h"

#include <glog/logging.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace ctlstore::reflector {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// A ledger in memory that can fail.
class FakeSource : public Reflector::Source {
 public:
  absl::StatusOr<std::vector<LedgerEntry>> ReadAfter(int64_t sequence, size_t max_entries,
                                                     size_t max_bytes) override {
    asked_after.push_back(sequence);
    if (on_read) on_read();
    absl::Status status = fail ? fail() : absl::OkStatus();
    if (!status.ok()) return status;
    std::vector<LedgerEntry> entries;
    size_t bytes = 0;
    for (const LedgerEntry& entry : ledger) {
      if (entry.sequence <= sequence) continue;
      if (entries.size() == max_entries || bytes >= max_bytes) break;
      entries.push_back(entry);
      bytes += entry.statement.size();
    }
    return entries;
  }

  void Append(const std::string& statement) {
    ledger.push_back({static_cast<int64_t>(ledger.size()) + 1, "2024-01-01 00:00:00", statement});
  }

  std::vector<LedgerEntry> ledger;
  std::vector<int64_t> asked_after;
  std::function<void()> on_read;
  std::function<absl::Status()> fail;
};

// Keeps LdbWriter's promises: whole ledger transactions, all of a call or nothing of it.
class FakeTarget : public Reflector::Target {
 public:
  int64_t applied_sequence() const override { return applied; }
  int64_t received_sequence() const override { return open.empty() ? applied : open.back(); }

  absl::Status Apply(absl::Span<const LedgerEntry> entries) override {
    absl::Status status = fail ? fail() : absl::OkStatus();
    if (!status.ok()) {
      open.clear();
      open_marker = false;
      return status;
    }
    for (const LedgerEntry& entry : entries) {
      EXPECT_EQ(entry.sequence, received_sequence() + 1) << "skipped, repeated or out of order";
      if (entry.statement == kBeginMarker) open_marker = true;
      if (entry.statement == kCommitMarker) open_marker = false;
      open.push_back(entry.sequence);
      if (open_marker) continue;
      committed.insert(committed.end(), open.begin(), open.end());
      applied = open.back();
      open.clear();
    }
    return absl::OkStatus();
  }

  int64_t applied = 0;
  bool open_marker = false;
  std::vector<int64_t> open;
  std::vector<int64_t> committed;
  std::function<absl::Status()> fail;
};

// Time passes only by sleeping; each sleep first runs the test's next step.
class FakeClock : public Clock {
 public:
  absl::Time Now() override { return now; }
  bool SleepOrStop(absl::Duration duration, absl::Notification* stop) override {
    sleeps.push_back(duration);
    now += duration;
    if (on_sleep) on_sleep(sleeps.size(), stop);
    return stop->HasBeenNotified();
  }

  absl::Time now = absl::FromUnixSeconds(1700000000);
  std::vector<absl::Duration> sleeps;
  std::function<void(size_t, absl::Notification*)> on_sleep;
};

// The lines logged while it lives.
class LogCapture : public google::LogSink {
 public:
  LogCapture() { google::AddLogSink(this); }
  ~LogCapture() override { google::RemoveLogSink(this); }
  void send(google::LogSeverity, const char*, const char*, int, const google::LogMessageTime&,
            const char* message, size_t size) override {
    lines.emplace_back(message, size);
  }
  std::vector<std::string> Events(absl::string_view name) const {
    std::vector<std::string> found;
    for (const std::string& line : lines) {
      if (absl::StrContains(line, absl::StrCat("event=", name, " "))) found.push_back(line);
    }
    return found;
  }
  std::vector<std::string> lines;
};

class ReflectorTest : public ::testing::Test {
 protected:
  // Runs until the given sleep is reached.
  void RunUntilSleep(size_t count, std::function<void(size_t)> step = nullptr) {
    clock_.sleeps.clear();
    clock_.on_sleep = [count, step = std::move(step)](size_t n, absl::Notification* stop) {
      if (step) step(n);
      if (n >= count) stop->Notify();
    };
    Reflector reflector(&source_, &target_, &clock_, options_);
    absl::Notification stop;
    reflector.Run(&stop);
    state_ = reflector.state();
  }

  void FillLedger(int entries) {
    for (int i = 0; i < entries; ++i) source_.Append("statement");
  }

  std::vector<int64_t> UpTo(int64_t last) {
    std::vector<int64_t> sequences(last);
    for (int64_t i = 0; i < last; ++i) sequences[i] = i + 1;
    return sequences;
  }

  FakeSource source_;
  FakeTarget target_;
  FakeClock clock_;
  Reflector::Options options_;
  Reflector::State state_;
};

TEST_F(ReflectorTest, AppliesTheLedgerInOrder) {
  FillLedger(5);
  RunUntilSleep(1);
  EXPECT_EQ(target_.committed, UpTo(5));
  EXPECT_EQ(state_.applied_sequence, 5);
  EXPECT_TRUE(state_.last_error.ok());
}

TEST_F(ReflectorTest, GoesOnFromWhatTheTargetHas) {
  FillLedger(5);
  target_.applied = 3;
  RunUntilSleep(1);
  EXPECT_THAT(source_.asked_after, ElementsAre(3));
  EXPECT_THAT(target_.committed, ElementsAre(4, 5));
}

TEST_F(ReflectorTest, ReadsAgainAtOnceAfterAFullQuery) {
  FillLedger(25);
  options_.max_entries_per_query = 10;
  RunUntilSleep(1);
  EXPECT_EQ(target_.committed, UpTo(25));
  EXPECT_THAT(source_.asked_after, ElementsAre(0, 10, 20));
}

TEST_F(ReflectorTest, ReadsAgainAtOnceAfterAQueryThatIsFullByBytes) {
  FillLedger(10);
  options_.max_bytes_per_query = 4 * std::string("statement").size();
  RunUntilSleep(1);
  EXPECT_EQ(target_.committed, UpTo(10));
  EXPECT_THAT(source_.asked_after, ElementsAre(0, 4, 8));
}

TEST_F(ReflectorTest, SleepsWhenThereWasRoomForMore) {
  FillLedger(1);
  RunUntilSleep(3, [&](size_t) { FillLedger(1); });
  EXPECT_THAT(source_.asked_after, ElementsAre(0, 1, 2));
}

TEST_F(ReflectorTest, PollsAtTheJitteredInterval) {
  options_.poll_interval = absl::Seconds(2);
  options_.poll_jitter = 0.25;
  RunUntilSleep(500);
  ASSERT_EQ(clock_.sleeps.size(), 500);
  const auto [shortest, longest] = std::minmax_element(clock_.sleeps.begin(), clock_.sleeps.end());
  EXPECT_GE(*shortest, absl::Milliseconds(1500));
  EXPECT_LE(*longest, absl::Milliseconds(2500));
  // A fleet that was started together drifts apart.
  EXPECT_LT(*shortest, absl::Milliseconds(1700));
  EXPECT_GT(*longest, absl::Milliseconds(2300));
}

TEST_F(ReflectorTest, RetriesWithGrowingJitteredPauses) {
  source_.fail = [] { return absl::UnavailableError("away"); };
  RunUntilSleep(20);
  absl::Duration bound = options_.min_retry_pause;
  for (absl::Duration pause : clock_.sleeps) {
    EXPECT_GE(pause, bound / 2);
    EXPECT_LE(pause, bound);
    bound = std::min(2 * bound, options_.max_retry_pause);
  }
  EXPECT_EQ(bound, options_.max_retry_pause);
  EXPECT_EQ(state_.failures, 20);
  EXPECT_EQ(state_.last_error, absl::UnavailableError("away"));
}

TEST_F(ReflectorTest, BeginsWithTheShortestPauseAgainAfterASuccess) {
  bool broken = true;
  source_.fail = [&] { return broken ? absl::UnavailableError("away") : absl::OkStatus(); };
  RunUntilSleep(12, [&](size_t n) { broken = n != 10; });
  ASSERT_EQ(clock_.sleeps.size(), 12);
  EXPECT_GE(clock_.sleeps[9], options_.max_retry_pause / 2);
  EXPECT_GE(clock_.sleeps[10], options_.poll_interval * 0.75);  // the success
  EXPECT_LE(clock_.sleeps[11], options_.min_retry_pause);
}

TEST_F(ReflectorTest, ContinuesWithinALedgerTransactionThatAQueryDidNotEnd) {
  source_.Append("statement");
  source_.Append(kBeginMarker);
  source_.Append("statement");
  source_.Append("statement");
  source_.Append(kCommitMarker);
  options_.max_entries_per_query = 3;
  RunUntilSleep(1);
  EXPECT_THAT(source_.asked_after, ElementsAre(0, 3));
  EXPECT_EQ(target_.committed, UpTo(5));
}

TEST_F(ReflectorTest, RestartsFromTheAppliedSequenceAfterAnApplyFailed) {
  source_.Append("statement");
  source_.Append(kBeginMarker);
  source_.Append("statement");
  source_.Append("statement");
  source_.Append(kCommitMarker);
  options_.max_entries_per_query = 3;
  int calls = 0;
  target_.fail = [&] {
    return ++calls == 2 ? absl::ResourceExhaustedError("disk is full") : absl::OkStatus();
  };
  RunUntilSleep(2);
  // 3 was received and forgotten; 1 was committed.
  EXPECT_THAT(source_.asked_after, ElementsAre(0, 3, 1, 4));
  EXPECT_EQ(target_.committed, UpTo(5));
}

TEST_F(ReflectorTest, SkipsNothingWhateverFails) {
  std::mt19937 random(1);
  for (int i = 0; i < 300; ++i) {
    if (random() % 4 == 0) {
      source_.Append(kBeginMarker);
      for (unsigned n = random() % 5 + 2; n > 0; --n) source_.Append("statement");
      source_.Append(kCommitMarker);
    } else {
      source_.Append("statement");
    }
  }
  options_.max_entries_per_query = 7;
  source_.fail = [&] {
    return random() % 3 == 0 ? absl::UnavailableError("away") : absl::OkStatus();
  };
  target_.fail = [&] {
    return random() % 3 == 0 ? absl::InternalError("statement") : absl::OkStatus();
  };
  const int64_t last = source_.ledger.back().sequence;
  clock_.on_sleep = [&](size_t n, absl::Notification* stop) {
    if (target_.applied == last || n > 10000) stop->Notify();
  };
  Reflector reflector(&source_, &target_, &clock_, options_);
  absl::Notification stop;
  reflector.Run(&stop);
  EXPECT_EQ(target_.committed, UpTo(last));
}

TEST_F(ReflectorTest, KnowsWhenItHadCaughtUp) {
  const absl::Time start = clock_.now;
  FillLedger(25);
  options_.max_entries_per_query = 10;
  // Reading takes time, in which more may come.
  source_.on_read = [&] { clock_.now += absl::Seconds(1); };
  RunUntilSleep(1);
  EXPECT_TRUE(state_.caught_up());
  EXPECT_EQ(state_.last_caught_up, start + absl::Seconds(2));
  EXPECT_EQ(state_.last_success, start + absl::Seconds(2));
}

TEST_F(ReflectorTest, HasNotCaughtUpWhileThereIsMore) {
  const absl::Time start = clock_.now;
  FillLedger(25);
  options_.max_entries_per_query = 10;
  source_.on_read = [&] { clock_.now += absl::Seconds(1); };
  target_.fail = [&] {
    return target_.applied == 20 ? absl::ResourceExhaustedError("disk is full") : absl::OkStatus();
  };
  RunUntilSleep(1);
  EXPECT_FALSE(state_.caught_up());
  EXPECT_EQ(state_.applied_sequence, 20);
  EXPECT_EQ(state_.last_caught_up, absl::nullopt);
  EXPECT_EQ(state_.last_success, start + absl::Seconds(1));
}

TEST_F(ReflectorTest, HasNotCaughtUpWhileItFails) {
  bool away = false;
  source_.fail = [&] { return away ? absl::UnavailableError("away") : absl::OkStatus(); };
  absl::Time last_success;
  RunUntilSleep(20, [&](size_t n) {
    if (n < 5) last_success = clock_.now;
    away = n >= 5;
  });
  EXPECT_FALSE(state_.caught_up());
  EXPECT_EQ(state_.last_success, last_success);
  EXPECT_EQ(state_.last_caught_up, last_success);
}

TEST_F(ReflectorTest, LogsTheBeginningAndTheEndOfAFailureOnce) {
  bool broken = true;
  source_.fail = [&] { return broken ? absl::UnavailableError("ctldb away") : absl::OkStatus(); };
  LogCapture log;
  RunUntilSleep(40, [&](size_t n) { broken = n < 10 || (n >= 20 && n < 30); });
  const std::vector<std::string> failed = log.Events("replication_failed");
  ASSERT_EQ(failed.size(), 2);
  EXPECT_THAT(failed, Each(HasSubstr("ctldb away")));
  const std::vector<std::string> recovered = log.Events("replication_recovered");
  ASSERT_EQ(recovered.size(), 2);
  EXPECT_THAT(recovered, Each(HasSubstr("failures=10")));
  EXPECT_EQ(log.lines.size(), 4);
}

TEST_F(ReflectorTest, LogsAFailureOfAnotherKind) {
  FillLedger(1);
  size_t sleeps = 0;
  source_.fail = [&] { return sleeps < 5 ? absl::UnavailableError("away") : absl::OkStatus(); };
  target_.fail = [] { return absl::DataLossError("damaged"); };
  LogCapture log;
  RunUntilSleep(10, [&](size_t n) { sleeps = n; });
  const std::vector<std::string> failed = log.Events("replication_failed");
  ASSERT_EQ(failed.size(), 2);
  EXPECT_THAT(failed[0], HasSubstr("away"));
  EXPECT_THAT(failed[1], HasSubstr("damaged"));
  EXPECT_THAT(log.Events("replication_recovered"), IsEmpty());
  EXPECT_EQ(state_.failures, 10);
}

TEST_F(ReflectorTest, LogsNothingWhileAllIsWell) {
  FillLedger(10);
  LogCapture log;
  RunUntilSleep(20);
  EXPECT_THAT(log.lines, IsEmpty());
}

TEST_F(ReflectorTest, DoesNothingWhenStoppedBefore) {
  FillLedger(1);
  absl::Notification stop;
  stop.Notify();
  Reflector reflector(&source_, &target_, &clock_, options_);
  reflector.Run(&stop);
  EXPECT_THAT(source_.asked_after, IsEmpty());
}

TEST_F(ReflectorTest, StopsWhileItCatchesUp) {
  FillLedger(100);
  options_.max_entries_per_query = 1;
  absl::Notification stop;
  source_.on_read = [&] {
    if (source_.asked_after.size() == 10) stop.Notify();
  };
  Reflector reflector(&source_, &target_, &clock_, options_);
  reflector.Run(&stop);
  EXPECT_EQ(target_.committed, UpTo(10));
  EXPECT_THAT(clock_.sleeps, IsEmpty());
}

TEST_F(ReflectorTest, StopsDuringALongSleep) {
  options_.poll_interval = absl::Hours(1);
  absl::Notification reading;
  source_.on_read = [&] { reading.Notify(); };
  Reflector reflector(&source_, &target_, Clock::Real(), options_);
  absl::Notification stop;
  std::thread thread([&] { reflector.Run(&stop); });
  reading.WaitForNotification();
  stop.Notify();
  thread.join();
  EXPECT_EQ(source_.asked_after.size(), 1);
}

TEST_F(ReflectorTest, StateIsReadWhileItRuns) {
  FillLedger(1000);
  options_.max_entries_per_query = 10;
  clock_.on_sleep = [](size_t, absl::Notification* stop) { stop->Notify(); };
  Reflector reflector(&source_, &target_, &clock_, options_);
  absl::Notification stop;
  std::thread thread([&] { reflector.Run(&stop); });
  int64_t last_seen = 0;
  while (last_seen < 1000) {
    const int64_t seen = reflector.state().applied_sequence;
    ASSERT_GE(seen, last_seen);
    last_seen = seen;
  }
  thread.join();
}

}  // namespace
}  // namespace ctlstore::reflector
