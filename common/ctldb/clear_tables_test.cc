#include "common/ctldb/clear_tables.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/ctldb/catalog.h"
#include "common/ctldb/ledger_transaction.h"
#include "common/ctldb/schema_intents.h"
#include "common/ctldb/testing/ctldb_test_base.h"
#include "common/schema/errors.h"
#include "common/sql/ledger_statements.h"

namespace ctlstore::ctldb {
namespace {

using ::ctlstore::ctldb::testing::CtldbTest;
using ::ctlstore::ctldb::testing::MustOpen;
using ::ctlstore::ctldb::testing::MustQuery;
using ::ctlstore::ctldb::testing::MustSchema;
using ::ctlstore::ctldb::testing::NewTarget;
using ::ctlstore::ctldb::testing::Rows;
using ::ctlstore::ctldb::testing::SharedMariadbServer;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

absl::Time Late() { return absl::Now() + absl::Minutes(2); }

TableSchema Simple(const std::string& family, const std::string& table) {
  return MustSchema(family, table, {{"name", FieldType::kString}, {"n", FieldType::kInteger}},
                    {"name"});
}

class ClearTablesTest : public CtldbTest {
 protected:
  ClearTablesTest() {
    connection_ = OpenReady();
    pool_ = NewPool(3);
    changer_ = std::make_unique<SchemaChanger>(pool_.get());
    for (const char* family : {"fam", "other", "empty"}) {
      EXPECT_TRUE(CreateFamily(connection_.get(), family).ok());
    }
    EXPECT_TRUE(
        changer_
            ->CreateTables({Simple("fam", "one"), Simple("fam", "two"), Simple("other", "one")},
                           Late())
            .ok());
    Write("fam", "one", "a");
    Write("fam", "one", "b");
    Write("fam", "two", "c");
    Write("other", "one", "d");
  }

  void Write(const std::string& family, const std::string& table, const std::string& name) {
    absl::StatusOr<LedgerTransaction> transaction = LedgerTransaction::Begin(connection_.get());
    ASSERT_TRUE(transaction.ok()) << transaction.status();
    const TableSchema schema = Simple(family, table);
    transaction->Upsert(schema, {name, 1});
    transaction->Append({sql::UpsertStatement(schema, {name, 1})});
    ASSERT_TRUE(transaction->Commit().ok());
  }

  Rows Names(const std::string& table) {
    return MustQuery(connection_.get(), absl::StrCat("SELECT name FROM ", table, " ORDER BY name"));
  }

  // The ledger's statements after `sequence`.
  std::vector<std::string> LedgerAfter(int64_t sequence) {
    std::vector<std::string> statements;
    for (const auto& row : MustQuery(connection_.get(),
                                     "SELECT seq, statement FROM ctlstore_dml_ledger WHERE seq > ? "
                                     "ORDER BY seq",
                                     {sequence})) {
      EXPECT_EQ(row[0].integer(), ++sequence);
      statements.push_back(row[1].data());
    }
    return statements;
  }

  int64_t LastSequence() {
    return MustQuery(connection_.get(), "SELECT MAX(seq) FROM ctlstore_dml_ledger")[0][0].integer();
  }

  // Plays the whole ledger on an empty database, which must then have the same rows.
  void ExpectThatTheLedgerTellsAll() {
    std::unique_ptr<Connection> copy = MustOpen(NewTarget(Target::Kind::kSqlite));
    for (const std::string& statement : LedgerAfter(0)) {
      if (absl::StartsWith(statement, "---")) continue;
      ASSERT_TRUE(copy->Execute(statement).ok()) << statement;
    }
    absl::StatusOr<std::vector<TableSchema>> tables = ReadTables(connection_.get(), "");
    ASSERT_TRUE(tables.ok()) << tables.status();
    for (const TableSchema& table : *tables) {
      const std::string sql =
          absl::StrCat("SELECT name, n FROM ", SqlTableName(table.name()), " ORDER BY name");
      EXPECT_EQ(MustQuery(copy.get(), sql), MustQuery(connection_.get(), sql));
    }
  }

