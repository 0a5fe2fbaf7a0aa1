// What a reflector does when something is not as it should be, from a real ctldb to real local
// databases.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/ldb/change_feed.h"
#include "common/ldb/reader.h"
#include "reflector/reflector_runner.h"
#include "reflector/runner_test_base.h"

namespace ctlstore::reflector {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class RecoveryTest : public ReflectorRunnerTestBase {
 protected:
  bool Reaches(ReplicationState state, size_t ldb = 0) {
    return Eventually([&] { return runner_->Status()[ldb].state == state; });
  }

  void Execute(const std::string& sql) {
    const auto lease = Lease();
    ASSERT_TRUE(lease.ok()) << lease.status();
    const auto changed = (*lease)->Execute(sql);
    ASSERT_TRUE(changed.ok()) << changed.status();
  }

  // A table with `rows` rows, in the ledger only; it begins with `first`.
  int64_t AppendTable(int64_t first, const std::string& family, int rows) {
    AppendRaw(first,
              absl::StrCat("CREATE TABLE ", family, "___tbl (\"a\" INTEGER, PRIMARY KEY(\"a\"));"));
    for (int i = 1; i <= rows; ++i) {
      AppendRaw(first + i, absl::StrCat("REPLACE INTO ", family, "___tbl (\"a\") VALUES(", i, ")"));
    }
    return first + rows;
  }
};

INSTANTIATE_TEST_SUITE_P(Ctldbs, RecoveryTest,
                         ::testing::Values(ctldb::Target::Kind::kSqlite,
                                           ctldb::Target::Kind::kMariadb),
                         [](const auto& info) {
                           return info.param == ctldb::Target::Kind::kSqlite ? "Sqlite" : "Mariadb";
                         });

// Reads all the time as an application does; everything has to be there, and never older.
class SteadyReader {
 public:
  SteadyReader(std::string path, std::string family, size_t rows)
      : path_(std::move(path)), family_(std::move(family)), rows_(rows) {
    thread_ = std::thread([this] { Run(); });
  }
  ~SteadyReader() {
    stop_ = true;
    thread_.join();
  }
  bool Reads(int64_t more) {
    const int64_t until = reads_ + more;
    return Eventually([&] { return reads_ >= until; });
  }

 private:
  void Run() {
    ldb::Reader reader(path_);
    int64_t last = 0;
    while (!stop_) {
      const auto position = reader.GetPosition();
      ASSERT_TRUE(position.ok()) << position.status();
      ASSERT_GE(position->applied_sequence, last);
      last = position->applied_sequence;
      size_t rows = 0;
      ldb::RowIterator iterator = reader.ListRows(family_, "tbl", {});
      while (iterator.Next()) ++rows;
      ASSERT_TRUE(iterator.status().ok()) << iterator.status();
      ASSERT_EQ(rows, rows_);
      ++reads_;
    }
  }

