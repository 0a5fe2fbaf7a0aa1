// The reflector from a real ctldb to a real local database.

#include "reflector/reflector_runner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/ctldb/schema_changer.h"
#include "common/ldb/reader.h"
#include "common/rpc/testing/scrape.h"
#include "reflector/runner_test_base.h"

namespace ctlstore::reflector {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class ReflectorRunnerTest : public ReflectorRunnerTestBase {};

INSTANTIATE_TEST_SUITE_P(Ctldbs, ReflectorRunnerTest,
                         ::testing::Values(ctldb::Target::Kind::kSqlite,
                                           ctldb::Target::Kind::kMariadb),
                         [](const auto& info) {
                           return info.param == ctldb::Target::Kind::kSqlite ? "Sqlite" : "Mariadb";
                         });

TEST_P(ReflectorRunnerTest, TheLdbSaysTheSameAsTheCtldb) {
  OpenCtldb();
  CreatePlaces();
  WritePlaces("it's \\ \xF0\x9F\x98\x80", 30, "name");
  WritePlaces("b", 1, "");
  StartReflector();
  WaitUntilApplied();
  ExpectSameRows();
  EXPECT_EQ(Status().applied_sequence, last_sequence_);
  EXPECT_EQ(runner_->ledger_gaps(), 0);
}

TEST_P(ReflectorRunnerTest, ChangesArriveWhileItRuns) {
  OpenCtldb();
  StartReflector();
  CreatePlaces();
  WaitUntilApplied();
  for (int i = 0; i < 20; ++i) WritePlaces(absl::StrCat("c", i % 7), i % 5 + 1, absl::StrCat(i));
  const auto added =
      ctldb::SchemaChanger(pool_.get())
          .AddFields(Places().name(), {{"extra", FieldType::kString}}, absl::Now() + kPatience);
  ASSERT_TRUE(added.ok()) << added.status();
  last_sequence_ = *added;
  WaitUntilApplied();
  const auto schema = ldb::Reader(ldb_path_).GetTable("geo", "places");
  ASSERT_TRUE(schema.ok()) << schema.status();
  EXPECT_TRUE(schema->FindField("extra").has_value());
  EXPECT_EQ(LdbRows().size(), CtldbRows().size());
}

TEST_P(ReflectorRunnerTest, GoesOnWhereItStopped) {
  OpenCtldb();
  CreatePlaces();
  WritePlaces("a", 5, "first");
  StartReflector();
  WaitUntilApplied();
  runner_->Stop();
  WritePlaces("a", 3, "second");
  WritePlaces("b", 20, "second");
  StartReflector();
  WaitUntilApplied();
  ExpectSameRows();
}

TEST_P(ReflectorRunnerTest, WaitsForACtldbThatHasNoTablesYet) {
  StartReflector();
  ASSERT_TRUE(Eventually([&] { return Status().failures > 2; }));
  EXPECT_FALSE(Status().error.ok());
  OpenCtldb();
  CreatePlaces();
  WritePlaces("a", 5, "name");
  WaitUntilApplied();
  ExpectSameRows();
  EXPECT_TRUE(Eventually([&] { return Status().failures == 0; }));
  EXPECT_TRUE(Status().error.ok());
}

TEST_P(ReflectorRunnerTest, PlaysALedgerThatAGoExecutiveWrote) {
  OpenCtldb();
  AppendRaw(1,
            "CREATE TABLE fam___tbl (\"a\" VARCHAR(191), \"b\" INTEGER, \"c\" REAL, "
            "\"d\" BLOB, PRIMARY KEY(\"a\"));");
  AppendRaw(2, "REPLACE INTO fam___tbl (\"a\",\"b\",\"c\",\"d\") VALUES('x',1,1.500000,x'00FF')");
  AppendRaw(3, "--- BEGIN");
  AppendRaw(4, "REPLACE INTO fam___tbl (\"a\",\"b\",\"c\",\"d\") VALUES('it''s',true,NULL,NULL)");
  AppendRaw(5, "DELETE FROM fam___tbl WHERE \"a\" = 'x'");
  AppendRaw(6, "--- COMMIT");
  AppendRaw(7, "ALTER TABLE fam___tbl ADD COLUMN \"e\" TEXT");
  AppendRaw(8, "CREATE TABLE fam___gone (\"a\" INTEGER, PRIMARY KEY(\"a\"));");
  AppendRaw(9, "REPLACE INTO fam___gone (\"a\") VALUES(1)");
  AppendRaw(10, "DELETE FROM fam___gone");
  AppendRaw(11, "DROP TABLE IF EXISTS fam___gone");
  AppendRaw(12,
            "REPLACE INTO fam___tbl (\"a\",\"b\",\"c\",\"d\",\"e\") "
            "VALUES('y',-9223372036854775808,-0.25,x'','line\nline')");
  StartReflector();
  WaitUntilApplied();
  EXPECT_THAT(LdbRows("fam", "tbl"),
              ElementsAre("text it's|integer 1|null|null|null",
                          "text y|integer -9223372036854775808|decimal -0.25|bytes |"
                          "text line\nline"));
  EXPECT_EQ(ldb::Reader(ldb_path_).GetTable("fam", "gone").status().code(),
            absl::StatusCode::kNotFound);
  const auto position = ldb::Reader(ldb_path_).GetPosition();
  ASSERT_TRUE(position.ok()) << position.status();
  EXPECT_EQ(position->applied_sequence, 12);
  EXPECT_EQ(position->applied_entry_time,
            absl::FromCivil(absl::CivilSecond(2020, 2, 3, 4, 5, 6), absl::UTCTimeZone()));
}

TEST_P(ReflectorRunnerTest, AcceptsAndCountsAGapInTheLedger) {
  OpenCtldb();
  AppendRaw(1, "CREATE TABLE fam___tbl (\"a\" INTEGER, PRIMARY KEY(\"a\"));");
  AppendRaw(2, "REPLACE INTO fam___tbl (\"a\") VALUES(2)");
  AppendRaw(5, "REPLACE INTO fam___tbl (\"a\") VALUES(5)");
  AppendRaw(6, "REPLACE INTO fam___tbl (\"a\") VALUES(6)");
  StartReflector();
  WaitUntilApplied();
  EXPECT_THAT(LdbRows("fam", "tbl"), ElementsAre("integer 2", "integer 5", "integer 6"));
  EXPECT_TRUE(Eventually([&] { return runner_->ledger_gaps() == 1; }));
}

TEST_P(ReflectorRunnerTest, AStatementThatDoesNotRunIsNotSkipped) {
  OpenCtldb();
  AppendRaw(1, "CREATE TABLE fam___tbl (\"a\" INTEGER, PRIMARY KEY(\"a\"));");
  AppendRaw(2, "REPLACE INTO fam___nowhere (\"a\") VALUES(1)");
  AppendRaw(3, "REPLACE INTO fam___tbl (\"a\") VALUES(3)");
  StartReflector();
  ASSERT_TRUE(Eventually([&] { return Status().failures > 2; }));
  EXPECT_LT(Status().applied_sequence, 2);
  EXPECT_THAT(std::string(Status().error.message()), HasSubstr("ledger entry 2"));
  // Somebody mends the ledger: it goes on by itself.
  {
    const auto lease = Lease();
    ASSERT_TRUE(lease.ok()) << lease.status();
    const auto changed =
        (*lease)->Execute("UPDATE ctlstore_dml_ledger SET statement = ? WHERE seq = 2",
                          {"REPLACE INTO fam___tbl (\"a\") VALUES(2)"});
    ASSERT_TRUE(changed.ok()) << changed.status();
  }
  WaitUntilApplied();
  EXPECT_THAT(LdbRows("fam", "tbl"), ElementsAre("integer 2", "integer 3"));
}

TEST_P(ReflectorRunnerTest, ASecondReflectorOnTheSameLdbSaysWhoHasIt) {
  OpenCtldb();
  StartReflector();
  const auto second = ReflectorRunner::Start(options_);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kFailedPrecondition) << second.status();
  EXPECT_THAT(std::string(second.status().message()), HasSubstr(absl::StrCat(getpid())));
  // It is free again after an orderly end.
  runner_->Stop();
  StartReflector();
}

