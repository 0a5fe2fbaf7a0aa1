#include "executive/testing/ledger_comparison.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/ctldb/catalog.h"
#include "common/ctldb/connection_pool.h"
#include "common/ctldb/ledger_transaction.h"
#include "common/ctldb/schema_changer.h"
#include "common/schema/table_schema.h"
#include "executive/testing/test_ctldb.h"

namespace ctlstore::executive {
namespace {

// That the comparison finds faults that are put in on purpose.
class LedgerComparisonTest : public testing::TestWithParam<TestCtldb::Kind> {
 protected:
  void SetUp() override {
    connection_ = ctldb_.Connect();
    ASSERT_TRUE(ctldb::CreateFamily(connection_.get(), "fam").ok());
    ctldb::ConnectionPool pool(
        [this]() -> absl::StatusOr<std::unique_ptr<ctldb::Connection>> { return ctldb_.Connect(); },
        2);
    ctldb::SchemaChanger changer(&pool);
    ASSERT_TRUE(changer.CreateTables({schema_}, absl::Now() + absl::Minutes(1)).ok());
    Write(1, "one");
    Write(2, "two");
    ASSERT_TRUE(Compare().ok()) << Compare();
  }

  // The row and its ledger entry.
  void Write(int64_t id, const char* name) {
    absl::StatusOr<ctldb::LedgerTransaction> transaction =
        ctldb::LedgerTransaction::Begin(connection_.get());
    ASSERT_TRUE(transaction.ok()) << transaction.status();
    transaction->Upsert(schema_, {ValueView(id), ValueView(name)});
    const std::string statement =
        absl::StrCat("REPLACE INTO fam___tbl (\"id\",\"name\") VALUES(", id, ",'", name, "')");
    transaction->Append({statement});
    ASSERT_TRUE(transaction->Commit().ok());
  }

  void Run(const char* sql) {
    absl::StatusOr<int64_t> changed = connection_->Execute(sql);
    ASSERT_TRUE(changed.ok()) << changed.status();
  }

  absl::Status Compare() { return CompareLedgerWithTables(connection_.get()); }

  TestCtldb ctldb_{GetParam()};
  std::unique_ptr<ctldb::Connection> connection_;
  const TableSchema schema_ = *TableSchema::Create(
      "fam", "tbl", {{"id", FieldType::kInteger}, {"name", FieldType::kText}}, {"id"});
};

TEST_P(LedgerComparisonTest, FindsAChangedValue) {
  Run("UPDATE fam___tbl SET \"name\" = 'Two' WHERE \"id\" = 2");
  EXPECT_FALSE(Compare().ok());
}

TEST_P(LedgerComparisonTest, FindsARowThatIsMissing) {
  Run("DELETE FROM fam___tbl WHERE \"id\" = 2");
  EXPECT_FALSE(Compare().ok());
}

TEST_P(LedgerComparisonTest, FindsANullInPlaceOfAnEmptyText) {
  Write(3, "");
  ASSERT_TRUE(Compare().ok()) << Compare();
  Run("UPDATE fam___tbl SET \"name\" = NULL WHERE \"id\" = 3");
  EXPECT_FALSE(Compare().ok());
}

TEST_P(LedgerComparisonTest, FindsAGapInTheLedger) {
  Run("DELETE FROM ctlstore_dml_ledger WHERE seq = 2");
  EXPECT_FALSE(Compare().ok());
}

TEST_P(LedgerComparisonTest, FindsAnOpenTransaction) {
  Run("INSERT INTO ctlstore_dml_ledger (seq, statement) VALUES (4, '--- BEGIN')");
  EXPECT_FALSE(Compare().ok());
}

TEST_P(LedgerComparisonTest, FindsAStatementThatDoesNotRun) {
  Run("INSERT INTO ctlstore_dml_ledger (seq, statement) VALUES (4, 'DELETE FROM fam___nowhere')");
  EXPECT_FALSE(Compare().ok());
}

INSTANTIATE_TEST_SUITE_P(Ctldbs, LedgerComparisonTest,
                         testing::Values(TestCtldb::Kind::kSqlite, TestCtldb::Kind::kMariadb),
                         [](const auto& info) { return KindName(info.param); });

}  // namespace
}  // namespace ctlstore::executive
