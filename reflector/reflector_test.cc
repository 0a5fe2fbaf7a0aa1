#include "reflector/reflector.h"

#include <glog/logging.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/schema/errors.h"
#include "reflector/fake_source.h"

namespace ctlstore::reflector {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr absl::Duration kPatience = absl::Seconds(60);

absl::Status EntryFailed(int64_t sequence) {
  return ErrorWithReason(absl::StatusCode::kInternal, reason::kEntryFailed,
                         absl::StrCat("ledger entry ", sequence, ": it does not run"));
}

// Keeps LocalDatabase's promises: whole ledger transactions, in order. Thread-safe.
class FakeTarget : public Reflector::Target {
 public:
  absl::Status Open() override {
    absl::MutexLock lock(&mutex);
    ++opens;
    if (!open_error.ok()) return open_error;
    if (!is_open) {
      is_open = true;
      ++generation_;
      applied = plan ? 0 : stored;
      open.clear();
    }
    return absl::OkStatus();
  }
  int64_t generation() const override { return generation_; }
  LedgerPosition received_position() const override {
    absl::MutexLock lock(&mutex);
    return {open.empty() ? applied : open.back(), ""};
  }
  int64_t applied_sequence() const override {
    absl::MutexLock lock(&mutex);
    return applied;
  }
  absl::optional<int64_t> failed_sequence() const override {
    absl::MutexLock lock(&mutex);
    return failed;
  }
  void SkipEntry(int64_t sequence) override {
    absl::MutexLock lock(&mutex);
    skipped.push_back(sequence);
  }

  absl::Status Apply(absl::Span<const LedgerEntry> entries, bool at_end) override {
    absl::MutexLock lock(&mutex);
    failed.reset();
    absl::Status status = fail ? fail() : absl::OkStatus();
    for (const LedgerEntry& entry : entries) {
      if (!status.ok()) break;
      EXPECT_EQ(entry.sequence, (open.empty() ? applied : open.back()) + 1)
          << "skipped, repeated or out of order";
      const bool skip = std::find(skipped.begin(), skipped.end(), entry.sequence) != skipped.end();
      if (entry.statement == "bad" && !skip) {
        failed = entry.sequence;
        status = EntryFailed(entry.sequence);
        break;
      }
      if (entry.statement == kBeginMarker) in_transaction = true;
      if (entry.statement == kCommitMarker) in_transaction = false;
      open.push_back(entry.sequence);
      if (in_transaction) continue;
      committed.insert(committed.end(), open.begin(), open.end());
      applied = open.back();
      open.clear();
    }
    if (!status.ok()) {
      open.clear();
      in_transaction = false;
      if (absl::IsDataLoss(status)) BeginPlan();
      return status;
    }
    if (plan && (at_end || applied >= stored)) {
      plan = false;
      ++published;
    }
    if (!plan) stored = applied;
    return absl::OkStatus();
  }
  absl::Status Idle() override {
    ++idles;
    absl::MutexLock lock(&mutex);
    return absl::OkStatus();
  }
  void Rebuild(const std::string& reason, bool another_ledger) override {
    absl::MutexLock lock(&mutex);
    rebuild_reason = reason;
    is_another_ledger = another_ledger;
    BeginPlan();
  }
  bool rebuilding() const override {
    absl::MutexLock lock(&mutex);
    return plan;
  }
  bool FetchSnapshot(const std::string&) override {
    absl::MutexLock lock(&mutex);
    if (!has_snapshots) return false;
    ++fetches;
    open_error = ErrorWithReason(absl::StatusCode::kUnavailable, reason::kFetchingSnapshot, "soon");
    is_open = false;
    return true;
  }
  bool GiveUpRebuild() override {
    absl::MutexLock lock(&mutex);
    if (!may_give_up) return false;
    plan = false;
    is_open = false;
    return true;
  }