TEST_P(ReflectorRunnerTest, ADamagedLdbIsKeptAndBuiltAnew) {
  OpenCtldb();
  CreatePlaces();
  WritePlaces("a", 5, "name");
  const std::string garbage(8192, 'x');
  std::ofstream(ldb_path_) << garbage;
  StartReflector();
  ASSERT_TRUE(Eventually([&] { return Status().state == ReplicationState::kCurrent; }));
  WaitUntilApplied();
  ExpectSameRows();
  std::ifstream damaged(ldb_path_ + ".damaged");
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(damaged), {}), garbage);
}

TEST_P(ReflectorRunnerTest, TellsPrometheusHowItDoes) {
  OpenCtldb();
  CreatePlaces();
  WritePlaces("a", 5, "name");
  WritePlaces("b", 1, "name");
  StartReflector();
  const std::string address = ServeMetrics();
  ASSERT_TRUE(Eventually([&] {
    return Scrape(address, "ctlstore_reflector_caught_up") == 1 &&
           Scrape(address, "ctlstore_reflector_applied_sequence") == last_sequence_;
  }));
  const auto metrics = rpc::testing::Scrape(address);
  ASSERT_TRUE(metrics.ok()) << metrics.status();
  EXPECT_EQ(Metric(*metrics, "ctlstore_reflector_entries_applied_total"), last_sequence_);
  // The table, and two requests.
  EXPECT_EQ(Metric(*metrics, "ctlstore_reflector_transactions_applied_total"), 3);
  EXPECT_EQ(Metric(*metrics, "ctlstore_reflector_failures"), 0);
  EXPECT_EQ(Metric(*metrics, "ctlstore_reflector_ledger_gaps_total"), 0);
  EXPECT_GE(Metric(*metrics, "ctlstore_reflector_commits_total").value_or(0), 1);
  EXPECT_EQ(Metric(*metrics, "ctlstore_reflector_ready"), 1);
  EXPECT_EQ(Metric(*metrics, "ctlstore_reflector_lag_sequences"), 0);
  EXPECT_EQ(metrics->Get(absl::StrCat("ctlstore_reflector_state{ldb=\"", ldb_path_,
                                      "\",state=\"current\"}")),
            1);
  EXPECT_EQ(metrics->Get(absl::StrCat("ctlstore_reflector_upstream_info{ldb=\"", ldb_path_,
                                      "\",upstream=\"", options_.ctldb.ToString(), "\"}")),
            1);
  EXPECT_GT(Metric(*metrics, "ctlstore_reflector_apply_seconds_count").value_or(0), 0);
  EXPECT_GT(Metric(*metrics, "ctlstore_reflector_ldb_bytes").value_or(0), 0);
  EXPECT_GT(Metric(*metrics, "ctlstore_reflector_ldb_wal_bytes").value_or(0), 0);
  EXPECT_GE(Metric(*metrics, "ctlstore_reflector_lag_seconds").value_or(-1), 0);
  const double now = absl::ToDoubleSeconds(absl::Now() - absl::UnixEpoch());
  for (const char* time : {"ctlstore_reflector_last_success_timestamp_seconds",
                           "ctlstore_reflector_last_caught_up_timestamp_seconds"}) {
    const double seconds = Metric(*metrics, time).value_or(0);
    EXPECT_GT(seconds, now - absl::ToDoubleSeconds(kPatience)) << time;
    EXPECT_LE(seconds, now) << time;
  }
  // Nobody answers for a reflector that has ended.
  runner_->Stop();
  EXPECT_FALSE(rpc::testing::Ask(address, "/livez").ok());
}

