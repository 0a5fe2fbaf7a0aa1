#include "executive/rate_window.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <prometheus/registry.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "common/ctldb/ledger_transaction.h"
#include "common/ctldb/limits.h"
#include "common/schema/errors.h"
#include "executive/limit_book.h"
#include "executive/testing/log_capture.h"
#include "executive/testing/manual_clock.h"
#include "executive/testing/test_ctldb.h"

namespace ctlstore::executive {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

absl::Time Soon() { return absl::Now() + absl::Seconds(30); }

// What one executive has.
struct Executive {
  Executive(const TestCtldb& ctldb, const LimitBook::Options& options, Clock* clock)
      : metrics(&registry),
        pool([&ctldb] { return ctldb.Connect(); }, 2),
        book(options, &pool, clock, &metrics),
        connection(ctldb.Connect()) {
    EXPECT_TRUE(book.Refresh(Soon()).ok());
  }

  // One transaction with one request.
  absl::Status Take(const std::string& writer, int64_t rows, absl::Time now) {
    absl::StatusOr<ctldb::LedgerTransaction> transaction =
        ctldb::LedgerTransaction::Begin(connection.get());
    if (!transaction.ok()) return transaction.status();
    absl::StatusOr<RateWindow> window = RateWindow::Open(book, now, {writer}, connection.get());
    if (!window.ok()) return window.status();
    absl::Status status = window->Take(writer, rows);
    if (!status.ok()) return status;
    status = window->Write(connection.get());
    if (!status.ok()) return status;
    return transaction->Commit();
  }

  prometheus::Registry registry;
  ExecutiveMetrics metrics;
  ctldb::ConnectionPool pool;
  LimitBook book;
  std::unique_ptr<ctldb::Connection> connection;
};

class RateWindowTest : public ::testing::TestWithParam<TestCtldb::Kind> {
 protected:
  RateWindowTest() : ctldb_(GetParam()), connection_(ctldb_.Connect()), clock_(kStart) {
    options_.default_writer_rows = 10;
  }

  // What is written down for all periods together.
  int64_t Written(const std::string& writer) {
    int64_t rows = 0;
    EXPECT_TRUE(connection_
                    ->Query("SELECT CAST(COALESCE(SUM(amount), 0) AS DECIMAL(18, 0)) "
                            "FROM writer_usage WHERE writer_name = ?",
                            {writer},
                            [&](absl::Span<const ValueView> row) {
                              rows = row[0].integer();
                              return absl::OkStatus();
                            })
                    .ok());
    return rows;
  }

