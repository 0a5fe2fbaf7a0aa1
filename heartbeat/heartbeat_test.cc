#include "heartbeat/heartbeat.h"

#include <glog/logging.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace ctlstore::heartbeat {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// An executive in memory that can lose everything, and fail.
class FakeExecutive : public Heartbeat::Executive {
 public:
  absl::Status RegisterWriter() override {
    calls.push_back("RegisterWriter");
    if (!forbidden.ok()) return forbidden;
    absl::Status status = Fault();
    if (status.ok()) has_writer = true;
    return status;
  }

  absl::Status CreateFamily(absl::string_view family) override {
    calls.push_back(absl::StrCat("CreateFamily ", family));
    if (!forbidden.ok()) return forbidden;
    absl::Status status = Fault();
    if (status.ok()) has_family = true;
    return status;
  }

  absl::Status CreateTable(const TableSchema& schema) override {
    calls.push_back(absl::StrCat("CreateTable ", SqlTableName(schema.name())));
    if (!forbidden.ok()) return forbidden;
    if (!has_family) return absl::NotFoundError("there is no such family");
    absl::Status status = Fault();
    if (status.ok()) {
      has_table = true;
      schemas.push_back(schema);
    }
    return status;
  }

  absl::StatusOr<int64_t> Mutate(const TableSchema& schema,
                                 absl::Span<const ValueView> row) override {
    calls.push_back(absl::StrCat("Mutate ", SqlTableName(schema.name())));
    if (on_mutate) on_mutate();
    if (!has_writer) return absl::UnauthenticatedError("unknown writer");
    if (!has_family || !has_table) return absl::NotFoundError("there is no such table");
    absl::Status status = Fault();
    if (!status.ok()) return status;
    std::vector<Value> copy;
    for (const ValueView& value : row) copy.emplace_back(value);
    rows.push_back(std::move(copy));
    return ++sequence;
  }

  void HaveEverything() { has_writer = has_family = has_table = true; }
  void LoseEverything() { has_writer = has_family = has_table = false; }
  size_t CountCalls(absl::string_view name) const {
    return std::count_if(calls.begin(), calls.end(),
                         [&](const std::string& call) { return absl::StartsWith(call, name); });
  }

  bool has_writer = false, has_family = false, has_table = false;
  int64_t sequence = 100;
  std::vector<std::string> calls;
  std::vector<TableSchema> schemas;
  std::vector<std::vector<Value>> rows;
  // What the calls say that take a role.
  absl::Status forbidden;
  std::function<absl::Status()> fault;
  std::function<void()> on_mutate;

 private:
  absl::Status Fault() { return fault ? fault() : absl::OkStatus(); }
};

// Time passes only by sleeping; each sleep first runs the test's next step.
class FakeClock : public Clock {
 public:
  absl::Time Now() override { return now; }
  bool SleepOrStop(absl::Duration duration, absl::Notification* stop) override {
    sleeps.push_back(duration);
    if (on_sleep) on_sleep(sleeps.size(), stop);
    now += duration;
    return stop->HasBeenNotified();
  }

  // Not a whole number of microseconds: it must arrive to the nanosecond.
  absl::Time now = absl::FromUnixNanos(1700000000123456789);
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
  std::vector<std::string> lines;
};

class HeartbeatTest : public ::testing::Test {
 protected:
  void RunUntilSleep(size_t count, std::function<void(size_t)> step = nullptr) {
    clock_.on_sleep = [count, step = std::move(step)](size_t n, absl::Notification* stop) {
      if (step) step(n);
      if (n >= count) stop->Notify();
    };
    Heartbeat heartbeat(&executive_, &clock_, options_);
    absl::Notification stop;
    heartbeat.Run(&stop);
    state_ = heartbeat.state();
  }

  FakeExecutive executive_;
  FakeClock clock_;
  Heartbeat::Options options_;
  Heartbeat::State state_;
};

TEST_F(HeartbeatTest, MakesItsWriterFamilyAndTableWhereTheyAreMissing) {
  RunUntilSleep(1);
  EXPECT_THAT(executive_.calls,
              ElementsAre("Mutate ctlstore___heartbeats", "RegisterWriter", "CreateFamily ctlstore",
                          "CreateTable ctlstore___heartbeats", "Mutate ctlstore___heartbeats"));
  ASSERT_EQ(executive_.schemas.size(), 1);
  const TableSchema& schema = executive_.schemas[0];
  EXPECT_THAT(schema.fields(),
              ElementsAre(Field{"name", FieldType::kString}, Field{"value", FieldType::kInteger}));
  EXPECT_THAT(schema.key_field_names(), ElementsAre("name"));
}

TEST_F(HeartbeatTest, WritesTheTimeInNanosecondsAtEveryInterval) {
  RunUntilSleep(3);
  EXPECT_THAT(clock_.sleeps, Each(absl::Seconds(15)));
  EXPECT_THAT(
      executive_.rows,
      ElementsAre(ElementsAre(Value::Text("heartbeat"), Value::Integer(1700000000123456789)),
                  ElementsAre(Value::Text("heartbeat"), Value::Integer(1700000015123456789)),
                  ElementsAre(Value::Text("heartbeat"), Value::Integer(1700000030123456789))));
  // Once they are known to be there, they are not made again.
  EXPECT_EQ(executive_.CountCalls("RegisterWriter"), 1);
  EXPECT_EQ(executive_.CountCalls("Create"), 2);
}

TEST_F(HeartbeatTest, TakesTheCallsTimeOffTheInterval) {
  executive_.HaveEverything();
  executive_.on_mutate = [&] { clock_.now += absl::Seconds(4); };
  RunUntilSleep(2);
  EXPECT_THAT(clock_.sleeps, Each(absl::Seconds(11)));
}

