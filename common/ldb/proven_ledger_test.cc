#include "common/ldb/proven_ledger.h"

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "common/ldb/ldb_test_util.h"
#include "common/ldb/ldb_writer.h"

namespace ctlstore::ldb {
namespace {

// All that the tables say, as the history would have it.
std::vector<ReadHistory::Fact> FactsOf(const std::vector<ProvenTable>& tables,
                                       sqlite::Database* database) {
  std::vector<ReadHistory::Fact> facts;
  for (const ProvenTable& table : tables) {
    const std::string name = absl::StrCat("fam___", table.name);
    const bool exists =
        !Query(database, absl::StrCat("SELECT 1 FROM sqlite_schema WHERE name = '", name, "'"))
             .empty();
    facts.push_back({table.Existence(), exists ? 1 : 0});
    for (int64_t group = 0; group < table.groups; ++group) {
      for (int64_t member = 0; member < table.members; ++member) {
        Rows rows;
        if (exists) {
          rows = Query(database, absl::StrCat("SELECT version, proof FROM ", name, " WHERE grp = ",
                                              group, " AND member = '", MemberName(member), "'"));
        }
        const int64_t version = rows.empty() ? 0 : rows[0][0].integer();
        if (version != 0) {
          EXPECT_EQ(rows[0][1].integer(), ProofOf(table.number, group, member, version));
        }
        facts.push_back({table.Row(group, member), version});
      }
    }
  }
  return facts;
}

TEST(ProvenLedgerTest, TheHistoryIsWhatTheLedgerDoes) {
  TestFolder folder;
  ReadHistory history;
  ProvenLedger ledger({{"fam", "one", 1, 3, 4}, {"fam", "two", 2, 2, 6}}, &history, 1);
  std::unique_ptr<LdbWriter> writer = OpenWriter(folder.Path("ldb.db"));
  std::unique_ptr<LdbWriter> other;
  std::unique_ptr<sqlite::Database> database = OpenPlain(folder.Path("ldb.db"));
  for (int i = 0; i < 1500; ++i) {
    const absl::Status status = writer->Apply(ledger.Next());
    ASSERT_TRUE(status.ok()) << status;
    const int64_t last = ledger.last_sequence();
    ASSERT_EQ(writer->applied_sequence(), last);
    ASSERT_TRUE(history.IsPosition(last));
    for (const ReadHistory::Fact& fact : FactsOf(ledger.tables(), database.get())) {
      ASSERT_EQ(history.Explain({fact}, last), last)
          << fact.subject << " is " << fact.state << ": " << history.Describe(fact.subject, last);
    }
    if (i % 100 != 99) continue;
    const std::string path = folder.Path(absl::StrCat(i, ".db"));
    ASSERT_TRUE(OpenWriter(path)->Apply(ledger.Whole()).ok());
    EXPECT_EQ(Contents(OpenPlain(path).get()), Contents(database.get()));
    EXPECT_EQ(OpenWriter(path)->applied_sequence(), last);
  }
}

}  // namespace
}  // namespace ctlstore::ldb