  // A period's beginning.
  const absl::Time kStart = absl::FromUnixSeconds(1700000040);
  TestCtldb ctldb_;
  std::unique_ptr<ctldb::Connection> connection_;
  ManualClock clock_;
  LimitBook::Options options_;
};

INSTANTIATE_TEST_SUITE_P(BothKinds, RateWindowTest,
                         ::testing::Values(TestCtldb::Kind::kSqlite, TestCtldb::Kind::kMariadb),
                         [](const ::testing::TestParamInfo<TestCtldb::Kind>& info) {
                           return KindName(info.param);
                         });

TEST_P(RateWindowTest, TakesUpToTheLimitAndNotOneRowMore) {
  Executive executive(ctldb_, options_, &clock_);
  ASSERT_TRUE(executive.Take("importer", 9, kStart).ok());
  absl::Status status = executive.Take("importer", 2, kStart + absl::Seconds(13));
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  EXPECT_EQ(ErrorReason(status), reason::kRateLimited);
  EXPECT_EQ(RetryDelay(status), absl::Seconds(47));
  EXPECT_THAT(status.message(),
              AllOf(HasSubstr("\"importer\""), HasSubstr("may change 10 rows in 1m "),
                    HasSubstr("has changed 9;"), HasSubstr("2 more"), HasSubstr("in 47s")));
  EXPECT_TRUE(executive.Take("importer", 1, kStart).ok());
  EXPECT_EQ(ErrorReason(executive.Take("importer", 1, kStart)), reason::kRateLimited);
  EXPECT_TRUE(executive.Take("importer", 0, kStart).ok());
  EXPECT_EQ(Written("importer"), 10);
  // Others have their own rows.
  EXPECT_TRUE(executive.Take("exporter", 10, kStart).ok());
  EXPECT_TRUE(executive.Take("Importer", 10, kStart).ok());
}

TEST_P(RateWindowTest, CountsEachPeriodFromZero) {
  Executive executive(ctldb_, options_, &clock_);
  const absl::Time last = kStart + absl::Minutes(1) - absl::Nanoseconds(1);
  ASSERT_TRUE(executive.Take("importer", 10, kStart - absl::Nanoseconds(1)).ok());
  ASSERT_TRUE(executive.Take("importer", 4, kStart).ok());
  EXPECT_EQ(RetryDelay(executive.Take("importer", 7, kStart)), absl::Minutes(1));
  ASSERT_TRUE(executive.Take("importer", 6, last).ok());
  // Never too short.
  EXPECT_EQ(RetryDelay(executive.Take("importer", 1, last)), absl::Milliseconds(1));
  EXPECT_TRUE(executive.Take("importer", 10, kStart + absl::Minutes(1)).ok());
}

TEST_P(RateWindowTest, CountsOnInAnEarlierPeriodWhenTheClockGoesBack) {
  Executive executive(ctldb_, options_, &clock_);
  ASSERT_TRUE(executive.Take("importer", 8, kStart).ok());
  ASSERT_TRUE(executive.Take("importer", 10, kStart + absl::Minutes(1)).ok());
  EXPECT_FALSE(executive.Take("importer", 3, kStart + absl::Seconds(5)).ok());
  EXPECT_TRUE(executive.Take("importer", 2, kStart + absl::Seconds(5)).ok());
  EXPECT_FALSE(executive.Take("importer", 1, kStart + absl::Minutes(1)).ok());
}

TEST_P(RateWindowTest, TellsWhoAsksForMoreThanTheWholeLimit) {
  Executive executive(ctldb_, options_, &clock_);
  absl::Status status = executive.Take("importer", 11, kStart);
  EXPECT_EQ(ErrorReason(status), reason::kRateLimited);
  EXPECT_EQ(RetryDelay(status), absl::nullopt);
  EXPECT_THAT(status.message(), AllOf(HasSubstr("11 rows is more than its whole limit"),
                                      HasSubstr("may change 10 rows")));
  ASSERT_TRUE(executive.Take("importer", 10, kStart).ok());
  EXPECT_TRUE(RetryDelay(executive.Take("importer", 10, kStart)).has_value());
}

TEST_P(RateWindowTest, ShowsNamesWithoutTheirControlCharacters) {
  Executive executive(ctldb_, options_, &clock_);
  absl::Status status = executive.Take("a\n\"b\"", 11, kStart);
  EXPECT_THAT(status.message(), AllOf(HasSubstr("\"a\\n\\\"b\\\"\""), Not(HasSubstr("\n"))));
}

TEST_P(RateWindowTest, FollowsAChangedLimitWithinThePeriod) {
  Executive executive(ctldb_, options_, &clock_);
  ASSERT_TRUE(executive.Take("importer", 10, kStart).ok());
  ASSERT_FALSE(executive.Take("importer", 1, kStart).ok());
  ASSERT_TRUE(ctldb::SetWriterLimit(connection_.get(), {"importer", 12}).ok());
  ASSERT_TRUE(executive.book.RefreshLimits(Soon()).ok());
  EXPECT_TRUE(executive.Take("importer", 2, kStart).ok());
  EXPECT_FALSE(executive.Take("importer", 1, kStart).ok());
  // Less than was used already.
  ASSERT_TRUE(ctldb::SetWriterLimit(connection_.get(), {"importer", 5}).ok());
  ASSERT_TRUE(executive.book.RefreshLimits(Soon()).ok());
  EXPECT_FALSE(executive.Take("importer", 1, kStart).ok());
  ASSERT_TRUE(executive.Take("importer", 5, kStart + absl::Minutes(1)).ok());
}

TEST_P(RateWindowTest, SharesTheRowsOfAllRequestsOfATransaction) {
  Executive executive(ctldb_, options_, &clock_);
  ctldb::Connection* connection = executive.connection.get();
  ASSERT_TRUE(executive.Take("importer", 3, kStart).ok());

  absl::StatusOr<ctldb::LedgerTransaction> transaction =
      ctldb::LedgerTransaction::Begin(connection);
  absl::StatusOr<RateWindow> window =
      RateWindow::Open(executive.book, kStart, {"importer", "exporter", "importer"}, connection);
  ASSERT_TRUE(window.ok()) << window.status();
  EXPECT_TRUE(window->Take("importer", 5).ok());
  EXPECT_FALSE(window->Take("importer", 3).ok());
  EXPECT_TRUE(window->Take("importer", 2).ok());
  EXPECT_FALSE(window->Take("importer", 1).ok());
  // A request that was refused after its rows were taken leaves room for others.
  window->GiveBack("importer", 5);
  EXPECT_FALSE(window->Take("importer", 6).ok());
  EXPECT_TRUE(window->Take("importer", 4).ok());
  EXPECT_TRUE(window->Take("exporter", 7).ok());
  window->GiveBack("exporter", 7);
  window->GiveBack("exporter", 7);
  window->GiveBack("nobody", 7);
  EXPECT_FALSE(window->Take("exporter", 11).ok());
  EXPECT_EQ(window->Take("nobody", 1).code(), absl::StatusCode::kInternal);
  ASSERT_TRUE(window->Write(connection).ok());
  ASSERT_TRUE(transaction->Commit().ok());
  EXPECT_EQ(Written("importer"), 9);
  EXPECT_EQ(Written("exporter"), 0);
}

TEST_P(RateWindowTest, LeavesNothingBehindInATransactionThatIsRolledBack) {
  Executive executive(ctldb_, options_, &clock_);
  {
    absl::StatusOr<ctldb::LedgerTransaction> transaction =
        ctldb::LedgerTransaction::Begin(executive.connection.get());
    absl::StatusOr<RateWindow> window =
        RateWindow::Open(executive.book, kStart, {"importer"}, executive.connection.get());
    ASSERT_TRUE(window->Take("importer", 10).ok());
    ASSERT_TRUE(window->Write(executive.connection.get()).ok());
  }
  EXPECT_EQ(Written("importer"), 0);
  EXPECT_TRUE(executive.Take("importer", 10, kStart).ok());
}

TEST_P(RateWindowTest, CountsNothingWhereNobodyIsLimited) {
  options_.default_writer_rows = 0;
  Executive executive(ctldb_, options_, &clock_);
  ASSERT_TRUE(ctldb::SetWriterLimit(connection_.get(), {"importer", 1}).ok());
  ASSERT_TRUE(executive.book.RefreshLimits(Soon()).ok());
  EXPECT_TRUE(executive.Take("importer", int64_t{1} << 62, kStart).ok());
  EXPECT_TRUE(executive.Take("importer", int64_t{1} << 62, kStart).ok());
  EXPECT_EQ(Written("importer"), 0);
}

TEST_P(RateWindowTest, WarnsBeforeTheLimit) {
  Executive executive(ctldb_, options_, &clock_);
  LogCapture log;
  ASSERT_TRUE(executive.Take("importer", 7, kStart).ok());
  EXPECT_THAT(log.Lines("event=writer_near_limit"), SizeIs(0));
  ASSERT_TRUE(executive.Take("importer", 1, kStart).ok());
  ASSERT_TRUE(executive.Take("importer", 1, kStart).ok());
  EXPECT_THAT(log.Lines("event=writer_near_limit writer=\"importer\" rows=8 limit=10"), SizeIs(1));
  EXPECT_THAT(log.Lines("event=writer_near_limit"), SizeIs(1));
}

TEST_P(RateWindowTest, IsSharedByAllExecutives) {
  Executive one(ctldb_, options_, &clock_);
  Executive two(ctldb_, options_, &clock_);
  ASSERT_TRUE(one.Take("importer", 6, kStart).ok());
  EXPECT_FALSE(two.Take("importer", 5, kStart).ok());
  EXPECT_TRUE(two.Take("importer", 4, kStart).ok());
  EXPECT_FALSE(one.Take("importer", 1, kStart).ok());
}

TEST_P(RateWindowTest, IsNeverOverdrawnByExecutivesThatWriteAtTheSameTime) {
  options_.default_writer_rows = 100;
  std::atomic<int> taken = 0, refused = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      Executive executive(ctldb_, options_, &clock_);
      while (refused == 0) {
        absl::Status status = executive.Take("importer", 7, kStart);
        if (status.ok()) {
          ++taken;
        } else if (ErrorReason(status) == reason::kRateLimited) {
          ++refused;
        } else {
          ASSERT_EQ(ErrorReason(status), reason::kCtldbBusy) << status;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(taken, 14);
  EXPECT_EQ(Written("importer"), 98);
}

}  // namespace
}  // namespace ctlstore::executive