  void BeginPlan() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    plan = true;
    is_open = false;
    committed.clear();
    open.clear();
  }

  std::vector<int64_t> Committed() const {
    absl::MutexLock lock(&mutex);
    return committed;
  }

  void FailWith(std::function<absl::Status()> function) {
    absl::MutexLock lock(&mutex);
    fail = std::move(function);
  }

  mutable absl::Mutex mutex;
  bool has_snapshots ABSL_GUARDED_BY(mutex) = false;
  int fetches ABSL_GUARDED_BY(mutex) = 0;
  int opens ABSL_GUARDED_BY(mutex) = 0;
  absl::Status open_error ABSL_GUARDED_BY(mutex);
  bool is_open ABSL_GUARDED_BY(mutex) = false;
  int64_t applied ABSL_GUARDED_BY(mutex) = 0;
  int64_t stored ABSL_GUARDED_BY(mutex) = 0;
  bool plan ABSL_GUARDED_BY(mutex) = false;
  bool may_give_up ABSL_GUARDED_BY(mutex) = false;
  bool in_transaction ABSL_GUARDED_BY(mutex) = false;
  bool is_another_ledger ABSL_GUARDED_BY(mutex) = false;
  std::string rebuild_reason ABSL_GUARDED_BY(mutex);
  int published ABSL_GUARDED_BY(mutex) = 0;
  absl::optional<int64_t> failed ABSL_GUARDED_BY(mutex);
  std::vector<int64_t> open ABSL_GUARDED_BY(mutex);
  std::vector<int64_t> committed ABSL_GUARDED_BY(mutex);
  std::vector<int64_t> skipped ABSL_GUARDED_BY(mutex);
  std::function<absl::Status()> fail ABSL_GUARDED_BY(mutex);
  std::atomic<int> idles{0};

 private:
  std::atomic<int64_t> generation_{0};
};

// The machine's, but both of its times can be moved on.
class FakeClock : public Clock {
 public:
  absl::Time Now() override { return absl::Now() + absl::Seconds(set_by.load()); }
  absl::Duration SteadyNow() override {
    return Clock::SteadyNow() + absl::Seconds(steady_moved_by.load());
  }
  bool SleepOrStop(absl::Duration, absl::Notification*) override { return true; }
  std::atomic<int64_t> set_by{0};
  std::atomic<int64_t> steady_moved_by{0};
};

// The lines logged while it lives.
class LogCapture : public google::LogSink {
 public:
  LogCapture() { google::AddLogSink(this); }
  ~LogCapture() override { google::RemoveLogSink(this); }
  void send(google::LogSeverity, const char*, const char*, int, const google::LogMessageTime&,
            const char* message, size_t size) override {
    absl::MutexLock lock(&mutex_);
    lines_.emplace_back(message, size);
  }
  // "from>to" for each change of the state.
  std::vector<std::string> States() const {
    absl::MutexLock lock(&mutex_);
    std::vector<std::string> found;
    for (const std::string& line : lines_) {
      if (!absl::StrContains(line, "event=replication_state ")) continue;
      found.push_back(absl::StrCat(Field(line, "from"), ">", Field(line, "to")));
    }
    return found;
  }
  std::vector<std::string> lines() const {
    absl::MutexLock lock(&mutex_);
    return lines_;
  }

 private:
  static std::string Field(const std::string& line, const std::string& name) {
    const size_t begin = line.find(name + "=") + name.size() + 1;
    return line.substr(begin, line.find(' ', begin) - begin);
  }

  mutable absl::Mutex mutex_;
  std::vector<std::string> lines_ ABSL_GUARDED_BY(mutex_);
};

bool Eventually(const std::function<bool()>& condition) {
  const absl::Time give_up = absl::Now() + kPatience;
  while (!condition()) {
    if (absl::Now() > give_up) return false;
    absl::SleepFor(absl::Milliseconds(1));
  }
  return true;
}

