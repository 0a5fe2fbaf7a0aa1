#include "common/ctldb/ledger_transaction.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/ctldb/restore_mark.h"
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
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

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

TEST_P(LedgerTransactionTest, ACtldbThatIsBeingRestoredIsNotWritten) {
  const auto connection = OpenReady();
  ASSERT_TRUE(
      connection->Execute("INSERT INTO locks (id, clock) VALUES (?, 1)", {kRestoreMark}).ok());
  const absl::Status refused = LedgerTransaction::Begin(connection.get()).status();
  EXPECT_EQ(ErrorReason(refused), reason::kCtldbUnavailable) << refused;
  EXPECT_THAT(std::string(refused.message()), HasSubstr("is being restored"));
  EXPECT_FALSE(connection->in_transaction());
  ASSERT_TRUE(connection->Execute("DELETE FROM locks WHERE id = ?", {kRestoreMark}).ok());
  EXPECT_EQ(MustAppend(connection.get(), {"a"}), 1);
}

// Those who write into a table of a name and a number.
class LedgerTransactionRowsTest : public LedgerTransactionTest {
 protected:
  LedgerTransactionRowsTest() : connection_(OpenReady()) {
    for (const TableSchema* schema : {&schema_, &other_}) {
      EXPECT_TRUE(connection_->Execute(connection_->dialect().CreateTable(*schema)).ok());
    }
  }

  static TableSchema Schema(absl::string_view table) {
    return MustSchema("fam", table, {{"name", FieldType::kString}, {"n", FieldType::kInteger}},
                      {"name"});
  }

  LedgerTransaction MustBegin() {
    absl::StatusOr<LedgerTransaction> transaction = LedgerTransaction::Begin(connection_.get());
    EXPECT_TRUE(transaction.ok()) << transaction.status();
    return *std::move(transaction);
  }

  // name=n of each row.
  std::vector<std::string> Contents(absl::string_view table = "fam___tbl") {
    std::vector<std::string> contents;
    for (const auto& row : MustQuery(
             connection_.get(), absl::StrCat("SELECT name, n FROM ", table, " ORDER BY name"))) {
      contents.push_back(absl::StrCat(row[0].data(), "=", row[1].integer()));
    }
    return contents;
  }

  std::vector<std::string> Entries() {
    std::vector<std::string> entries;
    for (auto& [seq, entry] : Ledger(connection_.get())) {
      EXPECT_EQ(seq, static_cast<int64_t>(entries.size() + 1));
      entries.push_back(std::move(entry));
    }
    return entries;
  }

  const TableSchema schema_ = Schema("tbl");
  const TableSchema other_ = Schema("other");
  const TableSchema missing_ = Schema("missing");
  const std::unique_ptr<Connection> connection_;
};

CTLSTORE_FOR_BOTH_KINDS(LedgerTransactionRowsTest);

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

TEST_P(LedgerTransactionRowsTest, SendsChangesWhenAskedToAndNotBefore) {
  LedgerTransaction transaction = MustBegin();
  {
    std::string name = "a text that is longer than what strings hold in themselves";
    std::vector<std::string> statements = {"a statement that is longer than strings hold"};
    transaction.Upsert(schema_, {name, 1});
    EXPECT_EQ(transaction.Append(statements), 1);
    // What was given may go and change.
    name.assign(name.size(), 'x');
    statements[0].assign(statements[0].size(), 'x');
  }
  EXPECT_EQ(transaction.last_sequence(), 1);
  EXPECT_THAT(Contents(), IsEmpty());
  EXPECT_THAT(Entries(), IsEmpty());
  ASSERT_TRUE(transaction.Flush().ok());
  EXPECT_THAT(Contents(),
              ElementsAre("a text that is longer than what strings hold in themselves=1"));
  EXPECT_THAT(Entries(), ElementsAre("a statement that is longer than strings hold"));
  // Nothing is sent twice.
  ASSERT_TRUE(transaction.Flush().ok());
  transaction.Append({});
  ASSERT_TRUE(transaction.Flush().ok());
  ASSERT_TRUE(transaction.Commit().ok());
  EXPECT_EQ(Entries().size(), 1u);
}

