// Where a local database is in the ledger, and how an operator moves it past an entry.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "common/ldb/ldb_tables.h"
#include "common/ldb/ldb_test_util.h"
#include "common/ldb/ldb_writer.h"
#include "common/schema/errors.h"

namespace ctlstore::ldb {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr char kCreate[] =
    "CREATE TABLE fam___tbl (\"a\" VARCHAR(191), \"b\" INTEGER, PRIMARY KEY(\"a\"));";

std::string Upsert(absl::string_view a, int64_t b) {
  return absl::StrCat("REPLACE INTO fam___tbl (\"a\",\"b\") VALUES('", a, "',", b, ")");
}

class SetClock : public Clock {
 public:
  absl::Time Now() override {
    now_ += step_;
    return now_;
  }
  bool SleepOrStop(absl::Duration, absl::Notification*) override { return true; }
  // What passes between two looks.
  void set_step(absl::Duration step) { step_ = step; }

 private:
  absl::Time now_ = absl::FromUnixSeconds(1700000000);
  absl::Duration step_ = absl::ZeroDuration();
};

class LdbWriterPositionTest : public testing::Test {
 protected:
  Rows Table() { return QueryFile(path_, "SELECT a, b FROM fam___tbl ORDER BY a"); }
  Rows Skipped() { return QueryFile(path_, "SELECT seq, time, error FROM _ldb_skipped"); }

