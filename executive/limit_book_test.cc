#include "executive/limit_book.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <prometheus/registry.h>

#include <atomic>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/ctldb/limits.h"
#include "common/schema/errors.h"
#include "common/schema/table_schema.h"
#include "common/sql/dml.h"
#include "executive/testing/faulty_connection.h"
#include "executive/testing/log_capture.h"
#include "executive/testing/manual_clock.h"
#include "executive/testing/test_ctldb.h"

namespace ctlstore::executive {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
const TableName kTowns = {"geo", "towns"};

absl::Time Soon() { return absl::Now() + absl::Seconds(30); }

// Whether it becomes true before long.
bool Eventually(const std::function<bool()>& condition) {
  const absl::Time end = absl::Now() + absl::Minutes(1);
  while (!condition()) {
    if (absl::Now() > end) return false;
    absl::SleepFor(absl::Milliseconds(2));
  }
  return true;
}

// One executive's book.
struct Book {
  Book(const TestCtldb& ctldb, const LimitBook::Options& options, Clock* clock,
       const Faults* faults = nullptr)
      : metrics(&registry),
        pool(
            [&ctldb, faults]() -> absl::StatusOr<std::unique_ptr<ctldb::Connection>> {
              if (faults == nullptr) return ctldb.Connect();
              absl::Status status = faults->open ? faults->open() : absl::OkStatus();
              if (!status.ok()) return status;
              return WithFaults(ctldb.Connect(), faults);
            },
            2),
        book(options, &pool, clock, &metrics) {}

  // The gauge or counter with these labels, as "name label=value".
  std::map<std::string, double> Metrics(absl::string_view name) const {
    std::map<std::string, double> values;
    for (const prometheus::MetricFamily& family : registry.Collect()) {
      if (family.name != name) continue;
      for (const prometheus::ClientMetric& metric : family.metric) {
        std::string labels;
        for (const auto& label : metric.label) {
          absl::StrAppend(&labels, labels.empty() ? "" : " ", label.name, "=", label.value);
        }
        values[labels] = metric.gauge.value + metric.counter.value;
      }
    }
    return values;
  }

  prometheus::Registry registry;
  ExecutiveMetrics metrics;
  ctldb::ConnectionPool pool;
  LimitBook book;
};

class LimitBookTest : public ::testing::TestWithParam<TestCtldb::Kind> {
 protected:
  LimitBookTest()
      : ctldb_(GetParam()),
        connection_(ctldb_.Connect()),
        clock_(absl::FromUnixSeconds(1700000000)) {}

  // Makes the table with some rows and returns its size.
  int64_t MakeTowns() {
    absl::StatusOr<TableSchema> schema = TableSchema::Create(
        "geo", "towns", {{"id", FieldType::kInteger}, {"t", FieldType::kText}}, {"id"});
    EXPECT_TRUE(connection_->Execute(connection_->dialect().CreateTable(*schema)).ok());
    EXPECT_TRUE(connection_->BeginWrite().ok());
    const std::string text(1000, 'x');
    for (int i = 0; i < 100; ++i) {
      EXPECT_TRUE(connection_->Execute(sql::UpsertSql(*schema), {i, text}).ok());
    }
    EXPECT_TRUE(connection_->Commit().ok());
    if (GetParam() == TestCtldb::Kind::kMariadb) {
      EXPECT_TRUE(connection_
                      ->Query("ANALYZE TABLE geo___towns", {},
                              [](absl::Span<const ValueView>) { return absl::OkStatus(); })
                      .ok());
    }
    return (*ctldb::MeasureTableSizes(connection_.get()))[kTowns];
  }

  void Limit(int64_t warn_bytes, int64_t max_bytes) {
    ASSERT_TRUE(ctldb::SetTableLimit(connection_.get(), {kTowns, {warn_bytes, max_bytes}}).ok());
  }

  void Limit(const std::string& writer, int64_t rows_per_minute) {
    ASSERT_TRUE(ctldb::SetWriterLimit(connection_.get(), {writer, rows_per_minute}).ok());
  }