  std::unique_ptr<Connection> connection_;
  std::unique_ptr<ConnectionPool> pool_;
  std::unique_ptr<SchemaChanger> changer_;
};

CTLSTORE_FOR_BOTH_KINDS(ClearTablesTest);

TEST_P(ClearTablesTest, RemovesTheRowsOfOneTable) {
  const int64_t before = LastSequence();
  absl::StatusOr<int64_t> sequence =
      ClearTable(pool_.get(), changer_.get(), {"fam", "one"}, Late());
  ASSERT_TRUE(sequence.ok()) << sequence.status();
  EXPECT_EQ(*sequence, before + 1);
  EXPECT_THAT(LedgerAfter(before), ElementsAre("DELETE FROM fam___one"));
  EXPECT_THAT(Names("fam___one"), IsEmpty());
  EXPECT_EQ(Names("fam___two").size(), 1u);
  EXPECT_EQ(Names("other___one").size(), 1u);
  // Also what is empty already.
  EXPECT_EQ(*ClearTable(pool_.get(), changer_.get(), {"fam", "one"}, Late()), before + 2);
  Write("fam", "one", "again");
  ExpectThatTheLedgerTellsAll();
}

TEST_P(ClearTablesTest, RemovesTheRowsOfAFamilyInOneLedgerTransaction) {
  const int64_t before = LastSequence();
  absl::StatusOr<int64_t> sequence = ClearFamily(pool_.get(), changer_.get(), "fam", Late());
  ASSERT_TRUE(sequence.ok()) << sequence.status();
  EXPECT_EQ(*sequence, before + 4);
  EXPECT_THAT(LedgerAfter(before), ElementsAre("--- BEGIN", "DELETE FROM fam___one",
                                               "DELETE FROM fam___two", "--- COMMIT"));
  EXPECT_THAT(Names("fam___one"), IsEmpty());
  EXPECT_THAT(Names("fam___two"), IsEmpty());
  EXPECT_EQ(Names("other___one").size(), 1u);
  ExpectThatTheLedgerTellsAll();
}

TEST_P(ClearTablesTest, AFamilyOfOneTableNeedsNoMarkersAndAnEmptyOneNothing) {
  const int64_t before = LastSequence();
  EXPECT_EQ(*ClearFamily(pool_.get(), changer_.get(), "other", Late()), before + 1);
  EXPECT_THAT(LedgerAfter(before), ElementsAre("DELETE FROM other___one"));
  EXPECT_EQ(*ClearFamily(pool_.get(), changer_.get(), "empty", Late()), 0);
  EXPECT_EQ(LastSequence(), before + 1);
}

TEST_P(ClearTablesTest, SaysWhatIsNotThere) {
  const int64_t before = LastSequence();
  for (const auto& [status, wanted] : {
           std::make_pair(
               ClearTable(pool_.get(), changer_.get(), {"nowhere", "one"}, Late()).status(),
               reason::kFamilyNotFound),
           std::make_pair(
               ClearTable(pool_.get(), changer_.get(), {"fam", "missing"}, Late()).status(),
               reason::kTableNotFound),
           std::make_pair(ClearFamily(pool_.get(), changer_.get(), "nowhere", Late()).status(),
                          reason::kFamilyNotFound),
       }) {
    EXPECT_EQ(status.code(), absl::StatusCode::kNotFound) << status;
    EXPECT_EQ(ErrorReason(status), wanted) << status;
  }
  EXPECT_EQ(LastSequence(), before);
}

TEST_P(ClearTablesTest, LeavesTablesThatAreNotOurs) {
  ASSERT_TRUE(connection_->Execute("CREATE TABLE fam___odd (d DATE PRIMARY KEY)").ok());
  ASSERT_TRUE(connection_->Execute("INSERT INTO fam___odd VALUES ('2024-02-29')").ok());
  EXPECT_EQ(ClearTable(pool_.get(), changer_.get(), {"fam", "odd"}, Late()).status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(ClearFamily(pool_.get(), changer_.get(), "fam", Late()).ok());
  EXPECT_EQ(MustQuery(connection_.get(), "SELECT d FROM fam___odd").size(), 1u);
  ExpectThatTheLedgerTellsAll();
}

TEST_P(ClearTablesTest, CompletesWhatWasBegunBefore) {
  const int64_t before = LastSequence();
  ASSERT_TRUE(AddIntent(connection_.get(), {sql::DropTableStatement({"fam", "one"})}).ok());
  EXPECT_EQ(*ClearFamily(pool_.get(), changer_.get(), "fam", Late()), before + 2);
  EXPECT_THAT(LedgerAfter(before),
              ElementsAre("DROP TABLE IF EXISTS fam___one", "DELETE FROM fam___two"));
  ExpectThatTheLedgerTellsAll();
}

TEST_P(ClearTablesTest, ClearsAllOrNothing) {
  if (!is_mariadb()) GTEST_SKIP() << "SQLite has no users";
  for (const std::string& sql :
       {std::string("CREATE USER clerk"),
        absl::StrCat("GRANT SELECT, INSERT, UPDATE ON ", target_.database, ".* TO clerk"),
        absl::StrCat("GRANT DELETE ON ", target_.database, ".fam___one TO clerk")}) {
    ASSERT_TRUE(SharedMariadbServer()->RunSql(sql).ok()) << sql;
  }
  Target target = target_;
  target.user = "clerk";
  ConnectionPool pool([&] { return Connection::Open(target, options_); }, 2);
  SchemaChanger changer(&pool);
  const int64_t before = LastSequence();
  absl::Status status = ClearFamily(&pool, &changer, "fam", Late()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied) << status;
  EXPECT_EQ(Names("fam___one").size(), 2u);
  EXPECT_EQ(LastSequence(), before);
  EXPECT_TRUE(ClearTable(&pool, &changer, {"fam", "one"}, Late()).ok());
  ExpectThatTheLedgerTellsAll();
}

TEST_P(ClearTablesTest, ChangesNothingWhereItIsTooLateOrTheLockIsNotHad) {
  const int64_t before = LastSequence();
  EXPECT_EQ(ClearTable(pool_.get(), changer_.get(), {"fam", "one"}, absl::Now()).status().code(),
            absl::StatusCode::kDeadlineExceeded);
  options_.lock_timeout = absl::Seconds(1);
  std::unique_ptr<ConnectionPool> hasty = NewPool(2);
  {
    absl::StatusOr<LedgerTransaction> other = LedgerTransaction::Begin(connection_.get());
    ASSERT_TRUE(other.ok());
    absl::Status status = ClearFamily(hasty.get(), changer_.get(), "fam", Late()).status();
    EXPECT_EQ(ErrorReason(status), reason::kCtldbBusy) << status;
  }
  EXPECT_EQ(LastSequence(), before);
  EXPECT_EQ(Names("fam___one").size(), 2u);
}

TEST_P(ClearTablesTest, ClearsWhileOthersWriteAndChangeTables) {
  const auto write = [this] {
    std::unique_ptr<Connection> connection = Open();
    for (int i = 0; i < 100; ++i) {
      absl::StatusOr<LedgerTransaction> transaction = LedgerTransaction::Begin(connection.get());
      ASSERT_TRUE(transaction.ok()) << transaction.status();
      if (transaction->schema_change_pending()) continue;
      const TableSchema schema = Simple("fam", i % 2 == 0 ? "one" : "two");
      transaction->Upsert(schema, {absl::StrCat(i), i});
      transaction->Append({sql::UpsertStatement(schema, {absl::StrCat(i), i})});
      ASSERT_TRUE(transaction->Commit().ok());
    }
  };
  std::unique_ptr<ConnectionPool> other_pool = NewPool(2);
  const auto change = [&other_pool] {
    SchemaChanger changer(other_pool.get());
    for (int i = 0; i < 6; ++i) {
      ASSERT_TRUE(changer.CreateTables({Simple("fam", "coming")}, Late()).ok());
      ASSERT_TRUE(changer.DropTable({"fam", "coming"}, Late()).ok());
    }
  };
  std::thread writer(write), changer(change);
  for (int i = 0; i < 20; ++i) {
    absl::StatusOr<int64_t> sequence =
        i % 2 == 0 ? ClearTable(pool_.get(), changer_.get(), {"fam", "one"}, Late())
                   : ClearFamily(pool_.get(), changer_.get(), "fam", Late());
    EXPECT_TRUE(sequence.ok()) << sequence.status();
  }
  writer.join();
  changer.join();
  ExpectThatTheLedgerTellsAll();
}

}  // namespace
}  // namespace ctlstore::ctldb