  TestFolder folder_;
  const std::string path_ = folder_.Path("ldb.db");
  TestLedger ledger_;
};

TEST_F(LdbWriterPositionTest, ThePositionHasTheDigestOfItsEntryAlsoAfterARestart) {
  std::unique_ptr<LdbWriter> writer = OpenWriter(path_);
  EXPECT_EQ(writer->applied_position(), LedgerPosition());
  EXPECT_EQ(writer->received_position(), LedgerPosition());
  ledger_.Add(kCreate);
  ledger_.Add(Upsert("x", 1));
  ledger_.Begin();
  ledger_.Add(Upsert("x", 2));
  ASSERT_TRUE(writer->Apply(ledger_.Take()).ok());
  EXPECT_EQ(writer->applied_position(), PositionAfter(ledger_.entries()[1]));
  EXPECT_EQ(writer->received_position(), PositionAfter(ledger_.entries()[3]));
  writer = nullptr;
  writer = OpenWriter(path_);
  EXPECT_EQ(writer->applied_position(), PositionAfter(ledger_.entries()[1]));
  EXPECT_EQ(writer->received_position(), PositionAfter(ledger_.entries()[1]));
  ledger_.Commit();
  ASSERT_TRUE(writer->Apply(ledger_.After(2)).ok());
  EXPECT_EQ(writer->applied_position(), PositionAfter(ledger_.entries()[4]));
  EXPECT_EQ(QueryFile(path_, "SELECT value FROM _ldb_state WHERE name = 'digest'")[0][0],
            Value::Bytes(writer->applied_position().digest));
}

TEST_F(LdbWriterPositionTest, ThereIsNoDigestOfWhatAGoReflectorHasApplied) {
  ledger_.Add(kCreate);
  ASSERT_TRUE(OpenWriter(path_)->Apply(ledger_.Take()).ok());
  // It knows of its own tables only.
  ASSERT_TRUE(OpenPlain(path_, /*read_only=*/false)
                  ->Execute("BEGIN; REPLACE INTO fam___tbl VALUES('x',1); REPLACE INTO _ldb_seq "
                            "VALUES(1,2); COMMIT")
                  .ok());
  std::unique_ptr<LdbWriter> writer = OpenWriter(path_);
  EXPECT_EQ(writer->applied_position(), (LedgerPosition{2, ""}));
  ASSERT_TRUE(writer->Apply({{3, "2024-01-01 00:00:00", Upsert("y", 1)}}).ok());
  EXPECT_EQ(writer->applied_position(), PositionAfter({3, "2024-01-01 00:00:00", Upsert("y", 1)}));
}

TEST_F(LdbWriterPositionTest, AnLdbHasAnIdentityOfItsOwnForGood) {
  const std::string identity = OpenWriter(path_)->identity();
  EXPECT_EQ(identity.size(), 16u);
  EXPECT_EQ(OpenWriter(path_)->identity(), identity);
  EXPECT_NE(OpenWriter(folder_.Path("other.db"))->identity(), identity);
}

TEST_F(LdbWriterPositionTest, CommitsAreBoundedAtTheEndsOfLedgerTransactions) {
  SetClock clock;
  LdbWriter::Options options;
  options.clock = &clock;
  options.max_commit_entries = 5;
  std::unique_ptr<LdbWriter> writer = OpenWriter(path_, options);
  ledger_.Add(kCreate);
  for (int i = 0; i < 8; ++i) ledger_.Add(Upsert("x", i));
  ASSERT_TRUE(writer->Apply(ledger_.Take()).ok());
  EXPECT_EQ(writer->applied_sequence(), 9);
  EXPECT_EQ(writer->applied().commits, 2);
  EXPECT_EQ(writer->applied().entries, 9);
  EXPECT_EQ(writer->applied().transactions, 9);
  // One ledger transaction is never cut.
  ledger_.Begin();
  for (int i = 0; i < 20; ++i) ledger_.Add(Upsert("x", i));
  ledger_.Commit();
  ledger_.Add(Upsert("x", 1));
  ASSERT_TRUE(writer->Apply(ledger_.Take()).ok());
  EXPECT_EQ(writer->applied().commits, 4);
  EXPECT_EQ(writer->applied().transactions, 11);
  writer = nullptr;
  // By bytes.
  options.max_commit_entries = 1000;
  options.max_commit_bytes = 10000;
  writer = OpenWriter(path_, options);
  for (int i = 0; i < 10; ++i) ledger_.Add(Upsert(std::string(4000, 'y'), i));
  ASSERT_TRUE(writer->Apply(ledger_.Take()).ok());
  EXPECT_EQ(writer->applied().commits, 4);
  writer = nullptr;
  // By time; a clock that goes back ends nothing.
  options.max_commit_bytes = 10000000;
  options.max_commit_time = absl::Milliseconds(10);
  writer = OpenWriter(path_, options);
  for (int i = 0; i < 10; ++i) ledger_.Add(Upsert("z", i));
  clock.set_step(absl::Milliseconds(20));
  ASSERT_TRUE(writer->Apply(ledger_.Take()).ok());
  EXPECT_EQ(writer->applied().commits, 10);
  for (int i = 0; i < 10; ++i) ledger_.Add(Upsert("z", i));
  clock.set_step(absl::Milliseconds(-20));
  ASSERT_TRUE(writer->Apply(ledger_.Take()).ok());
  EXPECT_EQ(writer->applied().commits, 11);
  EXPECT_EQ(writer->applied_sequence(), static_cast<int64_t>(ledger_.entries().size()));
}

TEST_F(LdbWriterPositionTest, WhatWasCommittedBeforeAFailureInALaterCommitStays) {
  LdbWriter::Options options;
  options.max_commit_entries = 2;
  std::unique_ptr<LdbWriter> writer = OpenWriter(path_, options);
  ledger_.Add(kCreate);
  for (int i = 0; i < 4; ++i) ledger_.Add(Upsert("x", i));
  ledger_.Add(Upsert("y", 1));
  ledger_.Begin();
  ledger_.Add(Upsert("z", 1));
  ledger_.Add("garbage");
  ledger_.Commit();
  ledger_.Add(Upsert("z", 2));
  const absl::Status status = writer->Apply(ledger_.Take());
  EXPECT_EQ(ErrorReason(status), reason::kEntryFailed);
  EXPECT_EQ(writer->failed_sequence(), 9);
  EXPECT_EQ(writer->applied_position(), PositionAfter(ledger_.entries()[5]));
  EXPECT_EQ(Table(),
            (Rows{{Value::Text("x"), Value::Integer(3)}, {Value::Text("y"), Value::Integer(1)}}));
}

TEST_F(LdbWriterPositionTest, AnEntryIsSkippedOnlyWhereTold) {
  SetClock clock;
  LdbWriter::Options options;
  options.clock = &clock;
  std::unique_ptr<LdbWriter> writer = OpenWriter(path_, options);
  ledger_.Add(kCreate);
  ledger_.Begin();
  ledger_.Add(Upsert("x", 1));
  ledger_.Add("REPLACE INTO fam___missing (\"a\") VALUES('SECRET')");
  ledger_.Add(Upsert("y", 1));
  ledger_.Commit();
  for (int tries = 0; tries < 3; ++tries) {
    EXPECT_EQ(ErrorReason(writer->Apply(ledger_.After(writer->applied_sequence()))),
              reason::kEntryFailed);
    EXPECT_EQ(writer->failed_sequence(), 4);
    EXPECT_EQ(writer->applied_sequence(), 1);
  }
  EXPECT_EQ(writer->skipped_entries(), 0);
  writer->SkipEntry(4);
  ASSERT_TRUE(writer->Apply(ledger_.After(1)).ok());
  EXPECT_EQ(writer->failed_sequence(), absl::nullopt);
  EXPECT_EQ(writer->applied_position(), PositionAfter(ledger_.entries()[5]));
  EXPECT_EQ(Table(),
            (Rows{{Value::Text("x"), Value::Integer(1)}, {Value::Text("y"), Value::Integer(1)}}));
  EXPECT_EQ(writer->skipped_entries(), 1);
  ASSERT_EQ(Skipped().size(), 1u);
  EXPECT_EQ(Skipped()[0][0], Value::Integer(4));
  EXPECT_EQ(Skipped()[0][1], Value::Text("2023-11-14 22:13:20+00:00"));
  EXPECT_THAT(Skipped()[0][2].data(), HasSubstr("fam___missing"));
  EXPECT_THAT(Skipped()[0][2].data(), Not(HasSubstr("SECRET")));
  writer = nullptr;
  EXPECT_EQ(OpenWriter(path_)->skipped_entries(), 1);
}

TEST_F(LdbWriterPositionTest, ASkipThatIsNotMetIsForgotten) {
  std::unique_ptr<LdbWriter> writer = OpenWriter(path_);
  ASSERT_TRUE(writer->Apply({{1, "", kCreate}}).ok());
  writer->SkipEntry(1);
  writer->SkipEntry(3);
  ASSERT_TRUE(writer->Apply({{2, "", Upsert("x", 1)}, {4, "", Upsert("x", 2)}}).ok());
  EXPECT_EQ(writer->skipped_entries(), 0);
  EXPECT_TRUE(Skipped().empty());
  EXPECT_EQ(Table(), (Rows{{Value::Text("x"), Value::Integer(2)}}));
}

TEST_F(LdbWriterPositionTest, BrokenMarkersCanBeSkipped) {
  std::unique_ptr<LdbWriter> writer = OpenWriter(path_);
  ledger_.Add(kCreate);
  ledger_.Begin();              // 2: its end is missing
  ledger_.Add(Upsert("a", 1));  // 3
  ledger_.Begin();              // 4
  ledger_.Add(Upsert("b", 1));  // 5
  ledger_.Commit();             // 6
  ledger_.Commit();             // 7: one too many
  ledger_.Add(Upsert("c", 1));  // 8
  EXPECT_FALSE(writer->Apply(ledger_.Take()).ok());
  EXPECT_EQ(writer->failed_sequence(), 4);
  EXPECT_EQ(writer->applied_sequence(), 1);
  writer->SkipEntry(4);
  EXPECT_FALSE(writer->Apply(ledger_.After(1)).ok());
  EXPECT_EQ(writer->failed_sequence(), 7);
  EXPECT_EQ(writer->applied_sequence(), 6);
  writer->SkipEntry(7);
  ASSERT_TRUE(writer->Apply(ledger_.After(6)).ok());
  EXPECT_EQ(writer->applied_sequence(), 8);
  EXPECT_EQ(writer->skipped_entries(), 2);
  EXPECT_EQ(Table().size(), 3u);
}

TEST_F(LdbWriterPositionTest, SkippingTheBeginningOfAnEndlessTransactionGoesOn) {
  LdbWriter::Options options;
  options.max_open_transaction_bytes = 3000;
  std::unique_ptr<LdbWriter> writer = OpenWriter(path_, options);
  ledger_.Add(kCreate);
  ledger_.Begin();
  for (int i = 0; i < 40; ++i) ledger_.Add(Upsert("x", i));
  EXPECT_EQ(ErrorReason(writer->Apply(ledger_.Take())), reason::kEntryFailed);
  EXPECT_EQ(writer->failed_sequence(), 2);
  writer->SkipEntry(2);
  ASSERT_TRUE(writer->Apply(ledger_.After(1)).ok());
  EXPECT_EQ(writer->applied_sequence(), 42);
}

TEST_F(LdbWriterPositionTest, ASkipLetsGoOfWhatWaits) {
  std::unique_ptr<LdbWriter> writer = OpenWriter(path_);
  ledger_.Add(kCreate);
  ledger_.Begin();
  ledger_.Add(Upsert("x", 1));
  ASSERT_TRUE(writer->Apply(ledger_.Take()).ok());
  EXPECT_EQ(writer->received_sequence(), 3);
  writer->SkipEntry(3);
  EXPECT_EQ(writer->received_position(), PositionAfter(ledger_.entries()[0]));
  ledger_.Commit();
  ASSERT_TRUE(writer->Apply(ledger_.After(1)).ok());
  EXPECT_EQ(Table(), Rows{});
  EXPECT_EQ(writer->skipped_entries(), 1);
}

TEST_F(LdbWriterPositionTest, AnotherFileAtThePathIsToldFromAnErrorOfTheFile) {
  std::unique_ptr<LdbWriter> writer = OpenWriter(path_);
  ASSERT_TRUE(writer->Apply({{1, "", kCreate}}).ok());
  std::filesystem::rename(path_, path_ + ".moved");
  EXPECT_EQ(ErrorReason(writer->Apply({{2, "", Upsert("x", 1)}})), reason::kLdbReplaced);
  EXPECT_EQ(writer->failed_sequence(), absl::nullopt);
  std::filesystem::copy_file(path_ + ".moved", path_);
  EXPECT_EQ(ErrorReason(writer->Apply({{2, "", Upsert("x", 1)}})), reason::kLdbReplaced);
}

TEST_F(LdbWriterPositionTest, EntriesOutOfOrderAreNoEntrysFault) {
  std::unique_ptr<LdbWriter> writer = OpenWriter(path_);
  ASSERT_TRUE(writer->Apply({{1, "", kCreate}}).ok());
  EXPECT_FALSE(writer->Apply({{2, "", "garbage"}}).ok());
  EXPECT_EQ(writer->failed_sequence(), 2);
  const absl::Status status = writer->Apply({{1, "", kCreate}});
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ErrorReason(status), absl::nullopt);
  EXPECT_EQ(writer->failed_sequence(), absl::nullopt);
}