TEST_P(ReflectorRunnerTest, IsReadyOnceItHasCaughtUp) {
  StartReflector();
  const std::string address = ServeMetrics();
  ASSERT_TRUE(Eventually([&] { return Status().failures > 0; }));
  EXPECT_EQ(runner_->Readiness().code(), absl::StatusCode::kUnavailable);
  auto answer = rpc::testing::Ask(address, "/readyz");
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->status, 503);
  EXPECT_THAT(answer->body, HasSubstr("has not caught up"));
  EXPECT_EQ(rpc::testing::ScrapeOne(address, "ctlstore_ready"), 0);
  EXPECT_EQ(Scrape(address, "ctlstore_reflector_caught_up"), 0);

  OpenCtldb();
  ASSERT_TRUE(Eventually([&] { return runner_->Readiness().ok(); }));
  answer = rpc::testing::Ask(address, "/readyz");
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->status, 200);
}

TEST_P(ReflectorRunnerTest, IsNotReadyWhenItFallsBehind) {
  options_.reflector.ready_within = absl::Milliseconds(500);
  OpenCtldb();
  AppendRaw(1, "CREATE TABLE fam___tbl (\"a\" INTEGER, PRIMARY KEY(\"a\"));");
  StartReflector();
  const std::string address = ServeMetrics();
  ASSERT_TRUE(Eventually([&] { return runner_->Readiness().ok(); }));
  AppendRaw(2, "REPLACE INTO fam___nowhere (\"a\") VALUES(1)");
  // It says what is in the way.
  ASSERT_TRUE(Eventually([&] {
    return absl::StrContains(runner_->Readiness().message(), "ledger entry 2");
  })) << runner_->Readiness();
  const auto metrics = rpc::testing::Scrape(address);
  ASSERT_TRUE(metrics.ok()) << metrics.status();
  EXPECT_EQ(metrics->Get("ctlstore_ready"), 0);
  EXPECT_EQ(Metric(*metrics, "ctlstore_reflector_caught_up"), 0);
  EXPECT_GE(Metric(*metrics, "ctlstore_reflector_failures").value_or(0), 1);
  const double errors = metrics
                            ->Get(absl::StrCat("ctlstore_reflector_errors_total{ldb=\"", ldb_path_,
                                               "\",reason=\"ENTRY_FAILED\",step=\"apply\"}"))
                            .value_or(0);
  EXPECT_GE(errors, 1) << Status().error;

  const auto lease = Lease();
  ASSERT_TRUE(lease.ok()) << lease.status();
  const auto changed =
      (*lease)->Execute("UPDATE ctlstore_dml_ledger SET statement = ? WHERE seq = 2",
                        {"REPLACE INTO fam___tbl (\"a\") VALUES(2)"});
  ASSERT_TRUE(changed.ok()) << changed.status();
  EXPECT_TRUE(Eventually([&] { return runner_->Readiness().ok(); }));
}