std::vector<int64_t> UpTo(int64_t last) {
  std::vector<int64_t> sequences(last);
  for (int64_t i = 0; i < last; ++i) sequences[i] = i + 1;
  return sequences;
}

class ReflectorTest : public ::testing::Test {
 protected:
  ReflectorTest() {
    options_.ldb_path = "/ldb.db";
    options_.min_retry_pause = absl::Milliseconds(1);
    options_.max_retry_pause = absl::Milliseconds(4);
    options_.idle_interval = absl::Milliseconds(5);
  }
  ~ReflectorTest() override { Stop(); }

  void Start() {
    reflector_ = std::make_unique<Reflector>(&source_, &target_, &clock_, options_);
    thread_ = std::thread([this] { reflector_->Run(); });
  }
  void Stop() {
    if (!thread_.joinable()) return;
    reflector_->Stop();
    thread_.join();
  }

  bool Reaches(ReplicationState state) {
    return Eventually([&] { return reflector_->state().replication == state; });
  }
  bool Applies(int64_t last) {
    return Eventually([&] { return reflector_->state().applied_sequence == last; });
  }

  FakeSource source_;
  FakeTarget target_;
  FakeClock clock_;
  Reflector::Options options_;
  std::unique_ptr<Reflector> reflector_;
  std::thread thread_;
};

TEST_F(ReflectorTest, AppliesTheLedgerInOrderAndIsCurrent) {
  LogCapture log;
  source_.Append(50);
  options_.max_entries_per_query = 7;
  Start();
  ASSERT_TRUE(Reaches(ReplicationState::kCurrent));
  EXPECT_EQ(target_.Committed(), UpTo(50));
  source_.Append(20);
  ASSERT_TRUE(Applies(70));
  EXPECT_EQ(target_.Committed(), UpTo(70));
  Stop();
  const Reflector::State state = reflector_->state();
  EXPECT_TRUE(state.error.ok());
  EXPECT_EQ(state.failures, 0);
  EXPECT_EQ(state.ledger_sequence, 70);
  EXPECT_TRUE(state.last_caught_up.has_value());
  EXPECT_EQ(log.States().front().substr(0, 9), "starting>");
  EXPECT_EQ(log.States().back(),
            log.States().size() == 1 ? "starting>current" : "catching_up>current");
}

TEST_F(ReflectorTest, GoesOnFromWhatTheTargetHas) {
  source_.Append(5);
  target_.stored = 3;
  Start();
  ASSERT_TRUE(Applies(5));
  EXPECT_EQ(source_.asked_after().front(), 3);
  EXPECT_THAT(target_.Committed(), ElementsAre(4, 5));
}

TEST_F(ReflectorTest, AChangeDoesNotMakeItCatchUp) {
  Start();
  ASSERT_TRUE(Reaches(ReplicationState::kCurrent));
  LogCapture log;
  options_.max_entries_per_query = 1;
  for (int i = 0; i < 20; ++i) {
    source_.Append(10);
    ASSERT_TRUE(Applies(10 * (i + 1)));
  }
  EXPECT_THAT(log.States(), SizeIs(0));
}

TEST_F(ReflectorTest, ContinuesWithinALedgerTransactionThatAReadDidNotEnd) {
  source_.Append({"statement", kBeginMarker, "statement", "statement", kCommitMarker});
  options_.max_entries_per_query = 3;
  Start();
  ASSERT_TRUE(Applies(5));
  EXPECT_EQ(target_.Committed(), UpTo(5));
}

TEST_F(ReflectorTest, ATransactionWithoutItsEndWaitsForIt) {
  source_.Append({"statement", kBeginMarker, "statement"});
  Start();
  ASSERT_TRUE(Reaches(ReplicationState::kCurrent));
  EXPECT_EQ(reflector_->state().applied_sequence, 1);
  source_.Append({"statement", kCommitMarker});
  ASSERT_TRUE(Applies(5));
}

