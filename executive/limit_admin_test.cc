#include "executive/limit_admin.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <prometheus/registry.h>

#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "common/schema/errors.h"
#include "executive/testing/faulty_connection.h"
#include "executive/testing/manual_clock.h"
#include "executive/testing/test_ctldb.h"

namespace ctlstore::executive {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

absl::Time Soon() { return absl::Now() + absl::Seconds(30); }

class LimitAdminTest : public ::testing::TestWithParam<TestCtldb::Kind> {
 protected:
  LimitAdminTest()
      : ctldb_(GetParam()),
        clock_(absl::FromUnixSeconds(1700000000)),
        metrics_(&registry_),
        pool_([this] { return WithFaults(ctldb_.Connect(), &faults_); }, 1) {
    options_.default_table_limit = {100, 200};
    options_.default_writer_rows = 17;
    options_.writer_period = absl::Seconds(30);
    Start();
  }

  void Start() {
    admin_.reset();
    book_ = std::make_unique<LimitBook>(options_, &pool_, &clock_, &metrics_);
    admin_ = std::make_unique<LimitAdmin>(&pool_, book_.get());
  }

  TestCtldb ctldb_;
  Faults faults_;
  ManualClock clock_;
  prometheus::Registry registry_;
  ExecutiveMetrics metrics_;
  ctldb::ConnectionPool pool_;
  LimitBook::Options options_;
  std::unique_ptr<LimitBook> book_;
  std::unique_ptr<LimitAdmin> admin_;
};

INSTANTIATE_TEST_SUITE_P(BothKinds, LimitAdminTest,
                         ::testing::Values(TestCtldb::Kind::kSqlite, TestCtldb::Kind::kMariadb),
                         [](const ::testing::TestParamInfo<TestCtldb::Kind>& info) {
                           return KindName(info.param);
                         });

TEST_P(LimitAdminTest, KeepsLimitsOfTablesThatNeedNotBeThere) {
  TableLimits limits = *admin_->ListTableLimits(Soon());
  EXPECT_TRUE((limits.default_limit == ctldb::TableSizeLimit{100, 200}));
  EXPECT_THAT(limits.tables, IsEmpty());

  ASSERT_TRUE(admin_->SetTableLimit("Geo", "TOWNS", {1, 1}, Soon()).ok());
  ASSERT_TRUE(admin_->SetTableLimit("geo", "towns", {3, 4}, Soon()).ok());
  ASSERT_TRUE(admin_->SetTableLimit("geo", "rivers", {5, 6}, Soon()).ok());
  limits = *admin_->ListTableLimits(Soon());
  ASSERT_THAT(limits.tables, SizeIs(2));
  EXPECT_EQ(limits.tables[0].table.table, "rivers");
  EXPECT_EQ(limits.tables[1].table, (TableName{"geo", "towns"}));
  EXPECT_TRUE((limits.tables[1].limit == ctldb::TableSizeLimit{3, 4}));

  ASSERT_TRUE(admin_->DeleteTableLimit("GEO", "Towns", Soon()).ok());
  absl::Status status = admin_->DeleteTableLimit("geo", "towns", Soon());
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ErrorReason(status), reason::kLimitNotFound);
  EXPECT_THAT(admin_->ListTableLimits(Soon())->tables, SizeIs(1));
}

TEST_P(LimitAdminTest, KeepsWritersLimitsAsRowsAMinute) {
  WriterLimits limits = *admin_->ListWriterLimits(Soon());
  ASSERT_TRUE(limits.default_limit.has_value());
  EXPECT_EQ(limits.default_limit->rows, 17);
  EXPECT_EQ(limits.default_limit->period, absl::Seconds(30));
  EXPECT_THAT(limits.writers, IsEmpty());

  ASSERT_TRUE(admin_->SetWriterLimit("importer", {100, absl::Seconds(30)}, Soon()).ok());
  ASSERT_TRUE(admin_->SetWriterLimit("Importer", {1, absl::Hours(1)}, Soon()).ok());
  limits = *admin_->ListWriterLimits(Soon());
  ASSERT_THAT(limits.writers, SizeIs(2));
  EXPECT_EQ(limits.writers[0].writer, "Importer");
  EXPECT_EQ(limits.writers[0].rows_per_minute, 1);
  EXPECT_EQ(limits.writers[1].rows_per_minute, 200);
  // Without waiting for the book's next look.
  EXPECT_EQ(book_->RowsPerPeriod("importer"), 100);

  ASSERT_TRUE(admin_->DeleteWriterLimit("importer", Soon()).ok());
  EXPECT_EQ(book_->RowsPerPeriod("importer"), 17);
  EXPECT_EQ(book_->RowsPerPeriod("Importer"), 1);
  EXPECT_EQ(ErrorReason(admin_->DeleteWriterLimit("importer", Soon())), reason::kLimitNotFound);
}