TEST_P(LedgerTransactionRowsTest, ATransactionOfNothingLeavesNothing) {
  {
    LedgerTransaction transaction = MustBegin();
    EXPECT_TRUE(transaction.Flush().ok());
    EXPECT_TRUE(transaction.Commit().ok());
  }
  EXPECT_FALSE(connection_->in_transaction());
  EXPECT_THAT(Entries(), IsEmpty());
}

TEST_P(LedgerTransactionRowsTest, KeepsTheOrderOfChangesToOneTable) {
  LedgerTransaction transaction = MustBegin();
  transaction.Upsert(schema_, {"back again", 1});
  transaction.Upsert(schema_, {"gone", 1});
  transaction.Delete(schema_, {"back again"});
  transaction.Delete(schema_, {"gone"});
  transaction.Upsert(schema_, {"back again", 2});
  transaction.Upsert(schema_, {"twice", 1});
  transaction.Upsert(schema_, {"twice", 2});
  transaction.Delete(schema_, {"never there"});
  ASSERT_TRUE(transaction.Flush().ok());
  transaction.Upsert(schema_, {"twice", 3});
  ASSERT_TRUE(transaction.Commit().ok());
  EXPECT_THAT(Contents(), ElementsAre("back again=2", "twice=3"));
}

TEST_P(LedgerTransactionRowsTest, KeepsEachTablesOrderWhereTheyAreInterleaved) {
  LedgerTransaction transaction = MustBegin();
  for (int i = 0; i < 20; ++i) {
    transaction.Upsert(schema_, {"key", i});
    transaction.Upsert(other_, {absl::StrCat("key ", i % 3), i});
    transaction.Delete(schema_, {i % 2 == 0 ? "key" : "none"});
    transaction.Delete(other_, {"key 0"});
    transaction.Append({absl::StrCat("entry ", i)});
  }
  ASSERT_TRUE(transaction.Commit().ok());
  EXPECT_THAT(Contents(), ElementsAre("key=19"));
  EXPECT_THAT(Contents("fam___other"), ElementsAre("key 1=19", "key 2=17"));
  const std::vector<std::string> entries = Entries();
  ASSERT_EQ(entries.size(), 20u);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(entries[i], absl::StrCat("entry ", i));
}

TEST_P(LedgerTransactionRowsTest, FollowsAModelThroughRandomChanges) {
  std::mt19937 random(20260);
  std::map<std::string, int64_t> model[2];
  const TableSchema* const tables[] = {&schema_, &other_};
  for (int round = 0; round < 40; ++round) {
    LedgerTransaction transaction = MustBegin();
    std::vector<std::map<std::string, int64_t>> state = {model[0], model[1]};
    std::vector<std::map<std::string, int64_t>> saved;
    const int operations = static_cast<int>(random() % 60);
    for (int i = 0; i < operations; ++i) {
      const int table = static_cast<int>(random() % 2);
      const std::string key = absl::StrCat("k", random() % 8);
      switch (random() % 12) {
        case 0:
          ASSERT_TRUE(transaction.Flush().ok());
          break;
        case 1:
          ASSERT_TRUE(transaction.SetSavepoint().ok());
          saved = state;
          break;
        case 2:
          if (saved.empty()) break;
          ASSERT_TRUE(transaction.RollbackToSavepoint().ok());
          state = saved;
          break;
        case 3:
        case 4:
        case 5:
          transaction.Delete(*tables[table], {key});
          state[table].erase(key);
          break;
        default: {
          const int64_t n = static_cast<int64_t>(random());
          transaction.Upsert(*tables[table], {key, n});
          state[table][key] = n;
        }
      }
    }
    if (random() % 4 == 0) continue;  // rolled back
    ASSERT_TRUE(transaction.Commit().ok());
    model[0] = state[0];
    model[1] = state[1];
    const char* const names[] = {"fam___tbl", "fam___other"};
    for (int table = 0; table < 2; ++table) {
      std::vector<std::string> expected;
      for (const auto& [name, n] : model[table]) expected.push_back(absl::StrCat(name, "=", n));
      ASSERT_EQ(Contents(names[table]), expected) << "round " << round;
    }
  }
}