TEST_F(HeartbeatTest, SleepsAtMostAnIntervalWhenTheClockIsSet) {
  executive_.HaveEverything();
  int calls = 0;
  executive_.on_mutate = [&] { clock_.now += absl::Hours(++calls == 1 ? -5 : 7); };
  RunUntilSleep(2);
  EXPECT_THAT(clock_.sleeps, ElementsAre(absl::Seconds(15), absl::ZeroDuration()));
}

TEST_F(HeartbeatTest, NeedsNoRoleWhereEverythingIsThere) {
  executive_.HaveEverything();
  executive_.forbidden = absl::PermissionDeniedError("another role");
  RunUntilSleep(3);
  EXPECT_EQ(executive_.rows.size(), 3);
  EXPECT_THAT(executive_.calls, Each(std::string("Mutate ctlstore___heartbeats")));
  EXPECT_TRUE(state_.last_error.ok());
}

TEST_F(HeartbeatTest, SaysWhatIsMissingAndThatItMayNotMakeIt) {
  executive_.has_writer = executive_.has_family = true;
  executive_.forbidden = absl::UnauthenticatedError("no role");
  RunUntilSleep(2);
  EXPECT_EQ(state_.last_error.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(state_.last_error.message()),
              AllOf(HasSubstr("no such table"), HasSubstr("no role")));
  executive_.calls.clear();
  executive_.has_table = true;
  RunUntilSleep(1);
  EXPECT_TRUE(state_.last_error.ok());
}

TEST_F(HeartbeatTest, MakesEverythingAgainWhenItIsMissing) {
  RunUntilSleep(5, [&](size_t n) {
    if (n == 2) executive_.LoseEverything();
  });
  EXPECT_EQ(executive_.CountCalls("RegisterWriter"), 2);
  EXPECT_EQ(executive_.rows.size(), 5);
  EXPECT_TRUE(state_.last_error.ok());
}

TEST_F(HeartbeatTest, MakesTheTableAgainWhenOnlyItIsMissing) {
  RunUntilSleep(5, [&](size_t n) {
    if (n == 2) executive_.has_table = false;
  });
  EXPECT_EQ(executive_.schemas.size(), 2);
  EXPECT_EQ(executive_.rows.size(), 5);
}

TEST_F(HeartbeatTest, DoesNotRegisterAgainWhileTheExecutiveIsAway) {
  bool away = false;
  executive_.fault = [&] { return away ? absl::UnavailableError("away") : absl::OkStatus(); };
  RunUntilSleep(10, [&](size_t n) { away = n >= 2 && n < 8; });
  EXPECT_EQ(executive_.CountCalls("RegisterWriter"), 1);
  EXPECT_EQ(executive_.rows.size(), 4);
}

TEST_F(HeartbeatTest, RetriesWithGrowingJitteredPauses) {
  executive_.fault = [] { return absl::UnavailableError("away"); };
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
  EXPECT_FALSE(state_.last_written.has_value());
}

TEST_F(HeartbeatTest, LogsTheBeginningAndTheEndOfAFailureOnce) {
  bool away = true;
  executive_.fault = [&] { return away ? absl::UnavailableError("no route") : absl::OkStatus(); };
  LogCapture log;
  RunUntilSleep(30, [&](size_t n) { away = n < 10; });
  ASSERT_EQ(log.lines.size(), 2);
  EXPECT_THAT(log.lines[0], HasSubstr("event=heartbeat_failed"));
  EXPECT_THAT(log.lines[0], HasSubstr("no route"));
  EXPECT_THAT(log.lines[1], HasSubstr("event=heartbeat_recovered failures=10"));
}

TEST_F(HeartbeatTest, StateTellsWhatWasWrittenLast) {
  RunUntilSleep(3);
  EXPECT_EQ(state_.last_sequence, 103);
  ASSERT_TRUE(state_.last_written.has_value());
  EXPECT_EQ(*state_.last_written, absl::FromUnixNanos(1700000030123456789));
  EXPECT_EQ(state_.failures, 0);
}

TEST_F(HeartbeatTest, DoesNothingWhenStoppedBefore) {
  absl::Notification stop;
  stop.Notify();
  Heartbeat heartbeat(&executive_, &clock_, options_);
  heartbeat.Run(&stop);
  EXPECT_THAT(executive_.calls, IsEmpty());
}

TEST_F(HeartbeatTest, SaysNothingOfACallThatTheStopEnded) {
  absl::Notification stop;
  executive_.on_mutate = [&] {
    stop.Notify();
    executive_.fault = [] { return absl::CancelledError("stopped"); };
  };
  LogCapture log;
  Heartbeat heartbeat(&executive_, &clock_, options_);
  heartbeat.Run(&stop);
  EXPECT_THAT(log.lines, IsEmpty());
  EXPECT_THAT(clock_.sleeps, IsEmpty());
}

TEST_F(HeartbeatTest, StopsDuringALongSleep) {
  options_.interval = absl::Hours(1);
  executive_.HaveEverything();
  absl::Notification written;
  executive_.on_mutate = [&] { written.Notify(); };
  Heartbeat heartbeat(&executive_, Clock::Real(), options_);
  absl::Notification stop;
  std::thread thread([&] { heartbeat.Run(&stop); });
  written.WaitForNotification();
  stop.Notify();
  thread.join();
  EXPECT_EQ(executive_.rows.size(), 1);
}

}  // namespace
}  // namespace ctlstore::heartbeat