  TestCtldb ctldb_;
  std::unique_ptr<ctldb::Connection> connection_;
  ManualClock clock_;
  LimitBook::Options options_;
};

INSTANTIATE_TEST_SUITE_P(BothKinds, LimitBookTest,
                         ::testing::Values(TestCtldb::Kind::kSqlite, TestCtldb::Kind::kMariadb),
                         [](const ::testing::TestParamInfo<TestCtldb::Kind>& info) {
                           return KindName(info.param);
                         });

TEST_P(LimitBookTest, GivesTheDefaultsToWhoHasNoLimitOfItsOwn) {
  const int64_t size = MakeTowns();
  options_.default_table_limit = {1, size};
  options_.default_writer_rows = 17;
  Book book(ctldb_, options_, &clock_);
  Limit("exporter", 5);
  ASSERT_TRUE(book.book.Refresh(Soon()).ok());
  EXPECT_EQ(book.book.RowsPerPeriod("importer"), 17);
  EXPECT_EQ(book.book.RowsPerPeriod("exporter"), 5);
  EXPECT_EQ(book.book.RowsPerPeriod("Exporter"), 17);
  EXPECT_EQ(ErrorReason(book.book.CheckTableSize(kTowns)), reason::kTableFull);
  EXPECT_TRUE(book.book.CheckTableSize({"geo", "rivers"}).ok());
}

TEST_P(LimitBookTest, RefusesATableFromItsMaximumOn) {
  const int64_t size = MakeTowns();
  Book book(ctldb_, options_, &clock_);
  ASSERT_TRUE(book.book.Refresh(Soon()).ok());
  EXPECT_TRUE(book.book.CheckTableSize(kTowns).ok());

  Limit(1, size + 1);
  ASSERT_TRUE(book.book.Refresh(Soon()).ok());
  EXPECT_TRUE(book.book.CheckTableSize(kTowns).ok());

  for (const int64_t max : {size, size - 1, int64_t{1}}) {
    Limit(1, max);
    ASSERT_TRUE(book.book.RefreshLimits(Soon()).ok());
    absl::Status status = book.book.CheckTableSize(kTowns);
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
    EXPECT_EQ(ErrorReason(status), reason::kTableFull);
    EXPECT_THAT(status.message(), HasSubstr(absl::StrCat("takes ", size, " bytes")));
    EXPECT_THAT(status.message(), HasSubstr(absl::StrCat("maximum is ", max, ":")));
    EXPECT_THAT(status.message(), HasSubstr("table towns of the family geo"));
  }

  ASSERT_TRUE(ctldb::DeleteTableLimit(connection_.get(), kTowns).ok());
  ASSERT_TRUE(book.book.RefreshLimits(Soon()).ok());
  EXPECT_TRUE(book.book.CheckTableSize(kTowns).ok());
}

TEST_P(LimitBookTest, LogsATableOnceEachTimeItComesToALimit) {
  const int64_t size = MakeTowns();
  Limit(size + 1, size + 2);
  Book book(ctldb_, options_, &clock_);
  LogCapture log;
  const auto refresh_with = [&](int64_t warn, int64_t max) {
    Limit(warn, max);
    ASSERT_TRUE(book.book.Refresh(Soon()).ok());
    ASSERT_TRUE(book.book.Refresh(Soon()).ok());
  };
  const std::string kNear = "event=table_nearly_full family=geo table=towns";
  const std::string kFull = "event=table_full family=geo table=towns";
  refresh_with(size + 1, size + 2);
  EXPECT_THAT(log.Lines(kNear), IsEmpty());
  refresh_with(size, size + 2);
  EXPECT_THAT(log.Lines(kNear), ElementsAre(absl::StrCat(kNear, " bytes=", size, " warn_bytes=",
                                                         size, " max_bytes=", size + 2)));
  refresh_with(size + 1, size + 2);
  EXPECT_THAT(log.Lines(kNear), SizeIs(1));
  refresh_with(size - 1, size + 2);
  EXPECT_THAT(log.Lines(kNear), SizeIs(2));
  EXPECT_THAT(log.Lines(kFull), IsEmpty());
  refresh_with(size - 1, size);
  refresh_with(size - 1, size + 2);
  EXPECT_THAT(log.Lines(kNear), SizeIs(2));
  EXPECT_THAT(log.Lines(kFull), SizeIs(1));
}

TEST_P(LimitBookTest, ShowsTablesWithTheirLimitsAsLongAsTheyAreThere) {
  const int64_t size = MakeTowns();
  Limit(7, 8);
  Book book(ctldb_, options_, &clock_);
  ASSERT_TRUE(book.book.Refresh(Soon()).ok());
  const std::string kLabels = "family=geo table=towns";
  const auto metrics = [&](absl::string_view name) {
    return book.Metrics(absl::StrCat("ctlstore_executive_table_", name));
  };
  EXPECT_THAT(metrics("bytes"), ElementsAre(std::pair(kLabels, static_cast<double>(size))));
  EXPECT_THAT(metrics("warn_bytes"), ElementsAre(std::pair(kLabels, 7.0)));
  EXPECT_THAT(metrics("max_bytes"), ElementsAre(std::pair(kLabels, 8.0)));
  Limit(9, 10);
  ASSERT_TRUE(book.book.RefreshLimits(Soon()).ok());
  EXPECT_THAT(metrics("warn_bytes"), ElementsAre(std::pair(kLabels, 9.0)));
  EXPECT_EQ(ErrorReason(book.book.CheckTableSize(kTowns)), reason::kTableFull);
  ASSERT_TRUE(connection_->Execute("DROP TABLE geo___towns").ok());
  ASSERT_TRUE(book.book.Refresh(Soon()).ok());
  EXPECT_THAT(metrics("bytes"), IsEmpty());
  EXPECT_THAT(metrics("warn_bytes"), IsEmpty());
  EXPECT_THAT(metrics("max_bytes"), IsEmpty());
  EXPECT_TRUE(book.book.CheckTableSize(kTowns).ok());
}

TEST_P(LimitBookTest, FollowsWhatOthersChangeWithoutBeingTold) {
  options_.default_table_limit = {1, 2};
  Book one(ctldb_, options_, &clock_);
  Book two(ctldb_, options_, &clock_);
  ASSERT_TRUE(one.book.Refresh(Soon()).ok());
  ASSERT_TRUE(two.book.Refresh(Soon()).ok());

  // Time goes on until a thread that sleeps has woken up.
  const auto after_a_while = [&](const std::function<bool()>& condition) {
    return Eventually([&] {
      if (condition()) return true;
      clock_.Advance(options_.limits_refresh);
      return false;
    });
  };
  Limit("importer", 5);
  ASSERT_TRUE(one.book.RefreshLimits(Soon()).ok());
  EXPECT_EQ(one.book.RowsPerPeriod("importer"), 5);
  EXPECT_TRUE(after_a_while([&] { return two.book.RowsPerPeriod("importer") == 5; }));

  MakeTowns();
  EXPECT_TRUE(after_a_while([&] {
    return !one.book.CheckTableSize(kTowns).ok() && !two.book.CheckTableSize(kTowns).ok();
  }));
  Limit(1, kMost);
  EXPECT_TRUE(after_a_while([&] {
    return one.book.CheckTableSize(kTowns).ok() && two.book.CheckTableSize(kTowns).ok();
  }));

  // Also when the time of day was set back by hours.
  clock_.Set(clock_.Now() - absl::Hours(5));
  Limit("importer", 6);
  EXPECT_TRUE(after_a_while([&] { return two.book.RowsPerPeriod("importer") == 6; }));
}

TEST_P(LimitBookTest, ReadsTheLimitsAsSoonAsItIsThere) {
  Limit("importer", 5);
  Book book(ctldb_, options_, &clock_);
  EXPECT_TRUE(Eventually([&] { return book.book.RowsPerPeriod("importer") == 5; }));
}

TEST_P(LimitBookTest, ScalesRowsAMinuteToThePeriod) {
  struct Case {
    int64_t rows_per_minute;
    absl::Duration period;
    int64_t expected;
  };
  const Case kCases[] = {
      {60, absl::Minutes(1), 60},        {1, absl::Minutes(1), 1},
      {59, absl::Seconds(1), 1},  // at least 1
      {60, absl::Seconds(1), 1},         {119, absl::Seconds(1), 1},
      {120, absl::Seconds(1), 2},        {7, absl::Seconds(90), 10},
      {100, absl::Hours(1), 6000},       {kMost, absl::Minutes(1), kMost},
      {kMost, absl::Hours(1), kMost},    {kMost, absl::Seconds(30), kMost / 2},
      {60, absl::Milliseconds(1999), 1},  // whole seconds
      {120, absl::Milliseconds(10), 2},   // at least one
      {0, absl::Minutes(1), 0},           // by hand
      {-5, absl::Minutes(1), 0},
  };
  for (const Case& c : kCases) {
    SCOPED_TRACE(absl::StrCat(c.rows_per_minute, " ", absl::FormatDuration(c.period)));
    options_.writer_period = c.period;
    Book book(ctldb_, options_, &clock_);
    Limit("importer", c.rows_per_minute);
    ASSERT_TRUE(book.book.Refresh(Soon()).ok());
    EXPECT_EQ(book.book.RowsPerPeriod("importer"), c.expected);
    EXPECT_EQ(book.book.RowsPerPeriod("other"), options_.default_writer_rows);
  }
}

TEST_P(LimitBookTest, LimitsNobodyWhereTheDefaultIsZero) {
  Limit("importer", 5);
  options_.default_writer_rows = 0;
  Book book(ctldb_, options_, &clock_);
  ASSERT_TRUE(book.book.Refresh(Soon()).ok());
  EXPECT_EQ(book.book.RowsPerPeriod("importer"), absl::nullopt);
  EXPECT_EQ(book.book.RowsPerPeriod("other"), absl::nullopt);
}

TEST_P(LimitBookTest, KnowsWhenPeriodsBegin) {
  options_.writer_period = absl::Minutes(1);
  Book book(ctldb_, options_, &clock_);
  const auto start = [&](absl::Duration since_epoch) {
    return absl::ToInt64Seconds(book.book.PeriodStart(absl::UnixEpoch() + since_epoch) -
                                absl::UnixEpoch());
  };
  EXPECT_EQ(start(absl::Seconds(120)), 120);
  EXPECT_EQ(start(absl::Seconds(180) - absl::Nanoseconds(1)), 120);
  EXPECT_EQ(start(absl::Seconds(120) - absl::Nanoseconds(1)), 60);
  EXPECT_EQ(start(absl::ZeroDuration()), 0);
  EXPECT_EQ(start(-absl::Nanoseconds(1)), -60);
}

TEST_P(LimitBookTest, ToleratesACtldbThatIsAway) {
  std::atomic<bool> away = true;
  Faults faults;
  const auto fail = [&away]() -> absl::Status {
    if (!away) return absl::OkStatus();
    return ErrorWithReason(absl::StatusCode::kUnavailable, reason::kCtldbUnavailable, "away");
  };
  faults.open = fail;
  faults.statement = [&fail](absl::string_view) { return fail(); };
  const int64_t size = MakeTowns();
  Limit(1, size);
  Limit("importer", 5);
  LogCapture log;
  Book book(ctldb_, options_, &clock_, &faults);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(ErrorReason(book.book.Refresh(Soon())), reason::kCtldbUnavailable);
  }
  EXPECT_TRUE(book.book.CheckTableSize(kTowns).ok());
  EXPECT_EQ(book.book.RowsPerPeriod("importer"), options_.default_writer_rows);