TEST_P(ReflectorRunnerTest, StopMayBeCalledAgain) {
  OpenCtldb();
  StartReflector();
  runner_->Stop();
  runner_->Stop();
  EXPECT_EQ(Status().applied_sequence, 0);
}

class ReflectorOnMariadbTest : public ReflectorRunnerTest {};

INSTANTIATE_TEST_SUITE_P(Ctldbs, ReflectorOnMariadbTest,
                         ::testing::Values(ctldb::Target::Kind::kMariadb),
                         [](const auto&) { return "Mariadb"; });

TEST_P(ReflectorOnMariadbTest, CatchesUpAfterTheServerWasAway) {
  OpenCtldb();
  CreatePlaces();
  WritePlaces("a", 10, "before");
  StartReflector();
  const std::string address = ServeMetrics();
  WaitUntilApplied();

  mariadb->server()->Stop();
  ASSERT_TRUE(Eventually([&] { return Status().failures > 1; }));
  EXPECT_EQ(Status().error.code(), absl::StatusCode::kUnavailable) << Status().error;
  EXPECT_GE(rpc::testing::ScrapeOne(
                address, absl::StrCat("ctlstore_reflector_errors_total{ldb=\"", ldb_path_,
                                      "\",reason=\"CTLDB_UNAVAILABLE\",step=\"read\"}"))
                .value_or(0),
            1);
  // What has arrived is read meanwhile.
  EXPECT_THAT(LdbRows(), SizeIs(10));

  const absl::Status restarted = mariadb->server()->Restart();
  ASSERT_TRUE(restarted.ok()) << restarted;
  ASSERT_TRUE(Eventually([&] { return TryWritePlaces("b", 50, "after").ok(); }));
  WaitUntilApplied();
  ExpectSameRows();
}

}  // namespace
}  // namespace ctlstore::reflector