TEST_P(LedgerTransactionRowsTest, WritesManyRows) {
  constexpr int kRows = 3000;
  LedgerTransaction transaction = MustBegin();
  for (int i = 0; i < kRows; ++i) {
    transaction.Upsert(schema_, {absl::StrCat("row ", i), i});
    transaction.Append({absl::StrCat("first of ", i), absl::StrCat("second of ", i)});
  }
  for (int i = 0; i < kRows; i += 2) transaction.Delete(schema_, {absl::StrCat("row ", i)});
  ASSERT_TRUE(transaction.Commit().ok());
  EXPECT_EQ(Contents().size(), static_cast<size_t>(kRows / 2));
  const std::vector<std::string> entries = Entries();
  ASSERT_EQ(entries.size(), static_cast<size_t>(4 * kRows));
  for (int i = 0; i < kRows; ++i) {
    ASSERT_EQ(entries[4 * i], "--- BEGIN");
    ASSERT_EQ(entries[4 * i + 1], absl::StrCat("first of ", i));
    ASSERT_EQ(entries[4 * i + 2], absl::StrCat("second of ", i));
    ASSERT_EQ(entries[4 * i + 3], "--- COMMIT");
  }
}

TEST_P(LedgerTransactionRowsTest, WritesRowsOfTheLargestSize) {
  const TableSchema large = MustSchema("fam", "large",
                                       {{"id", FieldType::kInteger},
                                        {"t", FieldType::kText},
                                        {"b", FieldType::kBinary},
                                        {"d", FieldType::kDecimal}},
                                       {"id"});
  ASSERT_TRUE(connection_->Execute(connection_->dialect().CreateTable(large)).ok());
  const auto text = [](int i) { return std::string(i % 3 == 0 ? 0 : 512 * 1024, 'a' + i); };
  const auto bytes = [](int i) { return std::string(i % 4 == 0 ? 512 * 1024 : i, '\xFF'); };
  constexpr int kRows = 24;
  LedgerTransaction transaction = MustBegin();
  for (int i = 0; i < kRows; ++i) {
    const std::string t = text(i);
    transaction.Upsert(large, {i, i % 5 == 0 ? ValueView() : ValueView(t),
                               ValueView::Bytes(bytes(i)), i % 2 == 0 ? ValueView() : i / 8.0});
  }
  ASSERT_TRUE(transaction.Commit().ok());
  const Rows rows = MustQuery(connection_.get(), "SELECT id, t, b, d FROM fam___large ORDER BY id");
  ASSERT_EQ(rows.size(), static_cast<size_t>(kRows));
  for (int i = 0; i < kRows; ++i) {
    EXPECT_EQ(rows[i][0], Value::Integer(i));
    EXPECT_TRUE(rows[i][1] == (i % 5 == 0 ? Value() : Value::Text(text(i)))) << i;
    EXPECT_TRUE(rows[i][2] == Value::Bytes(bytes(i))) << i;
    EXPECT_EQ(rows[i][3], i % 2 == 0 ? Value() : Value::Decimal(i / 8.0)) << i;
  }
}

TEST_P(LedgerTransactionRowsTest, GoesBackToASavepoint) {
  LedgerTransaction transaction = MustBegin();
  transaction.Upsert(schema_, {"kept", 1});
  EXPECT_EQ(transaction.Append({"kept"}), 1);
  ASSERT_TRUE(transaction.SetSavepoint().ok());
  // Also more than once, with what was sent and what was not.
  for (bool flush : {false, true, true, false}) {
    transaction.Upsert(schema_, {"kept", 2});
    transaction.Delete(schema_, {"kept"});
    EXPECT_EQ(transaction.Append({"lost", "lost too"}), 5);
    if (flush) {
      ASSERT_TRUE(transaction.Flush().ok());
    }
    ASSERT_TRUE(transaction.RollbackToSavepoint().ok());
    EXPECT_EQ(transaction.last_sequence(), 1);
  }
  // The newest savepoint counts.
  EXPECT_EQ(transaction.Append({"second"}), 2);
  transaction.Upsert(schema_, {"second", 2});
  ASSERT_TRUE(transaction.SetSavepoint().ok());
  EXPECT_EQ(transaction.Append({"lost"}), 3);
  transaction.Upsert(schema_, {"lost", 3});
  ASSERT_TRUE(transaction.RollbackToSavepoint().ok());
  EXPECT_EQ(transaction.Append({"third"}), 3);
  LedgerTransaction moved = std::move(transaction);
  ASSERT_TRUE(moved.Commit().ok());
  EXPECT_THAT(Contents(), ElementsAre("kept=1", "second=2"));
  EXPECT_THAT(Entries(), ElementsAre("kept", "second", "third"));
}