TEST_F(ReflectorTest, IsUpstreamUnavailableWhileNoneAnswersAndLogsItOnce) {
  Start();
  ASSERT_TRUE(Reaches(ReplicationState::kCurrent));
  LogCapture log;
  source_.Fail(absl::UnavailableError("away"));
  ASSERT_TRUE(Eventually([&] { return reflector_->state().failures > 5; }));
  EXPECT_EQ(reflector_->state().replication, ReplicationState::kUpstreamUnavailable);
  EXPECT_EQ(reflector_->state().error, absl::UnavailableError("away"));
  EXPECT_FALSE(reflector_->state().caught_up);
  source_.Append(3);
  source_.Fail(absl::OkStatus());
  ASSERT_TRUE(Reaches(ReplicationState::kCurrent));
  EXPECT_EQ(reflector_->state().failures, 0);
  EXPECT_TRUE(reflector_->state().error.ok());
  EXPECT_THAT(log.States(),
              ElementsAre("current>upstream_unavailable", "upstream_unavailable>current"));
  EXPECT_THAT(log.lines()[0], HasSubstr("ldb=/ldb.db"));
  EXPECT_THAT(log.lines()[0], HasSubstr("away"));
}

TEST_F(ReflectorTest, TellsALedgerThatIsBehindOrPrunedAndGoesOnWhenItIsNot) {
  Start();
  ASSERT_TRUE(Reaches(ReplicationState::kCurrent));
  source_.Fail(ErrorWithReason(absl::StatusCode::kUnavailable, reason::kLedgerBehind, "behind"));
  ASSERT_TRUE(Reaches(ReplicationState::kLedgerBehind));
  source_.Fail(
      ErrorWithReason(absl::StatusCode::kFailedPrecondition, reason::kLedgerPruned, "pruned"));
  ASSERT_TRUE(Reaches(ReplicationState::kNeedsSnapshot));
  // It does not go away by itself.
  EXPECT_THAT(std::string(reflector_->Readiness().message()), HasSubstr("pruned"));
  source_.Fail(absl::OkStatus());
  ASSERT_TRUE(Reaches(ReplicationState::kCurrent));
  EXPECT_TRUE(reflector_->Readiness().ok());
  EXPECT_FALSE(target_.rebuilding());
}

TEST_F(ReflectorTest, APrunedLedgerMakesItFetchASnapshotWhereThereIsAPlaceForOne) {
  Start();
  ASSERT_TRUE(Reaches(ReplicationState::kCurrent));
  {
    absl::MutexLock lock(&target_.mutex);
    target_.has_snapshots = true;
  }
  source_.Fail(
      ErrorWithReason(absl::StatusCode::kFailedPrecondition, reason::kLedgerPruned, "pruned"));
  ASSERT_TRUE(Reaches(ReplicationState::kFetchingSnapshot));
  // That is no failure, and is not tried again.
  const int64_t failures = reflector_->state().failures;
  source_.Fail(absl::OkStatus());
  source_.Append(1);
  const auto opens = [&] {
    absl::MutexLock lock(&target_.mutex);
    return target_.opens;
  };
  const int before = opens();
  ASSERT_TRUE(Eventually([&] { return opens() >= before + 3; }));
  EXPECT_EQ(reflector_->state().replication, ReplicationState::kFetchingSnapshot);
  EXPECT_EQ(reflector_->state().failures, failures);
  {
    absl::MutexLock lock(&target_.mutex);
    EXPECT_EQ(target_.fetches, 1);
    target_.open_error = absl::OkStatus();
  }
  ASSERT_TRUE(Reaches(ReplicationState::kCurrent));
}