  const std::string path_;
  const std::string family_;
  const size_t rows_;
  std::atomic<bool> stop_{false};
  std::atomic<int64_t> reads_{0};
  std::thread thread_;
};

TEST_P(RecoveryTest, ReadersReadOnWhileTheFamiliesChange) {
  OpenCtldb();
  const int64_t middle = AppendTable(1, "geo", 20);
  AppendTable(middle + 1, "other", 20);
  StartReflector();
  WaitUntilApplied();
  EXPECT_THAT(LdbRows("other", "tbl"), SizeIs(20));
  {
    SteadyReader reader(ldb_path_, "geo", 20);
    ASSERT_TRUE(reader.Reads(10));
    for (int i = 0; i < 4; ++i) {
      runner_->Stop();
      options_.ldbs[0].families =
          i % 2 == 0 ? std::vector<std::string>{"geo"} : std::vector<std::string>{};
      StartReflector();
      ASSERT_TRUE(Reaches(ReplicationState::kCurrent));
      EXPECT_EQ(ldb::Reader(ldb_path_).GetTable("other", "tbl").ok(), i % 2 == 1);
      ASSERT_TRUE(reader.Reads(10));
    }
  }
  EXPECT_THAT(Status().families, IsEmpty());
  EXPECT_THAT(LdbRows("other", "tbl"), SizeIs(20));
}

TEST_P(RecoveryTest, ReadersReadOnWhileAnOperatorHasItRebuilt) {
  OpenCtldb();
  AppendTable(1, "geo", 30);
  StartReflector();
  WaitUntilApplied();
  ASSERT_TRUE(Reaches(ReplicationState::kCurrent));
  SteadyReader reader(ldb_path_, "geo", 30);
  const std::string address = ServeMetrics();
  for (int i = 1; i <= 3; ++i) {
    ASSERT_TRUE(reader.Reads(10));
    ASSERT_TRUE(runner_->Rebuild(ldb_path_).ok());
    ASSERT_TRUE(
        Eventually([&] { return Scrape(address, "ctlstore_reflector_rebuilds_total") == i; }));
    ASSERT_TRUE(Reaches(ReplicationState::kCurrent));
    ASSERT_TRUE(reader.Reads(10));
  }
  EXPECT_EQ(Status().applied_sequence, last_sequence_);
  EXPECT_EQ(Status().rebuild_reason, "");
}

TEST_P(RecoveryTest, AnotherLedgerIsPlayedFromItsBeginning) {
  OpenCtldb();
  AppendTable(1, "geo", 10);
  StartReflector();
  WaitUntilApplied();
  ASSERT_TRUE(Reaches(ReplicationState::kCurrent));
  // The ctldb was restored, and went on in another way.
  Execute("DELETE FROM ctlstore_dml_ledger WHERE seq > 6");
  ASSERT_TRUE(Reaches(ReplicationState::kLedgerBehind));
  EXPECT_THAT(LdbRows("geo", "tbl"), SizeIs(10));
  for (int i = 7; i <= 15; ++i) {
    AppendRaw(i, absl::StrCat("REPLACE INTO geo___tbl (\"a\") VALUES(", 1000 + i, ")"));
  }
  ASSERT_TRUE(Reaches(ReplicationState::kCurrent));
  EXPECT_EQ(Status().applied_sequence, 15);
  const std::vector<std::string> rows = LdbRows("geo", "tbl");
  EXPECT_THAT(rows, SizeIs(14));
  EXPECT_EQ(rows.back(), "integer 1015");
}

TEST_P(RecoveryTest, ALedgerThatWasRestoredIsTakenAsItIsWhereAnOperatorSaysSo) {
  OpenCtldb();
  AppendTable(1, "geo", 10);
  StartReflector();
  WaitUntilApplied();
  Execute("DELETE FROM ctlstore_dml_ledger WHERE seq > 6");
  ASSERT_TRUE(Reaches(ReplicationState::kLedgerBehind));
  ASSERT_TRUE(runner_->Rebuild("").ok());
  ASSERT_TRUE(Reaches(ReplicationState::kCurrent));
  EXPECT_EQ(Status().applied_sequence, 6);
  EXPECT_THAT(LdbRows("geo", "tbl"), SizeIs(5));
}

TEST_P(RecoveryTest, APrunedLedgerNeedsASnapshotAndIsServedAsItWas) {
  OpenCtldb();
  AppendTable(1, "geo", 10);
  StartReflector();
  WaitUntilApplied();
  runner_->Stop();
  last_sequence_ = AppendTable(12, "other", 10);
  Execute("DELETE FROM ctlstore_dml_ledger WHERE seq < 15");
  StartReflector();
  ASSERT_TRUE(Reaches(ReplicationState::kNeedsSnapshot));
  EXPECT_FALSE(runner_->Readiness().ok());
  EXPECT_THAT(LdbRows("geo", "tbl"), SizeIs(10));
  EXPECT_EQ(Status().applied_sequence, 11);
}

TEST_P(RecoveryTest, ARebuildThatCannotBeIsGivenUp) {
  OpenCtldb();
  AppendTable(1, "geo", 10);
  StartReflector();
  WaitUntilApplied();
  Execute("DELETE FROM ctlstore_dml_ledger WHERE seq < 5");
  ASSERT_TRUE(runner_->Rebuild("").ok());
  ASSERT_TRUE(Eventually([&] { return !std::filesystem::exists(ldb_path_ + ".rebuild"); }));
  AppendRaw(12, "REPLACE INTO geo___tbl (\"a\") VALUES(12)");
  WaitUntilApplied();
  EXPECT_THAT(LdbRows("geo", "tbl"), SizeIs(11));
}

TEST_P(RecoveryTest, AnEntryThatFailsIsSkippedWhenAnOperatorSaysSo) {
  OpenCtldb();
  AppendRaw(1, "CREATE TABLE fam___tbl (\"a\" INTEGER, PRIMARY KEY(\"a\"));");
  AppendRaw(2, "this is no SQL");
  AppendRaw(3, "REPLACE INTO fam___tbl (\"a\") VALUES(3)");
  StartReflector();
  ASSERT_TRUE(Reaches(ReplicationState::kEntryFailed));
  EXPECT_EQ(Status().failed_sequence, 2);
  EXPECT_EQ(runner_->SkipEntry("", 3).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(runner_->SkipEntry("/nowhere", 2).code(), absl::StatusCode::kNotFound);
  ASSERT_TRUE(runner_->SkipEntry(ldb_path_, 2).ok());
  WaitUntilApplied();
  ASSERT_TRUE(Reaches(ReplicationState::kCurrent));
  EXPECT_THAT(LdbRows("fam", "tbl"), ElementsAre("integer 3"));
  EXPECT_EQ(Status().skipped_entries, 1);
  EXPECT_EQ(Status().failed_sequence, absl::nullopt);
}

TEST_P(RecoveryTest, ABrokenTransactionStopsItAtItsMarker) {
  OpenCtldb();
  AppendRaw(1, "CREATE TABLE fam___tbl (\"a\" INTEGER, PRIMARY KEY(\"a\"));");
  AppendRaw(2, "--- BEGIN");
  AppendRaw(3, "REPLACE INTO fam___tbl (\"a\") VALUES(3)");
  StartReflector();
  // Its end may still come.
  ASSERT_TRUE(Reaches(ReplicationState::kCurrent));
  EXPECT_EQ(Status().applied_sequence, 1);
  EXPECT_THAT(LdbRows("fam", "tbl"), IsEmpty());
  // Somebody has begun another one instead.
  AppendRaw(4, "--- BEGIN");
  AppendRaw(5, "REPLACE INTO fam___tbl (\"a\") VALUES(5)");
  AppendRaw(6, "--- COMMIT");
  AppendRaw(7, "--- COMMIT");
  AppendRaw(8, "REPLACE INTO fam___tbl (\"a\") VALUES(8)");
  ASSERT_TRUE(Reaches(ReplicationState::kEntryFailed));
  EXPECT_EQ(Status().failed_sequence, 4);
  EXPECT_EQ(Status().applied_sequence, 1);
  ASSERT_TRUE(runner_->SkipEntry("", 4).ok());
  ASSERT_TRUE(Eventually([&] { return Status().failed_sequence == 7; }));
  EXPECT_THAT(LdbRows("fam", "tbl"), ElementsAre("integer 3", "integer 5"));
  ASSERT_TRUE(runner_->SkipEntry("", 7).ok());
  WaitUntilApplied();
  EXPECT_THAT(LdbRows("fam", "tbl"), ElementsAre("integer 3", "integer 5", "integer 8"));
}

TEST_P(RecoveryTest, LocalDatabasesDoNotWaitForOneAnother) {
  OpenCtldb();
  int64_t last = AppendTable(1, "geo", 5);
  AppendRaw(last + 1, "REPLACE INTO bad___nowhere (\"a\") VALUES(1)");
  AppendTable(last + 2, "other", 5);
  options_.ldbs = {{folder_ + "/all.db", {}, folder_ + "/changes"},
                   {folder_ + "/geo/ldb.db", {"geo"}, ""},
                   {folder_ + "/other.db", {"other"}, ""}};
  StartReflector();
  ASSERT_TRUE(Reaches(ReplicationState::kEntryFailed, 0));
  for (const size_t ldb : {1, 2}) ASSERT_TRUE(Reaches(ReplicationState::kCurrent, ldb));
  const std::vector<LdbStatus> statuses = runner_->Status();
  EXPECT_EQ(statuses[0].applied_sequence, last);
  EXPECT_EQ(statuses[0].changelog_path, folder_ + "/changes");
  for (const size_t ldb : {1, 2}) {
    EXPECT_EQ(statuses[ldb].applied_sequence, last_sequence_);
    EXPECT_TRUE(statuses[ldb].readiness.ok()) << statuses[ldb].readiness;
  }
  EXPECT_THAT(std::string(runner_->Readiness().message()), HasSubstr("all.db"));
  EXPECT_TRUE(ldb::Reader(folder_ + "/geo/ldb.db").GetTable("geo", "tbl").ok());
  EXPECT_FALSE(ldb::Reader(folder_ + "/geo/ldb.db").GetTable("other", "tbl").ok());
  // One has to be named.
  EXPECT_EQ(runner_->SkipEntry("", last + 1).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(runner_->SkipEntry(folder_ + "/other.db", last + 1).code(),
            absl::StatusCode::kFailedPrecondition);
  ASSERT_TRUE(runner_->SkipEntry(folder_ + "/all.db", last + 1).ok());
  ASSERT_TRUE(Reaches(ReplicationState::kCurrent, 0));
  EXPECT_TRUE(Eventually([&] { return runner_->Readiness().ok(); }));
  ldb_path_ = folder_ + "/all.db";
  EXPECT_THAT(LdbRows("other", "tbl"), SizeIs(5));
  std::ifstream changes(folder_ + "/changes");
  std::string line;
  int lines = 0;
  while (std::getline(changes, line)) ++lines;
  EXPECT_GE(lines, 10);
}

TEST_P(RecoveryTest, TheSameLdbCannotBeThereTwice) {
  options_.ldbs.push_back(options_.ldbs[0]);
  EXPECT_EQ(ReflectorRunner::Start(options_).status().code(), absl::StatusCode::kInvalidArgument);
  options_.ldbs.clear();
  EXPECT_EQ(ReflectorRunner::Start(options_).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_P(RecoveryTest, AnUpstreamThatIsAwayIsGoneOver) {
  OpenCtldb();
  AppendTable(1, "geo", 5);
  UpstreamTarget away;
  away.stream_address = "127.0.0.1:1";
  UpstreamTarget there;
  there.ctldb = options_.ctldb;
  options_.upstreams = {away, there};
  StartReflector();
  WaitUntilApplied();
  ASSERT_TRUE(Reaches(ReplicationState::kCurrent));
  EXPECT_EQ(Status().upstream, options_.ctldb.ToString());
}

TEST_P(RecoveryTest, AFileThatIsRemovedWhileNothingIsWrittenIsMadeAnew) {
  OpenCtldb();
  AppendTable(1, "geo", 5);
  StartReflector();
  WaitUntilApplied();
  std::filesystem::remove(ldb_path_);
  ASSERT_TRUE(Eventually([&] {
    const auto position = ldb::Reader(ldb_path_).GetPosition();
    return position.ok() && position->applied_sequence == last_sequence_;
  }));
  EXPECT_THAT(LdbRows("geo", "tbl"), SizeIs(5));
}

TEST_P(RecoveryTest, ChangesCanBeFollowedInTheProcess) {
  OpenCtldb();
  AppendTable(1, "geo", 5);
  StartReflector();
  WaitUntilApplied();
  const auto feed = runner_->Feed(ldb_path_);
  ASSERT_TRUE(feed.ok()) << feed.status();
  EXPECT_EQ(runner_->Feed("/nowhere").status().code(), absl::StatusCode::kNotFound);
  ldb::ChangeFeed::Place place;
  place.sequence = last_sequence_;
  AppendRaw(7, "REPLACE INTO geo___tbl (\"a\") VALUES(7)");
  const auto events = (*feed)->Read(&place, 10, absl::Now() + kPatience);
  ASSERT_TRUE(events.ok()) << events.status();
  ASSERT_THAT(*events, SizeIs(1));
  EXPECT_EQ((*events)[0]->sequence, 7);
  EXPECT_EQ(place.sequence, 7);
  // What was is not what is after a rebuild.
  ASSERT_TRUE(runner_->Rebuild("").ok());
  EXPECT_EQ((*feed)->Read(&place, 10, absl::Now() + kPatience).status().code(),
            absl::StatusCode::kOutOfRange);
}

}  // namespace
}  // namespace ctlstore::reflector