TEST_P(LedgerTransactionRowsTest, FindsErrorsAtFlushAndGoesOnBehindThem) {
  LedgerTransaction transaction = MustBegin();
  transaction.Upsert(schema_, {"kept", 1});
  EXPECT_EQ(transaction.Append({"kept"}), 1);
  ASSERT_TRUE(transaction.SetSavepoint().ok());
  transaction.Upsert(schema_, {"lost", 1});
  transaction.Upsert(missing_, {"x", 1});
  transaction.Append({"lost"});
  absl::Status status = transaction.Flush();
  EXPECT_EQ(ErrorReason(status), reason::kTableNotFound) << status;
  ASSERT_TRUE(connection_->in_transaction());

  // Nothing is taken, sent or committed until the error is behind it.
  transaction.Upsert(schema_, {"lost too", 1});
  EXPECT_EQ(transaction.Flush(), status);
  EXPECT_EQ(transaction.SetSavepoint(), status);
  EXPECT_EQ(transaction.Commit(), status);

  ASSERT_TRUE(transaction.RollbackToSavepoint().ok());
  EXPECT_EQ(transaction.last_sequence(), 1);
  transaction.Upsert(schema_, {"SECRET" + std::string(190, 'x'), 1});
  status = transaction.Flush();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_THAT(std::string(status.message()), Not(HasSubstr("SECRET")));
  ASSERT_TRUE(transaction.RollbackToSavepoint().ok());
  transaction.Upsert(schema_, {"second", 2});
  EXPECT_EQ(transaction.Append({"second"}), 2);
  ASSERT_TRUE(transaction.Commit().ok());
  EXPECT_THAT(Contents(), ElementsAre("kept=1", "second=2"));
  EXPECT_THAT(Entries(), ElementsAre("kept", "second"));
}

TEST_P(LedgerTransactionRowsTest, RefusesARowOfTheWrongSize) {
  for (const std::vector<ValueView>& row :
       std::vector<std::vector<ValueView>>{{}, {"x"}, {"x", 1, 2}}) {
    LedgerTransaction transaction = MustBegin();
    transaction.Upsert(schema_, row);
    EXPECT_EQ(transaction.Commit().code(), absl::StatusCode::kInternal);
  }
  EXPECT_THAT(Contents(), IsEmpty());
}

TEST_P(LedgerTransactionRowsTest, AnErrorWithoutASavepointEndsTheTransaction) {
  {
    LedgerTransaction transaction = MustBegin();
    transaction.Append({"lost"});
    transaction.Upsert(missing_, {"x", 1});
    EXPECT_EQ(ErrorReason(transaction.Commit()), reason::kTableNotFound);
    EXPECT_FALSE(transaction.RollbackToSavepoint().ok());
    transaction.Upsert(schema_, {"lost", 1});
    EXPECT_FALSE(transaction.Commit().ok());
  }
  EXPECT_FALSE(connection_->in_transaction());
  EXPECT_THAT(Contents(), IsEmpty());
  EXPECT_EQ(MustAppend(connection_.get(), {"first"}), 1);
}

TEST_P(LedgerTransactionRowsTest, WritesNothingOnceTheDatabaseHasEndedTheTransaction) {
  {
    LedgerTransaction transaction = MustBegin();
    transaction.Upsert(schema_, {"lost", 1});
    transaction.Append({"lost"});
    ASSERT_TRUE(transaction.SetSavepoint().ok());
    transaction.Upsert(schema_, {"lost too", 1});
    // As a deadlock would.
    connection_->Rollback();
    EXPECT_EQ(ErrorReason(transaction.Flush()), reason::kCtldbBusy);
    EXPECT_EQ(ErrorReason(transaction.RollbackToSavepoint()), reason::kCtldbBusy);
    transaction.Upsert(schema_, {"lost too", 1});
    transaction.Append({"lost"});
    EXPECT_EQ(ErrorReason(transaction.SetSavepoint()), reason::kCtldbBusy);
    EXPECT_EQ(ErrorReason(transaction.Commit()), reason::kCtldbBusy);
  }
  EXPECT_THAT(Contents(), IsEmpty());
  EXPECT_THAT(Entries(), IsEmpty());
}

}  // namespace
}  // namespace ctlstore::ctldb
