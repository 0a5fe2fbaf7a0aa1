// Local databases of some families.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "common/ldb/ldb_tables.h"
#include "common/ldb/ldb_test_util.h"
#include "common/ldb/ldb_writer.h"
#include "common/schema/errors.h"
#include "common/schema/table_schema.h"
#include "common/sql/ledger_statements.h"
#include "common/sql/random_data.h"

namespace ctlstore::ldb {
namespace {

using testing::HasSubstr;

LdbWriter::Options For(std::vector<std::string> families) {
  LdbWriter::Options options;
  options.families = std::move(families);
  return options;
}

class LdbWriterFamiliesTest : public testing::Test {
 protected:
  Rows Tables() {
    return QueryFile(path_,
                     "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE "
                     "'!_ldb!_%' ESCAPE '!' ORDER BY name");
  }
  Rows Families() { return QueryFile(path_, "SELECT value FROM _ldb_state WHERE name='families'"); }

  TestFolder folder_;
  const std::string path_ = folder_.Path("ldb.db");
  TestLedger ledger_;
};

TEST_F(LdbWriterFamiliesTest, OtherFamiliesAreGoneOverAndThePositionMovesOn) {
  std::unique_ptr<LdbWriter> writer = OpenWriter(path_, For({"other", "FAM", "fam"}));
  ledger_.Add("CREATE TABLE fam___tbl (\"a\" INTEGER, PRIMARY KEY(\"a\"));");
  ledger_.Add("CREATE TABLE gone___tbl (\"a\" INTEGER, PRIMARY KEY(\"a\"));");
  ledger_.Add("CREATE TABLE famous___tbl (\"a\" INTEGER, PRIMARY KEY(\"a\"));");
  ledger_.Begin();
  ledger_.Add("REPLACE INTO gone___tbl (\"a\") VALUES(1)");
  ledger_.Add("REPLACE INTO fam___tbl (\"a\") VALUES(1)");
  ledger_.Add("DELETE FROM never___tbl WHERE \"a\" = 1");
  ledger_.Commit();
  ledger_.Add("ALTER TABLE gone___tbl ADD COLUMN \"b\" TEXT");
  ledger_.Add("-- x\nREPLACE INTO \"FAM___tbl\" (a) VALUES(2)");
  ledger_.Add("DELETE FROM gone___tbl");
  ledger_.Add("DROP TABLE IF EXISTS gone___tbl");
  const absl::Status status = writer->Apply(ledger_.Take());
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(writer->applied_sequence(), 12);
  EXPECT_EQ(writer->applied().entries, 12);
  EXPECT_EQ(Tables(), (Rows{{Value::Text("fam___tbl")}}));
  EXPECT_EQ(QueryFile(path_, "SELECT a FROM fam___tbl"),
            (Rows{{Value::Integer(1)}, {Value::Integer(2)}}));
  EXPECT_EQ(Families(), (Rows{{Value::Text("fam,other")}}));
}

TEST_F(LdbWriterFamiliesTest, AStatementWhoseFamilyIsNotSureFails) {
  std::unique_ptr<LdbWriter> writer = OpenWriter(path_, For({"fam"}));
  ASSERT_TRUE(writer->Apply({{1, "", "CREATE TABLE fam___tbl (a INTEGER PRIMARY KEY)"}}).ok());
  for (const char* statement : {"DELETE FROM main.other___tbl", "DELETE FROM nofamily", "garbage",
                                "", "WITH x AS (SELECT 1) INSERT INTO fam___tbl SELECT * FROM x",
                                "ALTER TABLE fam___tbl RENAME TO other___tbl",
                                "CREATE INDEX i ON fam___tbl (a)", "DELETE FROM _ldb_seq"}) {
    const absl::Status status = writer->Apply({{2, "", "REPLACE INTO fam___tbl (a) VALUES(5)"},
                                               {3, "", "--- BEGIN"},
                                               {4, "", statement},
                                               {5, "", "--- COMMIT"}});
    EXPECT_EQ(ErrorReason(status), reason::kEntryFailed) << statement;
    EXPECT_EQ(writer->failed_sequence(), 4) << statement;
    EXPECT_EQ(writer->applied_sequence(), 2);
    writer = nullptr;
    ASSERT_TRUE(OpenPlain(path_, /*read_only=*/false)
                    ->Execute("UPDATE _ldb_seq SET seq = 1; DELETE FROM fam___tbl")
                    .ok());
    writer = OpenWriter(path_, For({"fam"}));
  }
}

TEST_F(LdbWriterFamiliesTest, AnLdbIsForTheFamiliesItWasMadeFor) {
  // Before anything is applied the list may change.
  OpenWriter(path_, For({"one"}));
  ASSERT_TRUE(OpenWriter(path_, For({"two", "one"}))
                  ->Apply({{1, "", "CREATE TABLE one___tbl (\"a\" INTEGER, PRIMARY KEY(\"a\"));"}})
                  .ok());
  OpenWriter(path_, For({"one", "two"}));
  for (const std::vector<std::string>& others :
       std::vector<std::vector<std::string>>{{}, {"one"}, {"one", "two", "three"}}) {
    const absl::Status status = LdbWriter::Open(path_, For(others)).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_EQ(ErrorReason(status), reason::kFamiliesDiffer);
    EXPECT_THAT(std::string(status.message()), HasSubstr("one,two"));
  }
  EXPECT_EQ(LdbWriter::Open(path_, For({"no family"})).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Families(), (Rows{{Value::Text("one,two")}}));
}

TEST_F(LdbWriterFamiliesTest, AnLdbThatDoesNotSayHasAll) {
  ASSERT_TRUE(OpenPlain(path_, /*read_only=*/false)
                  ->Execute(absl::StrCat("PRAGMA journal_mode=WAL; ", kCreateSequenceTable,
                                         "; INSERT INTO _ldb_seq VALUES (1, 7)"))
                  .ok());
  EXPECT_EQ(ErrorReason(LdbWriter::Open(path_, For({"fam"})).status()), reason::kFamiliesDiffer);
  EXPECT_EQ(OpenWriter(path_)->applied_sequence(), 7);
  EXPECT_EQ(Families(), (Rows{{Value::Text("")}}));
}

// A filtered local database is the unfiltered one without the other families' tables.
TEST_F(LdbWriterFamiliesTest, HasWhatTheWholeOneHasOfItsFamilies) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    sql::RandomData random(seed);
    TestLedger ledger;
    std::vector<TableSchema> tables;
    for (int i = 0; i < 6; ++i) {
      tables.push_back(random.Table(absl::StrCat("fam", i % 3), absl::StrCat("tbl", i)));
      ledger.Add(sql::CreateTableStatement(tables.back()));
    }
    bool open = false;
    for (int i = 0; i < 300; ++i) {
      if (random.OneIn(5)) {
        open ? ledger.Commit() : ledger.Begin();
        open = !open;
      }
      TableSchema& table = tables[random.Below(tables.size())];
      std::vector<Value> row;
      for (size_t f = 0; f < table.fields().size(); ++f) {
        row.push_back(random.Of(table.fields()[f].type, !table.is_key(f)));
      }
      std::string statement =
          random.OneIn(50) ? sql::ClearTableStatement(table.name())
          : random.OneIn(50)
              ? sql::AddFieldStatement(table.name(), {absl::StrCat("n", i), random.Type()})
              : sql::UpsertStatement(table, std::vector<ValueView>(row.begin(), row.end()));
      if (random.OneIn(10)) statement = absl::StrCat("/* fam0___tbl0 */ ", statement);
      ledger.Add(std::move(statement));
    }
    if (open) ledger.Commit();
    const std::string whole = folder_.Path(absl::StrCat("whole", seed));
    const std::string part = folder_.Path(absl::StrCat("part", seed));
    ASSERT_TRUE(OpenWriter(whole)->Apply(ledger.entries()).ok());
    std::unique_ptr<LdbWriter> writer = OpenWriter(part, For({"fam0", "fam2"}));
    while (writer->received_sequence() < static_cast<int64_t>(ledger.entries().size())) {
      const absl::Status status =
          writer->Apply(ledger.After(writer->received_sequence(), 1 + random.Below(40)));
      ASSERT_TRUE(status.ok()) << status;
    }
    std::unique_ptr<sqlite::Database> expected = OpenPlain(whole, /*read_only=*/false);
    ASSERT_TRUE(expected->Execute("DROP TABLE fam1___tbl1; DROP TABLE fam1___tbl4").ok());
    EXPECT_EQ(Contents(expected.get()), Contents(OpenPlain(part).get()));
    EXPECT_EQ(QueryFile(whole, kReadSequence), QueryFile(part, kReadSequence));
  }
}

}  // namespace
}  // namespace ctlstore::ldb
