#include "common/ldb/ldb_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/ldb/ldb_tables.h"
#include "common/ldb/ldb_test_util.h"
#include "common/schema/errors.h"
#include "common/schema/table_schema.h"
#include "common/sql/ledger_statements.h"
#include "common/sql/random_data.h"

namespace ctlstore::ldb {
namespace {

using testing::AnyOf;
using testing::HasSubstr;
using testing::Not;

constexpr char kCreate[] =
    "CREATE TABLE fam___tbl (\"a\" VARCHAR(191), \"b\" INTEGER, PRIMARY KEY(\"a\"));";

std::string Upsert(absl::string_view a, int64_t b) {
  return absl::StrCat("REPLACE INTO fam___tbl (\"a\",\"b\") VALUES('", a, "',", b, ")");
}

class LdbWriterTest : public testing::Test {
 protected:
  Rows Table() { return QueryFile(path_, "SELECT a, b FROM fam___tbl ORDER BY a"); }

  int64_t SequenceInFile() {
    const Rows rows = QueryFile(path_, kReadSequence);
    return rows.empty() ? 0 : rows[0][0].integer();
  }

  std::string LastUpdateInFile() { return QueryFile(path_, kReadLastUpdate)[0][0].data(); }

  std::string LayoutOf(const std::string& table) {
    return QueryFile(path_,
                     absl::StrCat("SELECT sql FROM sqlite_schema WHERE name = '", table, "'"))[0][0]
        .data();
  }