TEST_P(LimitAdminTest, SaysWhereWritersAreNotLimited) {
  options_.default_writer_rows = 0;
  Start();
  EXPECT_FALSE(admin_->ListWriterLimits(Soon())->default_limit.has_value());
}

TEST_P(LimitAdminTest, RefusesWhatIsWrongAndNamesIt) {
  const auto expect = [](const absl::Status& status, absl::string_view field) {
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_EQ(ErrorField(status), field) << status;
  };
  const absl::Duration minute = absl::Minutes(1);
  expect(admin_->SetTableLimit("g!", "towns", {1, 2}, Soon()), "family");
  expect(admin_->SetTableLimit("geo", "to__wns", {1, 2}, Soon()), "table");
  expect(admin_->SetTableLimit("geo", "towns", {0, 2}, Soon()), "limit.warn_bytes");
  expect(admin_->SetTableLimit("geo", "towns", {1, 0}, Soon()), "limit.max_bytes");
  expect(admin_->SetTableLimit("geo", "towns", {2, 1}, Soon()), "limit.warn_bytes");
  expect(admin_->DeleteTableLimit("", "towns", Soon()), "family");
  expect(admin_->DeleteTableLimit("geo", "", Soon()), "table");
  expect(admin_->SetWriterLimit("ab", {1, minute}, Soon()), "writer");
  expect(admin_->SetWriterLimit("importer", {0, minute}, Soon()), "limit.rows");
  expect(admin_->SetWriterLimit("importer", {1, -minute}, Soon()), "limit.period");
  expect(admin_->DeleteWriterLimit(std::string(51, 'x'), Soon()), "writer");
  EXPECT_THAT(admin_->ListTableLimits(Soon())->tables, IsEmpty());
  EXPECT_THAT(admin_->ListWriterLimits(Soon())->writers, IsEmpty());
}

TEST_P(LimitAdminTest, PassesTheCtldbsErrorsOn) {
  const absl::Status away =
      ErrorWithReason(absl::StatusCode::kUnavailable, reason::kCtldbUnavailable, "away");
  ASSERT_TRUE(book_->Refresh(Soon()).ok());
  book_.reset();
  faults_.statement = [&away](absl::string_view) { return away; };
  Start();
  const auto expect = [](const absl::Status& status) {
    EXPECT_EQ(ErrorReason(status), reason::kCtldbUnavailable) << status;
  };
  expect(admin_->ListTableLimits(Soon()).status());
  expect(admin_->SetTableLimit("geo", "towns", {1, 2}, Soon()));
  expect(admin_->DeleteTableLimit("geo", "towns", Soon()));
  expect(admin_->ListWriterLimits(Soon()).status());
  expect(admin_->SetWriterLimit("importer", {1, absl::Minutes(1)}, Soon()));
  expect(admin_->DeleteWriterLimit("importer", Soon()));
}

TEST_P(LimitAdminTest, HasSucceededWhenTheChangeIsMade) {
  book_.reset();
  // The book cannot read it back.
  faults_.statement = [](absl::string_view statement) {
    if (statement.substr(0, 6) != "SELECT") return absl::OkStatus();
    return ErrorWithReason(absl::StatusCode::kUnavailable, reason::kCtldbUnavailable, "away");
  };
  Start();
  EXPECT_TRUE(admin_->SetWriterLimit("importer", {1, absl::Minutes(1)}, Soon()).ok());
  EXPECT_TRUE(admin_->SetTableLimit("geo", "towns", {1, 2}, Soon()).ok());
}

}  // namespace
}  // namespace ctlstore::executive