TEST_F(ReflectorTest, AnotherLedgerIsPlayedFromItsBeginning) {
  source_.Append(10);
  Start();
  ASSERT_TRUE(Reaches(ReplicationState::kCurrent));
  // As long as it is built anew there is nothing that is damaged with it.
  source_.Fail(
      ErrorWithReason(absl::StatusCode::kFailedPrecondition, reason::kLedgerDiverged, "diverged"));
  ASSERT_TRUE(Reaches(ReplicationState::kRebuilding));
  {
    absl::MutexLock lock(&target_.mutex);
    EXPECT_TRUE(target_.is_another_ledger);
    EXPECT_EQ(target_.rebuild_reason, "diverged");
  }
  source_.Fail(absl::OkStatus());
  ASSERT_TRUE(Reaches(ReplicationState::kCurrent));
  EXPECT_EQ(target_.Committed(), UpTo(10));
}

TEST_F(ReflectorTest, ADamagedDatabaseIsPlayedFromTheBeginning) {
  source_.Append(10);
  Start();
  ASSERT_TRUE(Reaches(ReplicationState::kCurrent));
  LogCapture log;
  bool damaged = true;
  target_.FailWith([&] {
    if (!damaged) return absl::OkStatus();
    damaged = false;
    return absl::DataLossError("damaged");
  });
  source_.Append(1);
  ASSERT_TRUE(Applies(11));
  ASSERT_TRUE(Reaches(ReplicationState::kCurrent));
  EXPECT_EQ(target_.Committed(), UpTo(11));
  EXPECT_EQ(log.States().front(), "current>rebuilding");
}

TEST_F(ReflectorTest, RebuildsWhenItIsTold) {
  source_.Append(10);
  Start();
  ASSERT_TRUE(Reaches(ReplicationState::kCurrent));
  reflector_->Rebuild();
  ASSERT_TRUE(Eventually([&] {
    absl::MutexLock lock(&target_.mutex);
    return target_.published == 1;
  }));
  ASSERT_TRUE(Reaches(ReplicationState::kCurrent));
  EXPECT_EQ(target_.Committed(), UpTo(10));
  absl::MutexLock lock(&target_.mutex);
  EXPECT_FALSE(target_.is_another_ledger);
}

TEST_F(ReflectorTest, ARebuildWhileTheLedgerIsBehindTakesTheLedgerAsItIs) {
  source_.Append(10);
  Start();
  source_.Fail(ErrorWithReason(absl::StatusCode::kUnavailable, reason::kLedgerBehind, "behind"));
  ASSERT_TRUE(Reaches(ReplicationState::kLedgerBehind));
  reflector_->Rebuild();
  ASSERT_TRUE(Eventually([&] { return target_.rebuilding(); }));
  absl::MutexLock lock(&target_.mutex);
  EXPECT_TRUE(target_.is_another_ledger);
}

TEST_F(ReflectorTest, ARebuildThatWasNotNeededIsGivenUpWhereTheLedgerIsPruned) {
  source_.Append(10);
  Start();
  ASSERT_TRUE(Reaches(ReplicationState::kCurrent));
  {
    absl::MutexLock lock(&target_.mutex);
    target_.may_give_up = true;
  }
  source_.Fail(
      ErrorWithReason(absl::StatusCode::kFailedPrecondition, reason::kLedgerPruned, "pruned"));
  reflector_->Rebuild();
  ASSERT_TRUE(Eventually([&] {
    absl::MutexLock lock(&target_.mutex);
    return !target_.rebuild_reason.empty() && !target_.plan;
  }));
  source_.Fail(absl::OkStatus());
  source_.Append(1);
  ASSERT_TRUE(Applies(11));
  // From where the old one was.
  EXPECT_EQ(source_.last_asked_after(), 11);
}