  away = false;
  ASSERT_TRUE(book.book.Refresh(Soon()).ok());
  EXPECT_FALSE(book.book.CheckTableSize(kTowns).ok());
  EXPECT_EQ(book.book.RowsPerPeriod("importer"), 5);

  // What is known stays.
  away = true;
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(book.book.Refresh(Soon()).ok());
  EXPECT_FALSE(book.book.CheckTableSize(kTowns).ok());
  EXPECT_EQ(book.book.RowsPerPeriod("importer"), 5);

  for (const char* what : {"limits ", "table_sizes "}) {
    EXPECT_THAT(log.Lines(absl::StrCat("event=limits_not_read what=", what)), SizeIs(2));
  }
  EXPECT_THAT(log.Lines("event=limits_read_again what=table_sizes"), SizeIs(1));
  EXPECT_GE(book.Metrics("ctlstore_executive_ctldb_errors_total")["reason=CTLDB_UNAVAILABLE"], 12);
}

TEST_P(LimitBookTest, ForgetsOldUsageAndKeepsWhatMayStillCount) {
  const int64_t now = absl::ToUnixSeconds(clock_.Now()) / 60 * 60;
  for (const int64_t age : {0, 60, 3600, 2 * 3600, 24 * 3600}) {
    ASSERT_TRUE(ctldb::AddWriterUsage(connection_.get(), now - age, {{"importer", 1}}).ok());
  }
  Book book(ctldb_, options_, &clock_);
  const auto buckets = [&] {
    std::vector<int64_t> ages;
    EXPECT_TRUE(connection_
                    ->Query("SELECT bucket FROM writer_usage ORDER BY bucket DESC", {},
                            [&](absl::Span<const ValueView> row) {
                              ages.push_back(now - row[0].integer());
                              return absl::OkStatus();
                            })
                    .ok());
    return ages;
  };
  EXPECT_TRUE(Eventually([&] { return buckets().size() < 5; }));
  EXPECT_THAT(buckets(), ElementsAre(0, 60, 3600));
  // And again as time goes on.
  EXPECT_TRUE(Eventually([&] {
    clock_.Advance(absl::Minutes(1));
    return buckets().size() < 3;
  }));
}

