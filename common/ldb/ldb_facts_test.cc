#include "common/ldb/ldb_facts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/ldb/ldb_tables.h"
#include "common/ldb/ldb_test_util.h"

namespace ctlstore::ldb {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr char kCreate[] = "CREATE TABLE fam___tbl (\"k\" INTEGER, PRIMARY KEY(\"k\"));";

class LdbFactsTest : public ::testing::Test {
 protected:
  absl::StatusOr<LdbFacts> Facts() { return ReadLdbFacts(OpenPlain(folder_.Path("ldb.db")).get()); }
  TestFolder folder_;
};

TEST_F(LdbFactsTest, AreWhatTheWriterHasWritten) {
  LdbWriter::Options options;
  options.families = {"other", "fam"};
  auto writer = OpenWriter(folder_.Path("ldb.db"), options);
  ASSERT_TRUE(Facts().ok());
  EXPECT_EQ(Facts()->position, LedgerPosition());
  EXPECT_EQ(Facts()->last_update, "");

  TestLedger ledger;
  ledger.Add(kCreate);
  ledger.Add("nonsense");
  writer->SkipEntry(2);
  ledger.Add("REPLACE INTO fam___tbl (\"k\") VALUES(1)");
  ASSERT_TRUE(writer->Apply(ledger.entries()).ok());
  const absl::StatusOr<LdbFacts> facts = Facts();
  ASSERT_TRUE(facts.ok()) << facts.status();
  EXPECT_EQ(facts->position, writer->applied_position());
  EXPECT_EQ(facts->position.sequence, 3);
  EXPECT_EQ(facts->position.digest.size(), 16u);
  EXPECT_THAT(facts->families, ElementsAre("fam", "other"));
  EXPECT_EQ(facts->skipped_entries, 1);
  EXPECT_NE(facts->last_update, "");

  // Another program goes on, and knows nothing of digests.
  writer.reset();
  ASSERT_TRUE(
      OpenPlain(folder_.Path("ldb.db"), false)->Execute("UPDATE _ldb_seq SET seq = 4").ok());
  EXPECT_EQ(Facts()->position, (LedgerPosition{4, ""}));
}

TEST_F(LdbFactsTest, OfAnotherProgramsFileAreFewer) {
  ASSERT_TRUE(
      OpenPlain(folder_.Path("ldb.db"), false)
          ->Execute(absl::StrCat(kCreateSequenceTable, ";", "INSERT INTO _ldb_seq VALUES (1, 17)"))
          .ok());
  const absl::StatusOr<LdbFacts> facts = Facts();
  ASSERT_TRUE(facts.ok()) << facts.status();
  EXPECT_EQ(facts->position, (LedgerPosition{17, ""}));
  EXPECT_THAT(facts->families, IsEmpty());
  EXPECT_EQ(facts->skipped_entries, 0);
  EXPECT_EQ(facts->last_update, "");
}

TEST_F(LdbFactsTest, OfAFileThatIsNoLocalDatabaseThereAreNone) {
  ASSERT_TRUE(OpenPlain(folder_.Path("ldb.db"), false)->Execute(kCreate).ok());
  EXPECT_EQ(Facts().status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(LdbFactsTest, AreReadInTheTransactionThatIsOpen) {
  auto writer = OpenWriter(folder_.Path("ldb.db"));
  TestLedger ledger;
  ledger.Add(kCreate);
  ASSERT_TRUE(writer->Apply(ledger.Take()).ok());
  auto reader = OpenPlain(folder_.Path("ldb.db"));
  ASSERT_TRUE(reader->Execute("BEGIN").ok());
  EXPECT_EQ(ReadLdbFacts(reader.get())->position.sequence, 1);
  ledger.Add("REPLACE INTO fam___tbl (\"k\") VALUES(1)");
  ASSERT_TRUE(writer->Apply(ledger.Take()).ok());
  EXPECT_EQ(ReadLdbFacts(reader.get())->position.sequence, 1);
  ASSERT_TRUE(reader->Execute("ROLLBACK").ok());
  EXPECT_EQ(ReadLdbFacts(reader.get())->position.sequence, 2);
}

}  // namespace
}  // namespace ctlstore::ldb