  TestFolder folder_;
  const std::string path_ = folder_.Path("deep/er/ldb.db");
  TestLedger ledger_;
};

TEST_F(LdbWriterTest, ANewLdbHasItsFolderItsOwnTablesAndNoSequence) {
  std::unique_ptr<LdbWriter> writer = OpenWriter(path_);
  EXPECT_EQ(writer->applied_sequence(), 0);
  EXPECT_EQ(writer->received_sequence(), 0);
  EXPECT_EQ(SequenceInFile(), 0);
  EXPECT_EQ(QueryFile(path_, "PRAGMA journal_mode")[0][0], Value::Text("wal"));
  EXPECT_EQ(LayoutOf("_ldb_seq"),
            "CREATE TABLE _ldb_seq (id INTEGER PRIMARY KEY NOT NULL, seq BIGINT NOT NULL)");
  EXPECT_TRUE(QueryFile(path_, kReadLastUpdate).empty());
}

TEST_F(LdbWriterTest, AppliesStatementsWithTheirPositionAndTime) {
  std::unique_ptr<LdbWriter> writer = OpenWriter(path_);
  ASSERT_TRUE(writer->Apply({}).ok());
  ASSERT_TRUE(writer
                  ->Apply({{1, "2024-01-01 00:00:00", kCreate},
                           {2, "2024-01-01 00:00:01", Upsert("x", 1)},
                           {3, "2024-01-01 00:00:02.5", Upsert("y", 2)}})
                  .ok());
  EXPECT_EQ(writer->applied_sequence(), 3);
  EXPECT_EQ(SequenceInFile(), 3);
  EXPECT_EQ(LastUpdateInFile(), "2024-01-01 00:00:02.500000+00:00");
  EXPECT_EQ(Table(),
            (Rows{{Value::Text("x"), Value::Integer(1)}, {Value::Text("y"), Value::Integer(2)}}));
  ASSERT_TRUE(
      writer->Apply({{4, "2024-01-01 00:00:03", "DELETE FROM fam___tbl WHERE \"a\" = 'x'"}}).ok());
  EXPECT_EQ(LastUpdateInFile(), "2024-01-01 00:00:03+00:00");
  EXPECT_EQ(Table(), (Rows{{Value::Text("y"), Value::Integer(2)}}));
}

TEST_F(LdbWriterTest, AnEntryWithoutATimeLeavesTheOldOne) {
  std::unique_ptr<LdbWriter> writer = OpenWriter(path_);
  ASSERT_TRUE(writer->Apply({{1, "2024-01-01 00:00:00", kCreate}}).ok());
  ASSERT_TRUE(writer->Apply({{2, "0000-00-00 00:00:00", Upsert("x", 1)}}).ok());
  EXPECT_EQ(SequenceInFile(), 2);
  EXPECT_EQ(LastUpdateInFile(), "2024-01-01 00:00:00+00:00");
}

TEST_F(LdbWriterTest, GoesOnWhereItWasAfterBeingOpenedAgain) {
  ledger_.Add(kCreate);
  ledger_.Add(Upsert("x", 1));
  ASSERT_TRUE(OpenWriter(path_)->Apply(ledger_.Take()).ok());
  std::unique_ptr<LdbWriter> writer = OpenWriter(path_);
  EXPECT_EQ(writer->applied_sequence(), 2);
  EXPECT_EQ(writer->received_sequence(), 2);
  ledger_.Add(Upsert("x", 2));
  ASSERT_TRUE(writer->Apply(ledger_.Take()).ok());
  EXPECT_EQ(Table(), (Rows{{Value::Text("x"), Value::Integer(2)}}));
}

TEST_F(LdbWriterTest, TablesAreKeptInKeyOrderWhereThatReadsFaster) {
  std::unique_ptr<LdbWriter> writer = OpenWriter(path_);
  for (absl::string_view fields :
       {"one (\"a\" VARCHAR(191), \"b\" INTEGER, \"c\" REAL, PRIMARY KEY(\"a\"));",
        "two (\"a\" INTEGER, \"b\" INTEGER, PRIMARY KEY(\"a\",\"b\"));",
        "three (\"a\" INTEGER, \"b\" BLOB(255), PRIMARY KEY(\"a\"));",
        "four (\"a\" VARCHAR(191), \"b\" TEXT, PRIMARY KEY(\"a\"));",
        "five (\"a\" VARCHAR(191), \"b\" BLOB, PRIMARY KEY(\"a\"));",
        "six_other (\"a\" VARCHAR(191) NOT NULL, PRIMARY KEY(\"a\"))"}) {
    ledger_.Add(absl::StrCat("CREATE TABLE fam___", fields));
  }
  ASSERT_TRUE(writer->Apply(ledger_.Take()).ok());
  EXPECT_THAT(LayoutOf("fam___one"), HasSubstr("WITHOUT ROWID"));
  EXPECT_THAT(LayoutOf("fam___two"), HasSubstr("WITHOUT ROWID"));
  for (const char* table : {"fam___three", "fam___four", "fam___five", "fam___six_other"}) {
    EXPECT_THAT(LayoutOf(table), Not(HasSubstr("WITHOUT ROWID")));
  }
  // What a Go reader looks at.
  EXPECT_EQ(QueryFile(path_, "SELECT name, type, pk FROM pragma_table_info('fam___one')"),
            (Rows{{Value::Text("a"), Value::Text("VARCHAR(191)"), Value::Integer(1)},
                  {Value::Text("b"), Value::Text("INTEGER"), Value::Integer(0)},
                  {Value::Text("c"), Value::Text("REAL"), Value::Integer(0)}}));
}

TEST_F(LdbWriterTest, TablesCanBeChangedClearedDroppedAndMadeAgain) {
  std::unique_ptr<LdbWriter> writer = OpenWriter(path_);
  ledger_.Add(kCreate);
  ledger_.Add(Upsert("x", 1));
  ledger_.Add("ALTER TABLE fam___tbl ADD COLUMN \"c\" TEXT");
  ledger_.Add("REPLACE INTO fam___tbl (\"a\",\"b\",\"c\") VALUES('y',2,'z')");
  ASSERT_TRUE(writer->Apply(ledger_.Take()).ok());
  EXPECT_EQ(QueryFile(path_, "SELECT * FROM fam___tbl ORDER BY a"),
            (Rows{{Value::Text("x"), Value::Integer(1), Value::Null()},
                  {Value::Text("y"), Value::Integer(2), Value::Text("z")}}));
  ledger_.Add("DELETE FROM fam___tbl");
  ASSERT_TRUE(writer->Apply(ledger_.Take()).ok());
  EXPECT_EQ(Table(), Rows{});
  // The prepared statement for the upsert meets a table of the same name with other columns.
  ledger_.Add("DROP TABLE IF EXISTS fam___tbl");
  ledger_.Add("CREATE TABLE fam___tbl (\"b\" INTEGER, \"a\" BLOB(255), PRIMARY KEY(\"b\"));");
  ledger_.Add("REPLACE INTO fam___tbl (\"a\",\"b\") VALUES(x'00',1)");
  ledger_.Add("DROP TABLE IF EXISTS fam___nothing");
  ASSERT_TRUE(writer->Apply(ledger_.Take()).ok());
  EXPECT_EQ(QueryFile(path_, "SELECT * FROM fam___tbl"),
            (Rows{{Value::Integer(1), Value::Bytes(std::string(1, '\0'))}}));
}

TEST_F(LdbWriterTest, ALedgerTransactionWaitsForItsEnd) {
  std::unique_ptr<LdbWriter> writer = OpenWriter(path_);
  ledger_.Add(kCreate);
  ledger_.Begin();
  ledger_.Add(Upsert("x", 1));
  ASSERT_TRUE(writer->Apply(ledger_.Take()).ok());
  EXPECT_EQ(writer->applied_sequence(), 1);
  EXPECT_EQ(writer->received_sequence(), 3);
  EXPECT_EQ(SequenceInFile(), 1);
  EXPECT_EQ(Table(), Rows{});

  ledger_.Add(Upsert("y", 2));
  ASSERT_TRUE(writer->Apply(ledger_.Take()).ok());
  EXPECT_EQ(writer->applied_sequence(), 1);
  EXPECT_EQ(writer->received_sequence(), 4);
  EXPECT_EQ(Table(), Rows{});

  ledger_.Commit();
  ledger_.Add(Upsert("z", 3));
  ledger_.Begin();
  ASSERT_TRUE(writer->Apply(ledger_.Take()).ok());
  EXPECT_EQ(writer->applied_sequence(), 6);
  EXPECT_EQ(writer->received_sequence(), 7);
  EXPECT_EQ(SequenceInFile(), 6);
  EXPECT_EQ(Table(), (Rows{{Value::Text("x"), Value::Integer(1)},
                           {Value::Text("y"), Value::Integer(2)},
                           {Value::Text("z"), Value::Integer(3)}}));
  ledger_.Commit();
  ASSERT_TRUE(writer->Apply(ledger_.Take()).ok());
  EXPECT_EQ(writer->applied_sequence(), 8);
}

TEST_F(LdbWriterTest, WhatWaitedIsPlayedAgainAfterARestart) {
  ledger_.Add(kCreate);
  ledger_.Begin();
  ledger_.Add(Upsert("x", 1));
  ASSERT_TRUE(OpenWriter(path_)->Apply(ledger_.Take()).ok());
  std::unique_ptr<LdbWriter> writer = OpenWriter(path_);
  EXPECT_EQ(writer->received_sequence(), 1);
  ledger_.Commit();
  ASSERT_TRUE(writer->Apply(ledger_.After(1)).ok());
  EXPECT_EQ(Table(), (Rows{{Value::Text("x"), Value::Integer(1)}}));
}

TEST_F(LdbWriterTest, SequencesMustRiseButMayJump) {
  std::unique_ptr<LdbWriter> writer = OpenWriter(path_);
  ASSERT_TRUE(writer->Apply({{5, "", kCreate}, {9, "", Upsert("x", 1)}}).ok());
  EXPECT_EQ(writer->applied_sequence(), 9);
  for (int64_t sequence : {9, 8, 0, -1}) {
    EXPECT_EQ(writer->Apply({{sequence, "", Upsert("y", 1)}}).code(),
              absl::StatusCode::kInvalidArgument);
  }
  EXPECT_EQ(writer->Apply({{10, "", Upsert("y", 1)}, {10, "", Upsert("z", 1)}}).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(writer->applied_sequence(), 9);
  EXPECT_EQ(Table(), (Rows{{Value::Text("x"), Value::Integer(1)}}));
  EXPECT_TRUE(writer->Apply({{10, "", Upsert("y", 1)}}).ok());
}

TEST_F(LdbWriterTest, BrokenMarkersAreRefusedAndWhatStandsBeforeThemIsApplied) {
  struct Broken {
    std::vector<LedgerEntry> entries;
    int64_t failed;
    int64_t applied;
  };
  const std::vector<Broken> all = {
      {{{2, "", kCommitMarker}}, 2, 1},
      {{{2, "", Upsert("x", 1)}, {3, "", kCommitMarker}}, 3, 2},
      {{{2, "", kBeginMarker}, {3, "", Upsert("x", 1)}, {4, "", kBeginMarker}}, 4, 1},
      {{{2, "", kBeginMarker}, {3, "", kCommitMarker}, {4, "", kCommitMarker}}, 4, 3},
      {{{2, "", Upsert("x", 1)}, {3, "", kBeginMarker}, {4, "", "--- begin"}}, 4, 2},
  };
  for (size_t i = 0; i < all.size(); ++i) {
    const std::string path = folder_.Path(absl::StrCat("broken", i, ".db"));
    std::unique_ptr<LdbWriter> writer = OpenWriter(path);
    ASSERT_TRUE(writer->Apply({{1, "", kCreate}}).ok());
    const absl::Status status = writer->Apply(all[i].entries);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(ErrorReason(status), reason::kEntryFailed);
    EXPECT_EQ(writer->failed_sequence(), all[i].failed);
    EXPECT_EQ(writer->applied_sequence(), all[i].applied);
    EXPECT_EQ(writer->received_sequence(), all[i].applied);
    EXPECT_EQ(QueryFile(path, kReadSequence), (Rows{{Value::Integer(all[i].applied)}}));
  }
  // Also when the first marker came in an earlier call; it is forgotten with the error.
  std::unique_ptr<LdbWriter> writer = OpenWriter(path_);
  ASSERT_TRUE(writer->Apply({{1, "", kCreate}}).ok());
  ASSERT_TRUE(writer->Apply({{2, "", kBeginMarker}, {3, "", Upsert("x", 1)}}).ok());
  EXPECT_EQ(writer->Apply({{4, "", kBeginMarker}}).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(writer->received_sequence(), 1);
  ASSERT_TRUE(writer->Apply({{2, "", Upsert("y", 1)}}).ok());
  EXPECT_EQ(writer->failed_sequence(), absl::nullopt);
  EXPECT_EQ(Table(), (Rows{{Value::Text("y"), Value::Integer(1)}}));
  // A ledger transaction of nothing is one.
  ASSERT_TRUE(writer->Apply({{3, "", kBeginMarker}, {4, "", kCommitMarker}}).ok());
  EXPECT_EQ(SequenceInFile(), 4);
}

TEST_F(LdbWriterTest, ATransactionWithoutAnEndIsGivenUpAtALimit) {
  LdbWriter::Options options;
  options.max_open_transaction_bytes = 10000;
  std::unique_ptr<LdbWriter> writer = OpenWriter(path_, options);
  ASSERT_TRUE(writer->Apply({{1, "", kCreate}, {2, "", kBeginMarker}}).ok());
  ASSERT_TRUE(writer->Apply({{3, "", Upsert(std::string(6000, 'x'), 1)}}).ok());
  const absl::Status status = writer->Apply({{4, "", Upsert(std::string(6000, 'y'), 1)}});
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ErrorReason(status), reason::kEntryFailed);
  EXPECT_THAT(std::string(status.message()), HasSubstr("ledger entry 2: "));
  EXPECT_EQ(writer->failed_sequence(), 2);
  EXPECT_EQ(writer->received_sequence(), 1);
  // What is complete in such a call is applied.
  EXPECT_EQ(writer
                ->Apply({{2, "", Upsert("x", 1)},
                         {3, "", kBeginMarker},
                         {4, "", Upsert(std::string(12000, 'x'), 1)}})
                .code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(writer->failed_sequence(), 3);
  EXPECT_EQ(writer->applied_sequence(), 2);
  EXPECT_EQ(writer->received_sequence(), 2);
  // With its end it may be larger.
  EXPECT_TRUE(writer
                  ->Apply({{3, "", kBeginMarker},
                           {4, "", Upsert(std::string(12000, 'x'), 1)},
                           {5, "", kCommitMarker}})
                  .ok());
}

TEST_F(LdbWriterTest, WhatStandsBeforeAFailedTransactionIsApplied) {
  std::unique_ptr<LdbWriter> writer = OpenWriter(path_);
  ASSERT_TRUE(
      writer->Apply({{1, "", kCreate}, {2, "", kBeginMarker}, {3, "", Upsert("x", 1)}}).ok());
  const absl::Status status = writer->Apply({{4, "", kCommitMarker},
                                             {5, "", Upsert("x", 2)},
                                             {6, "", kBeginMarker},
                                             {7, "", Upsert("x", 3)},
                                             {8, "", "SECRET garbage"},
                                             {9, "", kCommitMarker},
                                             {10, "", Upsert("x", 4)},
                                             {11, "", kBeginMarker}});
  EXPECT_THAT(std::string(status.message()), HasSubstr("ledger entry 8"));
  EXPECT_EQ(writer->applied_sequence(), 5);
  EXPECT_EQ(writer->received_sequence(), 5);
  EXPECT_EQ(SequenceInFile(), 5);
  EXPECT_EQ(Table(), (Rows{{Value::Text("x"), Value::Integer(2)}}));
}

TEST_F(LdbWriterTest, CountsWhatItHasCommitted) {
  std::unique_ptr<LdbWriter> writer = OpenWriter(path_);
  const auto expect_applied = [&](int64_t entries, int64_t transactions) {
    EXPECT_EQ(writer->applied().entries, entries);
    EXPECT_EQ(writer->applied().transactions, transactions);
  };
  expect_applied(0, 0);
  // One transaction without markers; the next one's end has not come.
  ASSERT_TRUE(
      writer->Apply({{1, "", kCreate}, {2, "", kBeginMarker}, {3, "", Upsert("x", 1)}}).ok());
  expect_applied(1, 1);
  ASSERT_TRUE(writer->Apply({{4, "", Upsert("y", 1)}}).ok());
  expect_applied(1, 1);
  // Its end, one alone, and what stands before a transaction that fails.
  EXPECT_FALSE(writer
                   ->Apply({{5, "", kCommitMarker},
                            {6, "", Upsert("x", 2)},
                            {7, "", kBeginMarker},
                            {8, "", "garbage"},
                            {9, "", kCommitMarker}})
                   .ok());
  expect_applied(6, 3);
  ASSERT_TRUE(writer->Apply({{7, "", kBeginMarker}, {8, "", kCommitMarker}}).ok());
  expect_applied(8, 4);
  // Only of this writer.
  writer.reset();
  writer = OpenWriter(path_);
  expect_applied(0, 0);
}

TEST_F(LdbWriterTest, AStatementThatFailsTakesItsTransactionBack) {
  std::unique_ptr<LdbWriter> writer = OpenWriter(path_);
  ledger_.Add(kCreate);
  ledger_.Add(Upsert("x", 1));
  ledger_.Begin();
  ledger_.Add(Upsert("x", 2));
  ASSERT_TRUE(writer->Apply(ledger_.Take()).ok());
  for (const std::string& bad :
       {std::string("REPLACE INTO fam___missing (\"a\") VALUES('SECRET')"),
        std::string("REPLACE INTO fam___tbl (\"a\",\"nope\") VALUES('SECRET',1)"),
        std::string("REPLACE INTO fam___tbl (\"a\",\"b\") VALUES(NULL,1)"),
        std::string("REPLACE INTO fam___tbl (\"a\",\"b\") VALUES('SECRET',SECRET)"),
        std::string("REPLACE INTO fam___tbl (\"a\",\"b\") VALUES('SECRET',1"),
        std::string("REPLACE INTO fam___tbl (\"a\",\"b\") VALUES('SECRET"),
        std::string("INSERT INTO fam___tbl (\"a\",\"b\") VALUES('x',1)"),
        std::string("INSERT OR ROLLBACK INTO fam___tbl (\"a\",\"b\") VALUES('x',1)"),
        std::string("CREATE TABLE fam___tbl (\"a\" INTEGER, PRIMARY KEY(\"a\"));"),
        std::string("ALTER TABLE fam___tbl ADD COLUMN \"b\" TEXT"),
        std::string("SECRET garbage")}) {
    const absl::Status status =
        writer->Apply({{5, "", Upsert("y", 1)}, {6, "", bad}, {7, "", kCommitMarker}});
    EXPECT_THAT(status.code(),
                AnyOf(absl::StatusCode::kFailedPrecondition, absl::StatusCode::kInternal))
        << bad;
    EXPECT_THAT(std::string(status.message()), HasSubstr("ledger entry 6"));
    EXPECT_THAT(std::string(status.message()), Not(HasSubstr("SECRET")));
    EXPECT_EQ(writer->applied_sequence(), 2);
    EXPECT_EQ(writer->received_sequence(), 2);
    EXPECT_EQ(SequenceInFile(), 2);
    EXPECT_EQ(Table(), (Rows{{Value::Text("x"), Value::Integer(1)}}));
    // What had waited has to come again.
    ASSERT_TRUE(writer->Apply(ledger_.After(2)).ok());
    EXPECT_EQ(writer->received_sequence(), 4);
  }
}

TEST_F(LdbWriterTest, StatementsThatAreNotALedgersAreRefused) {
  std::unique_ptr<LdbWriter> writer = OpenWriter(path_);
  ASSERT_TRUE(writer->Apply({{1, "", kCreate}, {2, "", Upsert("x", 1)}}).ok());
  for (const std::string& statement :
       std::vector<std::string>{"COMMIT",
                                "END",
                                "ROLLBACK",
                                "BEGIN",
                                "BEGIN IMMEDIATE",
                                "SAVEPOINT s",
                                "RELEASE s",
                                "ROLLBACK TO s",
                                "ATTACH ':memory:' AS other",
                                "DETACH main",
                                "PRAGMA user_version=1",
                                "PRAGMA journal_mode=DELETE",
                                "VACUUM",
                                "ANALYZE",
                                "commit;",
                                "CREATE TEMP TABLE t (a INTEGER)",
                                "CREATE VIEW v AS SELECT 1",
                                "CREATE TRIGGER t AFTER INSERT ON fam___tbl BEGIN SELECT 1; END",
                                "CREATE VIRTUAL TABLE t USING fts5(a)",
                                "REPLACE INTO _ldb_seq (id,seq) VALUES(1,99)",
                                "DELETE FROM _LDB_SEQ",
                                "UPDATE _ldb_last_update SET timestamp = 1",
                                "DROP TABLE _ldb_seq",
                                "ALTER TABLE _ldb_seq ADD COLUMN x",
                                "CREATE TABLE _ldb_x (a)",
                                "DELETE FROM fam___tbl; COMMIT",
                                "DELETE FROM fam___tbl; DELETE FROM fam___tbl",
                                "DELETE FROM fam___tbl /* x */; x",
                                "",
                                "  ",
                                ";",
                                "-- a comment",
                                "--- OTHER",
                                std::string("DELETE FROM fam___tbl\0", 22),
                                std::string("\0", 1)}) {
    const absl::Status status = writer->Apply({{3, "", kBeginMarker},
                                               {4, "", Upsert("y", 1)},
                                               {5, "", statement},
                                               {6, "", kCommitMarker}});
    EXPECT_THAT(status.code(),
                AnyOf(absl::StatusCode::kFailedPrecondition, absl::StatusCode::kInternal))
        << statement << status;
    if (statement != "VACUUM") {
      EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << statement << status;
    }
    EXPECT_THAT(std::string(status.message()), HasSubstr("ledger entry 5")) << statement;
    EXPECT_EQ(SequenceInFile(), 2);
    EXPECT_EQ(Table(), (Rows{{Value::Text("x"), Value::Integer(1)}}));
  }
  // What may stand behind a statement.
  EXPECT_TRUE(writer->Apply({{3, "", "DELETE FROM fam___tbl ; ; -- x\n /* y */ \t"}}).ok());
  EXPECT_EQ(Table(), Rows{});
}

TEST_F(LdbWriterTest, ASecondWriterIsRefusedAndToldWhoTheFirstIs) {
  std::unique_ptr<LdbWriter> writer = OpenWriter(path_);
  absl::StatusOr<std::unique_ptr<LdbWriter>> second = LdbWriter::Open(path_, {});
  EXPECT_EQ(second.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(second.status().message()), HasSubstr(absl::StrCat(getpid())));
  writer = nullptr;
  EXPECT_TRUE(LdbWriter::Open(path_, {}).ok());
}

TEST_F(LdbWriterTest, WhatAnotherProgramHasAppliedIsNotAppliedAgain) {
  std::unique_ptr<LdbWriter> writer = OpenWriter(path_);
  ledger_.Add(kCreate);
  ASSERT_TRUE(writer->Apply(ledger_.Take()).ok());
  ASSERT_TRUE(OpenPlain(path_, /*read_only=*/false)
                  ->Execute("BEGIN; REPLACE INTO fam___tbl VALUES('x',1); UPDATE _ldb_seq SET seq "
                            "= 2; COMMIT")
                  .ok());
  ledger_.Add(Upsert("x", 1));
  ledger_.Add(Upsert("y", 1));
  EXPECT_EQ(writer->Apply(ledger_.Take()).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(writer->applied_sequence(), 2);
  EXPECT_TRUE(writer->Apply(ledger_.After(2)).ok());
  EXPECT_EQ(SequenceInFile(), 3);
}

TEST_F(LdbWriterTest, NothingIsWrittenToAFileThatWasRemovedOrReplaced) {
  std::unique_ptr<LdbWriter> writer = OpenWriter(path_);
  ledger_.Add(kCreate);
  ASSERT_TRUE(writer->Apply(ledger_.Take()).ok());
  std::filesystem::rename(path_, path_ + ".moved");
  ledger_.Add(Upsert("x", 1));
  EXPECT_EQ(writer->Apply(ledger_.After(1)).code(), absl::StatusCode::kFailedPrecondition);
  std::filesystem::copy_file(path_ + ".moved", path_);
  EXPECT_EQ(writer->Apply(ledger_.After(1)).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(writer->applied_sequence(), 1);
  std::filesystem::rename(path_ + ".moved", path_);
  EXPECT_TRUE(writer->Apply(ledger_.After(1)).ok());
}

TEST_F(LdbWriterTest, ContinuesWhatAGoReflectorHasWritten) {
  const std::string path = folder_.Path("go.db");
  ASSERT_TRUE(
      OpenPlain(path, /*read_only=*/false)
          ->Execute(absl::StrCat(
              "PRAGMA journal_mode=WAL;"
              "CREATE TABLE _ldb_seq (id INTEGER PRIMARY KEY NOT NULL, seq BIGINT NOT NULL);"
              "CREATE TABLE _ldb_last_update (name STRING PRIMARY KEY NOT NULL, timestamp DATETIME "
              "NOT NULL);",
              kCreate,
              "REPLACE INTO fam___tbl VALUES('x',1);"
              "REPLACE INTO _ldb_seq VALUES(1,7);"
              "REPLACE INTO _ldb_last_update VALUES('ledger','2024-01-01 00:00:00+00:00')"))
          .ok());
  std::unique_ptr<LdbWriter> writer = OpenWriter(path);
  EXPECT_EQ(writer->applied_sequence(), 7);
  ASSERT_TRUE(writer->Apply({{8, "2024-01-02 00:00:00", Upsert("x", 2)}}).ok());
  EXPECT_EQ(QueryFile(path, "SELECT * FROM fam___tbl"),
            (Rows{{Value::Text("x"), Value::Integer(2)}}));
  EXPECT_EQ(QueryFile(path, kReadLastUpdate)[0][0], Value::Text("2024-01-02 00:00:00+00:00"));
}

TEST_F(LdbWriterTest, AFileThatIsNoDatabaseIsDataLoss) {
  const std::string path = folder_.Path("garbage.db");
  std::ofstream(path) << std::string(10000, 'x');
  EXPECT_EQ(LdbWriter::Open(path, {}).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(LdbWriter::Open(folder_.Path("garbage.db/ldb.db"), {}).status().code(),
            absl::StatusCode::kUnavailable);
  std::filesystem::create_directory(folder_.Path("folder.db"));
  EXPECT_EQ(LdbWriter::Open(folder_.Path("folder.db"), {}).status().code(),
            absl::StatusCode::kUnavailable);
}

TEST_F(LdbWriterTest, TheWalIsMovedIntoTheDatabaseWhenItIsLarge) {
  LdbWriter::Options options;
  options.checkpoint_wal_bytes = 200000;
  std::unique_ptr<LdbWriter> writer = OpenWriter(path_, options);
  ledger_.Add(kCreate);
  const auto wal_bytes = [this] { return std::filesystem::file_size(path_ + "-wal"); };
  const auto write = [&] {
    for (int i = 0; i < 20; ++i) ledger_.Add(Upsert(absl::StrCat(i), i));
    ASSERT_TRUE(writer->Apply(ledger_.Take()).ok());
  };
  uintmax_t largest = 0;
  for (int i = 0; i < 200; ++i) {
    write();
    largest = std::max(largest, wal_bytes());
  }
  EXPECT_LE(largest, 200000u);

  // A reader that stays on an old state keeps the WAL, and nothing else: writing goes on, and the
  // WAL is emptied once the reader has gone.
  {
    std::unique_ptr<sqlite::Database> reader = OpenPlain(path_);
    ASSERT_TRUE(reader->Execute("BEGIN").ok());
    const Rows before = Query(reader.get(), "SELECT * FROM fam___tbl");
    for (int i = 0; i < 200; ++i) write();
    EXPECT_GT(wal_bytes(), 200000u);
    EXPECT_EQ(Query(reader.get(), "SELECT * FROM fam___tbl"), before);
    EXPECT_TRUE(writer->Checkpoint().ok());
  }
  for (int i = 0; i < 200; ++i) write();
  EXPECT_LE(wal_bytes(), 200000u);
  EXPECT_TRUE(writer->Checkpoint().ok());
  EXPECT_EQ(wal_bytes(), 0u);
}

TEST_F(LdbWriterTest, AWriteThatTheSystemRefusesChangesNothing) {
  LdbWriter::Options options;
  options.max_commit_entries = 100000;
  options.max_commit_time = absl::InfiniteDuration();
  std::unique_ptr<LdbWriter> writer = OpenWriter(path_, options);
  ledger_.Add(kCreate);
  ledger_.Add(Upsert("x", 1));
  ASSERT_TRUE(writer->Apply(ledger_.Take()).ok());
  for (int i = 0; i < 20000; ++i) ledger_.Add(Upsert(absl::StrCat(i), i));

  // Files may not grow beyond this.
  signal(SIGXFSZ, SIG_IGN);
  rlimit before;
  getrlimit(RLIMIT_FSIZE, &before);
  rlimit small = before;
  small.rlim_cur = 300000;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const absl::Status status = writer->Apply(ledger_.After(2));
  setrlimit(RLIMIT_FSIZE, &before);

  EXPECT_THAT(status.code(),
              AnyOf(absl::StatusCode::kUnavailable, absl::StatusCode::kResourceExhausted))
      << status;
  EXPECT_EQ(writer->applied_sequence(), 2);
  EXPECT_EQ(SequenceInFile(), 2);
  EXPECT_EQ(Table(), (Rows{{Value::Text("x"), Value::Integer(1)}}));
  ASSERT_TRUE(writer->Apply(ledger_.After(2)).ok());
  EXPECT_EQ(SequenceInFile(), 20002);
  EXPECT_EQ(Table().size(), 20001u);
}

// A ledger of random tables and rows, applied in random pieces, must leave what running its text
// leaves.
TEST_F(LdbWriterTest, LeavesTheSameAsRunningTheTextDoes) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    sql::RandomData random(seed);
    TestLedger ledger;
    std::vector<TableSchema> tables;
    std::vector<std::vector<std::vector<Value>>> keys;
    for (int i = 0; i < 4; ++i) {
      tables.push_back(random.Table("fam", absl::StrCat("tbl", i)));
      ledger.Add(sql::CreateTableStatement(tables.back()));
      keys.emplace_back();
    }
    bool open = false;
    for (int i = 0; i < 400; ++i) {
      if (random.OneIn(6)) {
        open ? ledger.Commit() : ledger.Begin();
        open = !open;
      }
      const size_t t = random.Below(tables.size());
      if (random.OneIn(40)) {
        const Field field{absl::StrCat("added", i), random.Type()};
        ledger.Add(sql::AddFieldStatement(tables[t].name(), field));
        std::vector<Field> ignored;
        tables[t] = *tables[t].WithFields({field}, &ignored);
        continue;
      }
      std::vector<Value> row;
      for (size_t field = 0; field < tables[t].fields().size(); ++field) {
        row.push_back(random.Of(tables[t].fields()[field].type, !tables[t].is_key(field)));
      }
      std::vector<Value> key;
      if (!keys[t].empty() && random.OneIn(2)) {
        key = keys[t][random.Below(keys[t].size())];
        for (size_t k = 0; k < key.size(); ++k) row[tables[t].key_positions()[k]] = key[k];
      } else {
        for (size_t position : tables[t].key_positions()) key.push_back(row[position]);
        keys[t].push_back(key);
      }
      ledger.Add(
          random.OneIn(4)
              ? sql::DeleteStatement(tables[t], std::vector<ValueView>(key.begin(), key.end()))
              : sql::UpsertStatement(tables[t], std::vector<ValueView>(row.begin(), row.end())));
    }
    if (open) ledger.Commit();

    const std::string path = folder_.Path(absl::StrCat("random", seed, ".db"));
    std::unique_ptr<LdbWriter> writer = OpenWriter(path);
    while (writer->received_sequence() < static_cast<int64_t>(ledger.entries().size())) {
      const absl::Status status =
          writer->Apply(ledger.After(writer->received_sequence(), 1 + random.Below(50)));
      ASSERT_TRUE(status.ok()) << status;
      if (random.OneIn(5)) {
        writer = nullptr;
        writer = OpenWriter(path);
      }
    }
    EXPECT_EQ(writer->applied_sequence(), static_cast<int64_t>(ledger.entries().size()));

    std::unique_ptr<sqlite::Database> plain = OpenPlain(":memory:", /*read_only=*/false);
    for (const LedgerEntry& entry : ledger.entries()) {
      ASSERT_TRUE(plain->Execute(entry.statement).ok()) << entry.statement;
    }
    const Rows expected = Contents(plain.get());
    const Rows actual = Contents(OpenPlain(path).get());
    ASSERT_EQ(expected.size(), actual.size());
    for (size_t i = 0; i < expected.size(); ++i) {
      ASSERT_EQ(expected[i].size(), actual[i].size());
      for (size_t j = 0; j < expected[i].size(); ++j) {
        // Running the text may round a decimal's last digit otherwise.
        if (expected[i][j].kind() == ValueKind::kDecimal &&
            actual[i][j].kind() == ValueKind::kDecimal) {
          ASSERT_DOUBLE_EQ(expected[i][j].decimal(), actual[i][j].decimal());
        } else {
          ASSERT_EQ(expected[i][j], actual[i][j]);
        }
      }
    }
  }
}

}  // namespace
}  // namespace ctlstore::ldb
