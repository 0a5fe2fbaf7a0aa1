#include "common/ctldb/ledger_transaction.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/ctldb/schema_intents.h"
#include "common/ctldb/testing/ctldb_test_base.h"
#include "common/schema/errors.h"
#include "common/sql/ledger_statements.h"

namespace ctlstore::ctldb {
namespace {

using ::ctlstore::ctldb::testing::CtldbTest;
using ::ctlstore::ctldb::testing::MustQuery;
using ::ctlstore::ctldb::testing::MustSchema;
using ::ctlstore::ctldb::testing::Rows;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class LedgerTransactionTest : public CtldbTest {
 protected:
  // (seq, statement) of every entry.
  static std::vector<std::pair<int64_t, std::string>> Ledger(Connection* connection) {
    std::vector<std::pair<int64_t, std::string>> entries;
    for (const auto& row :
         MustQuery(connection, "SELECT seq, statement FROM ctlstore_dml_ledger ORDER BY seq")) {
      entries.emplace_back(row[0].integer(), row[1].data());
    }
    return entries;
  }

  static int64_t MustAppend(Connection* connection, const std::vector<std::string>& statements) {
    absl::StatusOr<LedgerTransaction> transaction = LedgerTransaction::Begin(connection);
    EXPECT_TRUE(transaction.ok()) << transaction.status();
    const int64_t sequence = transaction->Append(statements);
    absl::Status status = transaction->Commit();
    EXPECT_TRUE(status.ok()) << status;
    return sequence;
  }
};

CTLSTORE_FOR_BOTH_KINDS(LedgerTransactionTest);

TEST_P(LedgerTransactionTest, NumbersEntriesFromOne) {
  std::unique_ptr<Connection> connection = OpenReady();
  EXPECT_EQ(MustAppend(connection.get(), {"a"}), 1);
  EXPECT_EQ(MustAppend(connection.get(), {"b"}), 2);
  EXPECT_EQ(LedgerTransaction::Begin(connection.get())->last_sequence(), 2);
  EXPECT_THAT(Ledger(connection.get()),
              ElementsAre(std::make_pair(1, "a"), std::make_pair(2, "b")));
}

TEST_P(LedgerTransactionTest, PutsMarkersAroundSeveralStatements) {
  std::unique_ptr<Connection> connection = OpenReady();
  EXPECT_EQ(MustAppend(connection.get(), {"a", "b"}), 4);
  EXPECT_EQ(MustAppend(connection.get(), {"c"}), 5);
  EXPECT_EQ(MustAppend(connection.get(), {}), 5);
  EXPECT_THAT(
      Ledger(connection.get()),
      ElementsAre(std::make_pair(1, "--- BEGIN"), std::make_pair(2, "a"), std::make_pair(3, "b"),
                  std::make_pair(4, "--- COMMIT"), std::make_pair(5, "c")));
}

TEST_P(LedgerTransactionTest, AppendsAnyNumberOfStatementsInOrder) {
  std::unique_ptr<Connection> connection = OpenReady();
  std::vector<std::pair<int64_t, std::string>> expected;
  int64_t sequence = 0;
  for (int count : {1, 3, 63, 64, 65, 100, 200}) {
    std::vector<std::string> statements;
    if (count > 1) expected.emplace_back(++sequence, "--- BEGIN");
    for (int i = 0; i < count; ++i) {
      statements.push_back(absl::StrCat("statement ", i, " of ", count));
      expected.emplace_back(++sequence, statements.back());
    }
    if (count > 1) expected.emplace_back(++sequence, "--- COMMIT");
    EXPECT_EQ(MustAppend(connection.get(), statements), sequence);
  }
  EXPECT_EQ(Ledger(connection.get()), expected);
}

TEST_P(LedgerTransactionTest, AppendsTheLargestStatementsThatARequestMayHave) {
  std::unique_ptr<Connection> connection = OpenReady();
  // More together than one packet of the server may hold (16 MiB).
  std::vector<std::string> statements;
  for (int i = 0; i < 30; ++i) statements.push_back(std::string(768 * 1024, 'a' + i % 26));
  EXPECT_EQ(MustAppend(connection.get(), statements), 32);
  const auto ledger = Ledger(connection.get());
  ASSERT_EQ(ledger.size(), 32u);
  for (int i = 0; i < 30; ++i) EXPECT_EQ(ledger[i + 1].second, statements[i]);
}

TEST_P(LedgerTransactionTest, WritesRowsAndEntriesTogetherOrNotAtAll) {
  std::unique_ptr<Connection> connection = OpenReady();
  const TableSchema schema = MustSchema(
      "fam", "tbl", {{"name", FieldType::kString}, {"n", FieldType::kInteger}}, {"name"});
  ASSERT_TRUE(connection->Execute(connection->dialect().CreateTable(schema)).ok());
  const auto write = [&](const char* name, int n, bool commit) {
    absl::StatusOr<LedgerTransaction> transaction = LedgerTransaction::Begin(connection.get());
    ASSERT_TRUE(transaction.ok()) << transaction.status();
    transaction->Upsert(schema, {name, n});
    transaction->Append({sql::UpsertStatement(schema, {name, n})});
    const absl::Status ended = commit ? transaction->Commit() : transaction->Flush();
    ASSERT_TRUE(ended.ok()) << ended;
  };
  write("a", 1, true);
  write("b", 2, false);
  write("a", 3, true);
  EXPECT_FALSE(connection->in_transaction());
  EXPECT_THAT(MustQuery(connection.get(), "SELECT name, n FROM fam___tbl"),
              ElementsAre(ElementsAre(Value::Text("a"), Value::Integer(3))));
  EXPECT_EQ(Ledger(connection.get()).size(), 2u);

  absl::StatusOr<LedgerTransaction> transaction = LedgerTransaction::Begin(connection.get());
  ASSERT_TRUE(transaction.ok());
  transaction->Delete(schema, {"nobody"});
  transaction->Delete(schema, {"a"});
  LedgerTransaction moved = *std::move(transaction);
  ASSERT_TRUE(moved.Commit().ok());
  EXPECT_THAT(MustQuery(connection.get(), "SELECT name FROM fam___tbl"), IsEmpty());

  const TableSchema missing =
      MustSchema("fam", "missing", {{"name", FieldType::kString}}, {"name"});
  absl::StatusOr<LedgerTransaction> last = LedgerTransaction::Begin(connection.get());
  last->Upsert(missing, {"x"});
  EXPECT_EQ(ErrorReason(last->Flush()), reason::kTableNotFound);
}

TEST_P(LedgerTransactionTest, LeavesNoGapBehindARollback) {
  std::unique_ptr<Connection> connection = OpenReady();
  for (int i = 0; i < 5; ++i) {
    {
      absl::StatusOr<LedgerTransaction> transaction = LedgerTransaction::Begin(connection.get());
      ASSERT_TRUE(transaction.ok());
      transaction->Append({"lost", "lost too"});
      ASSERT_TRUE(transaction->Flush().ok());
    }
    EXPECT_EQ(MustAppend(connection.get(), {"kept"}), i + 1);
  }
}

TEST_P(LedgerTransactionTest, HasNoGapsAndNoMixedTransactionsWithManyWriters) {
  OpenReady();
  constexpr int kWriters = 4;
  constexpr int kTransactions = 40;
  std::vector<std::thread> threads;
  std::atomic<int> failures{0};
  for (int writer = 0; writer < kWriters; ++writer) {
    threads.emplace_back([&, writer] {
      std::unique_ptr<Connection> connection = Open();
      for (int i = 0; i < kTransactions; ++i) {
        absl::StatusOr<LedgerTransaction> transaction = LedgerTransaction::Begin(connection.get());
        if (!transaction.ok()) {
          ++failures;
          continue;
        }
        const int64_t before = transaction->last_sequence();
        const std::string own = absl::StrCat(writer, "/", i);
        const int64_t sequence =
            i % 2 == 0 ? transaction->Append({own}) : transaction->Append({own, own});
        if (sequence != before + (i % 2 == 0 ? 1 : 4)) ++failures;
        // Every fourth is rolled back.
        if (!(i % 4 == 3 ? transaction->Flush() : transaction->Commit()).ok()) ++failures;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failures, 0);
  const auto ledger = Ledger(Open().get());
  // Of four transactions two have one entry, one has four, one is rolled back.
  EXPECT_EQ(ledger.size(), static_cast<size_t>(kWriters * kTransactions / 4 * 6));
  for (size_t i = 0; i < ledger.size(); ++i) {
    ASSERT_EQ(ledger[i].first, static_cast<int64_t>(i + 1));
    if (ledger[i].second != "--- BEGIN") continue;
    ASSERT_EQ(ledger[i + 1].second, ledger[i + 2].second);
    ASSERT_EQ(ledger[i + 3].second, "--- COMMIT");
  }
}

TEST_P(LedgerTransactionTest, SaysBusyWhereTheLockIsNotHadInTime) {
  std::unique_ptr<Connection> connection = OpenReady();
  absl::StatusOr<LedgerTransaction> holder = LedgerTransaction::Begin(connection.get());
  ASSERT_TRUE(holder.ok());
  options_.lock_timeout = absl::Milliseconds(50);
  std::unique_ptr<Connection> other = Open();
  absl::StatusOr<LedgerTransaction> waiter = LedgerTransaction::Begin(other.get());
  EXPECT_EQ(waiter.status().code(), absl::StatusCode::kUnavailable) << waiter.status();
  EXPECT_EQ(ErrorReason(waiter.status()), reason::kCtldbBusy);
  EXPECT_FALSE(other->in_transaction());
  ASSERT_TRUE(holder->Commit().ok());
  EXPECT_TRUE(LedgerTransaction::Begin(other.get()).ok());
}

TEST_P(LedgerTransactionTest, SeesASchemaChangeThatWasBegun) {
  std::unique_ptr<Connection> connection = OpenReady();
  {
    absl::StatusOr<LedgerTransaction> transaction = LedgerTransaction::Begin(connection.get());
    ASSERT_TRUE(transaction.ok());
    EXPECT_FALSE(transaction->schema_change_pending());
    ASSERT_TRUE(AddIntent(connection.get(), {"x"}).ok());
    ASSERT_TRUE(transaction->Commit().ok());
  }
  EXPECT_TRUE(LedgerTransaction::Begin(Open().get())->schema_change_pending());
}

TEST_P(LedgerTransactionTest, GoesOnBehindALedgerOfAnother) {
  std::unique_ptr<Connection> connection = OpenReady();
  ASSERT_TRUE(connection
                  ->Execute("INSERT INTO ctlstore_dml_ledger (seq, statement) "
                            "VALUES (3, 'x'), (17, 'y')")
                  .ok());
  EXPECT_EQ(MustAppend(connection.get(), {"z"}), 18);
}

TEST_P(LedgerTransactionTest, SaysWhereTheCtldbIsNotSetUp) {
  std::unique_ptr<Connection> connection = Open();
  EXPECT_EQ(LedgerTransaction::Begin(connection.get()).status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_FALSE(connection->in_transaction());
  connection = OpenReady();
  ASSERT_TRUE(connection->Execute("DELETE FROM locks").ok());
  EXPECT_EQ(LedgerTransaction::Begin(connection.get()).status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_FALSE(connection->in_transaction());
}

}  // namespace
}  // namespace ctlstore::ctldb