TEST_F(ReflectorTest, StopsAtAnEntryThatFailsAndTriesItAgain) {
  source_.Append({"statement", "bad", "statement"});
  LogCapture log;
  Start();
  ASSERT_TRUE(Eventually([&] { return reflector_->state().failures > 5; }));
  const Reflector::State state = reflector_->state();
  EXPECT_EQ(state.replication, ReplicationState::kEntryFailed);
  EXPECT_EQ(state.failed_sequence, 2);
  EXPECT_EQ(state.applied_sequence, 1);
  EXPECT_THAT(std::string(state.error.message()), HasSubstr("ledger entry 2"));
  EXPECT_THAT(std::string(reflector_->Readiness().message()), HasSubstr("ledger entry 2"));
  EXPECT_THAT(log.States(), ElementsAre("starting>entry_failed"));
}

TEST_F(ReflectorTest, IsNotOutOfItWhenOnlyWhatComesBeforeGoesWell) {
  // Each try reads, and takes, the transaction's beginning before its entry that fails.
  source_.Append({kBeginMarker, "statement", "statement", "bad", kCommitMarker});
  options_.max_entries_per_query = 1;
  LogCapture log;
  Start();
  ASSERT_TRUE(Eventually([&] { return reflector_->state().failures > 10; }));
  EXPECT_EQ(reflector_->state().failed_sequence, 4);
  const std::vector<std::string> states = log.States();
  EXPECT_EQ(states.back().substr(states.back().find('>')), ">entry_failed");
  EXPECT_LE(states.size(), 2);
}

TEST_F(ReflectorTest, SkipsOnlyTheEntryThatStandsInTheWay) {
  source_.Append({"statement", "bad", "statement", "bad", "statement"});
  options_.min_retry_pause = options_.max_retry_pause = absl::Hours(1);
  Start();
  ASSERT_TRUE(Reaches(ReplicationState::kEntryFailed));
  for (const int64_t other : {1, 3, 4}) {
    const absl::Status refused = reflector_->SkipEntry(other);
    EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(refused.message()), HasSubstr("ledger entry 2"));
  }
  // At once, whatever the pause was.
  ASSERT_TRUE(reflector_->SkipEntry(2).ok());
  ASSERT_TRUE(Eventually([&] { return reflector_->state().failed_sequence == 4; }));
  EXPECT_EQ(reflector_->state().applied_sequence, 3);
  ASSERT_TRUE(reflector_->SkipEntry(4).ok());
  ASSERT_TRUE(Reaches(ReplicationState::kCurrent));
  EXPECT_EQ(reflector_->state().applied_sequence, 5);
  EXPECT_EQ(reflector_->SkipEntry(4).code(), absl::StatusCode::kFailedPrecondition);
  absl::MutexLock lock(&target_.mutex);
  EXPECT_THAT(target_.skipped, ElementsAre(2, 4));
}

TEST_F(ReflectorTest, AFullDiskAndAnUnwritableDatabaseAreWaitedFor) {
  source_.Append(5);
  Start();
  ASSERT_TRUE(Reaches(ReplicationState::kCurrent));
  target_.FailWith([] { return absl::ResourceExhaustedError("the disk is full"); });
  source_.Append(1);
  ASSERT_TRUE(Reaches(ReplicationState::kDiskFull));
  target_.FailWith([] { return absl::UnavailableError("cannot be written"); });
  ASSERT_TRUE(Reaches(ReplicationState::kLdbUnavailable));
  target_.FailWith(nullptr);
  ASSERT_TRUE(Reaches(ReplicationState::kCurrent));
  EXPECT_EQ(target_.Committed(), UpTo(6));
}

TEST_F(ReflectorTest, WaitsForADatabaseThatCannotBeOpened) {
  source_.Append(5);
  target_.open_error = absl::UnavailableError("cannot be opened");
  Start();
  ASSERT_TRUE(Reaches(ReplicationState::kLdbUnavailable));
  {
    absl::MutexLock lock(&target_.mutex);
    target_.open_error = absl::OkStatus();
  }
  ASSERT_TRUE(Reaches(ReplicationState::kCurrent));
  EXPECT_EQ(target_.Committed(), UpTo(5));
}