TEST_P(LimitBookTest, WarnsOfAWriterOnceInEachPeriodBeforeItIsRefused) {
  Book book(ctldb_, options_, &clock_);
  LogCapture log;
  const std::string kLine = "event=writer_near_limit writer=\"importer\"";
  const auto nearest = [&] {
    return book.Metrics("ctlstore_executive_nearest_writer_rate_ratio")[""];
  };
  const absl::Time period = book.book.PeriodStart(clock_.Now());
  book.book.NoteUsage("importer", period, 79, 100);
  book.book.NoteUsage("exporter", period, 10, 100);
  EXPECT_THAT(log.Lines("event=writer_near_limit"), IsEmpty());
  EXPECT_DOUBLE_EQ(nearest(), 0.79);
  book.book.NoteUsage("importer", period, 80, 100);
  book.book.NoteUsage("importer", period, 95, 100);
  EXPECT_THAT(log.Lines(kLine), ElementsAre(kLine + " rows=80 limit=100 period=1m"));
  EXPECT_DOUBLE_EQ(nearest(), 0.95);
  book.book.NoteUsage("exporter", period, 100, 100);
  book.book.NoteUsage("a \"b\"\n\xFF", period, 300, 100);
  EXPECT_THAT(log.Lines("event=writer_near_limit"), SizeIs(3));
  EXPECT_THAT(log.Lines("writer=\"a \\\"b\\\"\\n"), SizeIs(1));
  EXPECT_DOUBLE_EQ(nearest(), 1);

  book.book.NoteUsage("importer", period + absl::Minutes(1), 90, 100);
  EXPECT_THAT(log.Lines(kLine), SizeIs(2));
  EXPECT_DOUBLE_EQ(nearest(), 0.9);
  // Nobody has written anything in a later period.
  clock_.Advance(absl::Minutes(2));
  EXPECT_TRUE(Eventually([&] { return nearest() == 0; }));
}

TEST_P(LimitBookTest, EndsAtOnce) {
  options_.limits_refresh = absl::Hours(24);
  options_.sizes_refresh = absl::Hours(24);
  Book book(ctldb_, options_, Clock::Real());
  EXPECT_TRUE(book.book.Refresh(Soon()).ok());
}

}  // namespace
}  // namespace ctlstore::executive
