#include "reflector/ctldb_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "common/ctldb/ledger_transaction.h"
#include "common/ctldb/own_tables.h"
#include "common/ctldb/testing/ctldb_test_base.h"
#include "common/schema/errors.h"

namespace ctlstore::reflector {
namespace {

using ctldb::testing::CtldbTest;
using ctldb::testing::MustOpen;
using ctldb::testing::NewTarget;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// Sleeps until it is told to wake up; counts what it was asked for.
class SleepyClock : public Clock {
 public:
  absl::Time Now() override {
    absl::MutexLock lock(&mutex_);
    return now_;
  }
  bool SleepOrStop(absl::Duration, absl::Notification*) override { return false; }
  bool SleepOrWake(absl::Duration duration, Event* event) override {
    {
      absl::MutexLock lock(&mutex_);
      sleeps_.push_back(duration);
      now_ += duration;
    }
    return event->Wait(sleeps_forever ? absl::InfiniteDuration() : absl::ZeroDuration());
  }
  std::vector<absl::Duration> sleeps() {
    absl::MutexLock lock(&mutex_);
    return sleeps_;
  }
  void AwaitSleeper() {
    absl::MutexLock lock(&mutex_);
    const auto asleep = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return !sleeps_.empty(); };
    mutex_.Await(absl::Condition(&asleep));
  }

  bool sleeps_forever = false;

 private:
  absl::Mutex mutex_;
  absl::Time now_ ABSL_GUARDED_BY(mutex_) = absl::FromUnixSeconds(1700000000);
  std::vector<absl::Duration> sleeps_ ABSL_GUARDED_BY(mutex_);
};

class CtldbSourceTest : public CtldbTest {
 protected:
  static void Append(ctldb::Connection* connection, const std::vector<std::string>& statements) {
    absl::StatusOr<ctldb::LedgerTransaction> transaction =
        ctldb::LedgerTransaction::Begin(connection);
    ASSERT_TRUE(transaction.ok()) << transaction.status();
    for (const std::string& statement : statements) transaction->Append({statement});
    ASSERT_TRUE(transaction->Commit().ok());
  }

  static LedgerSource::Batch MustRead(LedgerSource* source, const LedgerPosition& after,
                                      size_t max_entries = 1000) {
    LedgerSource::Limits limits;
    limits.max_entries = max_entries;
    absl::StatusOr<LedgerSource::Batch> batch = source->Read(after, limits);
    EXPECT_TRUE(batch.ok()) << batch.status();
    return batch.ok() ? *batch : LedgerSource::Batch();
  }

  SleepyClock clock_;
};

CTLSTORE_FOR_BOTH_KINDS(CtldbSourceTest);

TEST_P(CtldbSourceTest, WaitsOnlyWhereItGoesOnFromTheEnd) {
  std::unique_ptr<ctldb::Connection> connection = OpenReady();
  Append(connection.get(), {"a", "b", "c"});
  CtldbSource::Options options;
  options.poll_interval = absl::Seconds(10);
  CtldbSource source(target_, options_, options, &clock_);
  EXPECT_EQ(source.name(), target_.ToString());

  // Not at the end yet.
  LedgerSource::Batch batch = MustRead(&source, {}, 2);
  EXPECT_THAT(batch.entries, SizeIs(2));
  EXPECT_EQ(batch.ledger_sequence, 3);
  EXPECT_FALSE(batch.all_as_of.has_value());
  batch = MustRead(&source, PositionAfter(batch.entries.back()));
  EXPECT_THAT(batch.entries, SizeIs(1));
  EXPECT_EQ(batch.all_as_of, clock_.Now());
  EXPECT_THAT(clock_.sleeps(), IsEmpty());

  // At the end.
  const LedgerPosition end = PositionAfter(batch.entries.back());
  batch = MustRead(&source, end);
  EXPECT_THAT(batch.entries, IsEmpty());
  EXPECT_EQ(batch.ledger_sequence, 3);
  EXPECT_EQ(batch.all_as_of, clock_.Now());
  ASSERT_THAT(clock_.sleeps(), SizeIs(1));
  EXPECT_GE(clock_.sleeps()[0], absl::Seconds(7.5));
  EXPECT_LE(clock_.sleeps()[0], absl::Seconds(12.5));
  Append(connection.get(), {"d"});
  batch = MustRead(&source, end);
  EXPECT_THAT(batch.entries, SizeIs(1));
  EXPECT_THAT(clock_.sleeps(), SizeIs(2));
  EXPECT_NE(clock_.sleeps()[0], clock_.sleeps()[1]);

  // Elsewhere.
  EXPECT_THAT(MustRead(&source, {}).entries, SizeIs(4));
  EXPECT_THAT(MustRead(&source, end).entries, SizeIs(1));
  EXPECT_THAT(clock_.sleeps(), SizeIs(2));
}

TEST_P(CtldbSourceTest, DoesNotWaitAfterAnError) {
  CtldbSource source(target_, options_, {}, &clock_);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(ErrorReason(source.Read({}, {}).status()), reason::kCtldbUnavailable);
  }
  std::unique_ptr<ctldb::Connection> connection = OpenReady();
  EXPECT_THAT(MustRead(&source, {}).entries, IsEmpty());
  EXPECT_THAT(clock_.sleeps(), IsEmpty());
  EXPECT_EQ(ErrorReason(source.Read({1, ""}, {}).status()), reason::kLedgerBehind);
  EXPECT_THAT(MustRead(&source, {}).entries, IsEmpty());
  EXPECT_THAT(clock_.sleeps(), IsEmpty());
}

TEST_P(CtldbSourceTest, GoesOnAfterItWasReleased) {
  std::unique_ptr<ctldb::Connection> connection = OpenReady();
  Append(connection.get(), {"a"});
  CtldbSource source(target_, options_, {}, &clock_);
  source.Release();
  const LedgerPosition end = PositionAfter(MustRead(&source, {}).entries.back());
  source.Release();
  EXPECT_THAT(MustRead(&source, end).entries, IsEmpty());
  EXPECT_THAT(clock_.sleeps(), IsEmpty());
}

TEST_P(CtldbSourceTest, PassesOnWhereTheLedgerBegins) {
  std::unique_ptr<ctldb::Connection> connection = OpenReady();
  Append(connection.get(), {"a", "b", "c"});
  ASSERT_TRUE(connection->Execute("DELETE FROM ctlstore_dml_ledger WHERE seq = 1").ok());
  CtldbSource strict(target_, options_, {}, &clock_);
  EXPECT_EQ(ErrorReason(strict.Read({}, {}).status()), reason::kLedgerPruned);
  CtldbSource::Options options;
  options.ledger.first_sequence = 2;
  CtldbSource source(target_, options_, options, &clock_);
  EXPECT_THAT(MustRead(&source, {}).entries, SizeIs(2));
  EXPECT_EQ(source.gaps(), 0);
}

TEST_P(CtldbSourceTest, WakesUpWhenItIsCancelled) {
  std::unique_ptr<ctldb::Connection> connection = OpenReady();
  clock_.sleeps_forever = true;
  CtldbSource source(target_, options_, {}, &clock_);
  EXPECT_THAT(MustRead(&source, {}).entries, IsEmpty());
  std::thread thread(
      [&] { EXPECT_EQ(source.Read({}, {}).status().code(), absl::StatusCode::kCancelled); });
  clock_.AwaitSleeper();
  source.Cancel();
  source.Cancel();
  thread.join();
  EXPECT_EQ(source.Read({1, ""}, {}).status().code(), absl::StatusCode::kCancelled);
}

}  // namespace
}  // namespace ctlstore::reflector