TEST_F(ReflectorTest, SkipsNothingWhateverFails) {
  std::mt19937 random(1);
  std::vector<std::string> statements;
  for (int i = 0; i < 300; ++i) {
    if (random() % 4 == 0) {
      statements.push_back(kBeginMarker);
      for (unsigned n = random() % 5 + 2; n > 0; --n) statements.push_back("statement");
      statements.push_back(kCommitMarker);
    } else {
      statements.push_back("statement");
    }
  }
  source_.Append(statements);
  options_.max_entries_per_query = 7;
  options_.max_retry_pause = absl::Milliseconds(1);
  target_.FailWith([&] {
    return random() % 3 == 0 ? absl::UnavailableError("cannot be written") : absl::OkStatus();
  });
  std::atomic<bool> ended{false};
  std::thread fail([&] {
    for (int i = 0; !ended; ++i) {
      source_.Fail(i % 2 == 0 ? absl::UnavailableError("away") : absl::OkStatus());
      absl::SleepFor(absl::Microseconds(500));
    }
    source_.Fail(absl::OkStatus());
  });
  Start();
  const int64_t last = static_cast<int64_t>(statements.size());
  EXPECT_TRUE(Applies(last));
  ended = true;
  fail.join();
  EXPECT_EQ(target_.Committed(), UpTo(last));
}

TEST_F(ReflectorTest, IsReadyWhileItHadEverythingNotLongAgo) {
  options_.ready_within = absl::Minutes(1);
  source_.Fail(absl::UnavailableError("away"));
  Start();
  ASSERT_TRUE(Reaches(ReplicationState::kUpstreamUnavailable));
  EXPECT_THAT(std::string(reflector_->Readiness().message()), HasSubstr("has not caught up"));
  source_.Fail(absl::OkStatus());
  ASSERT_TRUE(Eventually([&] { return reflector_->Readiness().ok(); }));
  source_.Fail(absl::UnavailableError("away"));
  ASSERT_TRUE(Reaches(ReplicationState::kUpstreamUnavailable));
  EXPECT_TRUE(reflector_->Readiness().ok());
  clock_.steady_moved_by = 61;
  EXPECT_THAT(std::string(reflector_->Readiness().message()), HasSubstr("1m"));
}

TEST_F(ReflectorTest, AClockThatIsSetChangesNothing) {
  source_.Append(5);
  Start();
  ASSERT_TRUE(Reaches(ReplicationState::kCurrent));
  LogCapture log;
  int64_t last = 5;
  for (const int64_t seconds : {86400 * 365, -86400 * 365, 0}) {
    clock_.set_by = seconds;
    EXPECT_TRUE(reflector_->Readiness().ok());
    source_.Append(5);
    ASSERT_TRUE(Applies(last += 5));
    EXPECT_TRUE(reflector_->Readiness().ok()) << reflector_->Readiness();
  }
  EXPECT_THAT(log.States(), SizeIs(0));
}

TEST_F(ReflectorTest, LooksAfterTheTargetWhileThereIsNothingToApply) {
  Start();
  EXPECT_TRUE(Eventually([&] { return target_.idles > 5; }));
}

TEST_F(ReflectorTest, StopsDuringALongPause) {
  options_.min_retry_pause = options_.max_retry_pause = absl::Hours(1);
  source_.Append(1);
  target_.FailWith([] { return absl::UnavailableError("cannot be written"); });
  Start();
  ASSERT_TRUE(Reaches(ReplicationState::kLdbUnavailable));
  Stop();
}

TEST_F(ReflectorTest, StopsWhileItCatchesUp) {
  source_.Append(10000);
  options_.max_entries_per_query = 1;
  Start();
  ASSERT_TRUE(Eventually([&] { return reflector_->state().applied_sequence > 10; }));
  Stop();
  EXPECT_LT(reflector_->state().applied_sequence, 10000);
}

}  // namespace
}  // namespace ctlstore::reflector