// A ledger as the Go executive writes it: its sequences have gaps, its times a fraction or none,
// its booleans are words.
TEST_F(LdbWriterPositionTest, PlaysAGoExecutivesLedger) {
  std::unique_ptr<LdbWriter> writer = OpenWriter(path_);
  ASSERT_TRUE(writer
                  ->Apply({{3, "2024-01-01 00:00:00.123456", kCreate},
                           {7, "2024-01-01 00:00:01", "--- BEGIN"},
                           {8, "2024-01-01 00:00:01",
                            "REPLACE INTO fam___tbl (\"a\",\"b\") VALUES('x',true)"},
                           {11, "2024-01-01 00:00:01",
                            "REPLACE INTO fam___tbl (\"a\",\"b\") VALUES('y',false)"},
                           {12, "2024-01-01 00:00:02.5", "--- COMMIT"}})
                  .ok());
  EXPECT_EQ(writer->applied_sequence(), 12);
  EXPECT_EQ(QueryFile(path_, kReadLastUpdate)[0][0],
            Value::Text("2024-01-01 00:00:02.500000+00:00"));
  EXPECT_EQ(Table(),
            (Rows{{Value::Text("x"), Value::Integer(1)}, {Value::Text("y"), Value::Integer(0)}}));
  // The digest is the same without the fraction, which a copy of the ledger may have lost.
  EXPECT_EQ(writer->applied_position(), PositionAfter({12, "2024-01-01 00:00:02", "--- COMMIT"}));
}

}  // namespace
}  // namespace ctlstore::ldb
