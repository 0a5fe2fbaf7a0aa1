#include "common/ctldb/schema_changer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
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
using ::ctlstore::ctldb::testing::MariadbServer;
using ::ctlstore::ctldb::testing::MustOpen;
using ::ctlstore::ctldb::testing::MustQuery;
using ::ctlstore::ctldb::testing::MustSchema;
using ::ctlstore::ctldb::testing::NewTarget;
using ::ctlstore::ctldb::testing::Rows;
using ::ctlstore::ctldb::testing::SharedMariadbServer;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

absl::Time Late() { return absl::Now() + absl::Minutes(2); }

TableSchema Simple(const std::string& table) {
  return MustSchema("fam", table, {{"name", FieldType::kString}, {"n", FieldType::kInteger}},
                    {"name"});
}

// With more than about twenty bytestrings InnoDB cannot hold such rows in its pages, though it
// passes TableSchema's limits.
TableSchema Wide(const std::string& table, size_t bytestrings) {
  std::vector<Field> fields;
  std::vector<std::string> key;
  for (int i = 0; i < 4; ++i) {
    fields.push_back({absl::StrCat("k", i), FieldType::kString});
    key.push_back(fields.back().name);
  }
  for (size_t i = 0; i < bytestrings; ++i) {
    fields.push_back({absl::StrCat("y", i), FieldType::kBytestring});
  }
  return MustSchema("fam", table, std::move(fields), key);
}

class SchemaChangerTest : public CtldbTest {
 protected:
  SchemaChangerTest() {
    connection_ = OpenReady();
    EXPECT_TRUE(CreateFamily(connection_.get(), "fam").ok());
    pool_ = NewPool(4);
  }

  static std::vector<TableSchema> Tables(Connection* connection) {
    absl::StatusOr<std::vector<TableSchema>> tables = ReadTables(connection, "");
    EXPECT_TRUE(tables.ok()) << tables.status();
    return *std::move(tables);
  }

  // The definitions of all tables, one line each.
  static std::string Definitions(Connection* connection) {
    std::vector<std::string> lines;
    for (const TableSchema& table : Tables(connection)) {
      lines.push_back(sql::CreateTableStatement(table));
    }
    return absl::StrJoin(lines, "\n");
  }

  static Rows AllRows(Connection* connection, const TableSchema& schema) {
    std::vector<std::string> names;
    for (const Field& field : schema.fields())
      names.push_back(absl::StrCat("\"", field.name, "\""));
    std::vector<std::string> key = schema.key_field_names();
    return MustQuery(connection, absl::StrCat("SELECT ", absl::StrJoin(names, ", "), " FROM ",
                                              SqlTableName(schema.name()), " ORDER BY ",
                                              absl::StrJoin(key, ", ")));
  }

  // Plays the whole ledger on an empty database, which must then be as the ctldb is.
  void ExpectThatTheLedgerTellsAll() {
    std::unique_ptr<Connection> copy = MustOpen(NewTarget(Target::Kind::kSqlite));
    int64_t sequence = 0;
    for (const auto& entry : MustQuery(
             connection_.get(), "SELECT seq, statement FROM ctlstore_dml_ledger ORDER BY seq")) {
      ASSERT_EQ(entry[0].integer(), ++sequence);
      if (absl::StartsWith(entry[1].data(), "---")) continue;
      absl::StatusOr<int64_t> played = copy->Execute(entry[1].data());
      ASSERT_TRUE(played.ok()) << entry[1].data() << ": " << played.status();
    }
    EXPECT_EQ(Definitions(copy.get()), Definitions(connection_.get()));
    for (const TableSchema& table : Tables(connection_.get())) {
      EXPECT_EQ(AllRows(copy.get(), table), AllRows(connection_.get(), table));
    }
    EXPECT_TRUE(MustQuery(connection_.get(), "SELECT id FROM ctlstore_schema_intents").empty());
  }

  // Writes rows and their ledger entries, as a mutation does.
  void Write(const TableSchema& table, const std::vector<std::vector<ValueView>>& rows) {
    absl::StatusOr<LedgerTransaction> transaction = LedgerTransaction::Begin(connection_.get());
    ASSERT_TRUE(transaction.ok()) << transaction.status();
    ASSERT_FALSE(transaction->schema_change_pending());
    std::vector<std::string> statements;
    for (const std::vector<ValueView>& row : rows) {
      transaction->Upsert(table, row);
      statements.push_back(sql::UpsertStatement(table, row));
    }
    transaction->Append(statements);
    const absl::Status status = transaction->Commit();
    ASSERT_TRUE(status.ok()) << status;
  }

  // What the server does with an executive from which it hears nothing: ends the connection that
  // holds the ledger lock.
  void EndLedgerTransactions() {
    const Rows transactions =
        MustQuery(connection_.get(),
                  "SELECT trx_mysql_thread_id FROM information_schema.innodb_trx "
                  "JOIN information_schema.processlist ON id = trx_mysql_thread_id WHERE db = ?",
                  {target_.database});
    EXPECT_EQ(transactions.size(), 1u);
    for (const auto& row : transactions) {
      EXPECT_TRUE(SharedMariadbServer()->RunSql(absl::StrCat("KILL ", row[0].integer())).ok());
    }
  }

  // Waits until a connection to this test's database is in this state.
  void WaitForState(absl::string_view state) {
    const absl::Time give_up = absl::Now() + absl::Minutes(1);
    while (MustQuery(connection_.get(),
                     "SELECT id FROM information_schema.processlist WHERE db = ? AND state = ?",
                     {target_.database, state})
               .empty()) {
      ASSERT_LT(absl::Now(), give_up) << "nobody is in the state " << state;
      absl::SleepFor(absl::Milliseconds(5));
    }
  }

  // A pool whose connections wait for locks as short as possible.
  std::unique_ptr<ConnectionPool> NewHastyPool(size_t max_connections) {
    ConnectionOptions options = options_;
    options.lock_timeout = absl::Seconds(1);
    return std::make_unique<ConnectionPool>(
        [target = target_, options] { return Connection::Open(target, options); }, max_connections);
  }

  int64_t LastSequence() {
    return MustQuery(connection_.get(),
                     "SELECT COALESCE(MAX(seq), 0) FROM ctlstore_dml_ledger")[0][0]
        .integer();
  }

  // Lets the process "die" at each point of `change` in turn, until it runs through; after each
  // death another executive goes on, and ctldb and ledger must agree. `reset` makes it as it was.
  // Returns how many points there were.
  int DieEverywhere(const std::function<absl::Status(SchemaChanger*)>& change,
                    const std::function<void()>& reset, absl::StatusCode expected) {
    for (int fatal = 0; fatal < 100; ++fatal) {
      reset();
      int reached = 0;
      std::string died_at;
      SchemaChanger changer(pool_.get(), [&](absl::string_view point) -> absl::Status {
        if (reached++ != fatal) return absl::OkStatus();
        died_at = std::string(point);
        return absl::DataLossError("died");
      });
      const absl::Status status = change(&changer);
      if (died_at.empty()) {
        EXPECT_EQ(status.code(), expected) << status;
        ExpectThatTheLedgerTellsAll();
        return fatal;
      }
      EXPECT_EQ(status, absl::DataLossError("died")) << died_at;
      std::unique_ptr<ConnectionPool> next_pool = NewPool(2);
      SchemaChanger next(next_pool.get());
      const absl::Status completed = next.CompletePending(Late());
      EXPECT_TRUE(completed.ok()) << died_at << ": " << completed;
      SCOPED_TRACE(died_at);
      ExpectThatTheLedgerTellsAll();
    }
    ADD_FAILURE() << "the change never came to its end";
    return 0;
  }

  void DropEverything() {
    for (const TableSchema& table : Tables(connection_.get())) {
      ASSERT_TRUE(
          connection_->Execute(absl::StrCat("DROP TABLE ", SqlTableName(table.name()))).ok());
    }
    ASSERT_TRUE(connection_->Execute("DELETE FROM ctlstore_dml_ledger").ok());
  }

  std::unique_ptr<Connection> connection_;
  std::unique_ptr<ConnectionPool> pool_;
};

CTLSTORE_FOR_BOTH_KINDS(SchemaChangerTest);

TEST_P(SchemaChangerTest, CreatesTablesAndAddsFields) {
  SchemaChanger changer(pool_.get());
  absl::StatusOr<int64_t> sequence = changer.CreateTables({Simple("one")}, Late());
  ASSERT_TRUE(sequence.ok()) << sequence.status();
  EXPECT_EQ(*sequence, 1);
  sequence = changer.CreateTables({Simple("two"), Simple("one"), Simple("three")}, Late());
  ASSERT_TRUE(sequence.ok()) << sequence.status();
  EXPECT_EQ(*sequence, 5);
  sequence = changer.AddFields({"fam", "two"},
                               {{"t", FieldType::kText}, {"d", FieldType::kDecimal}}, Late());
  ASSERT_TRUE(sequence.ok()) << sequence.status();
  EXPECT_EQ(*sequence, 9);
  sequence = changer.AddFields({"fam", "two"}, {{"b", FieldType::kBinary}, {"t", FieldType::kText}},
                               Late());
  ASSERT_TRUE(sequence.ok()) << sequence.status();
  EXPECT_EQ(*sequence, 10);
  const TableSchema expected = MustSchema("fam", "two",
                                          {{"name", FieldType::kString},
                                           {"n", FieldType::kInteger},
                                           {"t", FieldType::kText},
                                           {"d", FieldType::kDecimal},
                                           {"b", FieldType::kBinary}},
                                          {"name"});
  EXPECT_EQ(*ReadTable(connection_.get(), {"fam", "two"}), expected);
  ExpectThatTheLedgerTellsAll();
}

TEST_P(SchemaChangerTest, LeavesWhatExistsIdenticallyAsItIs) {
  SchemaChanger changer(pool_.get());
  ASSERT_TRUE(changer.CreateTables({Simple("one"), Simple("two")}, Late()).ok());
  const int64_t last = LastSequence();
  EXPECT_EQ(*changer.CreateTables({Simple("one")}, Late()), 0);
  EXPECT_EQ(*changer.CreateTables({Simple("two"), Simple("one"), Simple("two")}, Late()), 0);
  EXPECT_EQ(*changer.CreateTables({}, Late()), 0);
  EXPECT_EQ(*changer.AddFields({"fam", "one"}, {{"n", FieldType::kInteger}}, Late()), 0);
  EXPECT_EQ(LastSequence(), last);
}

TEST_P(SchemaChangerTest, RefusesWhatExistsDifferentlyAndSaysHow) {
  SchemaChanger changer(pool_.get());
  ASSERT_TRUE(changer.CreateTables({Simple("one")}, Late()).ok());
  const int64_t last = LastSequence();
  const TableSchema other = MustSchema(
      "fam", "one", {{"name", FieldType::kString}, {"n", FieldType::kDecimal}}, {"name"});
  // None of a request is done where one of it cannot be.
  absl::Status status = changer.CreateTables({Simple("new"), other}, Late()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists) << status;
  EXPECT_EQ(ErrorReason(status), reason::kTableDiffers);
  EXPECT_THAT(std::string(status.message()), HasSubstr(DescribeDifference(Simple("one"), other)));

  status =
      changer.AddFields({"fam", "one"}, {{"x", FieldType::kText}, {"n", FieldType::kText}}, Late())
          .status();
  EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists) << status;
  EXPECT_EQ(ErrorReason(status), reason::kFieldDiffers);

  const TableSchema nowhere = MustSchema("nowhere", "one", {{"id", FieldType::kInteger}}, {"id"});
  status = changer.CreateTables({Simple("new"), nowhere}, Late()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound) << status;
  EXPECT_EQ(ErrorReason(status), reason::kFamilyNotFound);

  status = changer.AddFields({"fam", "missing"}, {{"x", FieldType::kText}}, Late()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound) << status;
  EXPECT_EQ(ErrorReason(status), reason::kTableNotFound);

  const TableSchema again = MustSchema("fam", "new", {{"id", FieldType::kInteger}}, {"id"});
  status = changer.CreateTables({Simple("new"), again}, Late()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;

  EXPECT_EQ(LastSequence(), last);
  ExpectThatTheLedgerTellsAll();
}

TEST_P(SchemaChangerTest, CreateTablesIsAllOrNothingWhereverItDies) {
  const int points = DieEverywhere(
      [](SchemaChanger* changer) {
        return changer->CreateTables({Simple("one"), Simple("two"), Simple("three")}, Late())
            .status();
      },
      [this] { DropEverything(); }, absl::StatusCode::kOk);
  // Intent (2), three tables (2 each), commit (2).
  EXPECT_EQ(points, 10);
}

TEST_P(SchemaChangerTest, AddFieldsIsAllOrNothingWhereverItDies) {
  const int points = DieEverywhere(
      [](SchemaChanger* changer) {
        return changer
            ->AddFields(
                {"fam", "one"},
                {{"t", FieldType::kText}, {"b", FieldType::kBinary}, {"y", FieldType::kBytestring}},
                Late())
            .status();
      },
      [this] {
        DropEverything();
        SchemaChanger changer(pool_.get());
        ASSERT_TRUE(changer.CreateTables({Simple("one")}, Late()).ok());
      },
      absl::StatusCode::kOk);
  EXPECT_EQ(points, is_mariadb() ? 6 : 10);
}

TEST_P(SchemaChangerTest, TheNextChangeCompletesWhatWasLeft) {
  SchemaChanger dying(pool_.get(), [](absl::string_view point) {
    return point == "after_ddl" ? absl::DataLossError("died") : absl::OkStatus();
  });
  ASSERT_FALSE(dying.CreateTables({Simple("one"), Simple("two")}, Late()).ok());
  SchemaChanger changer(pool_.get());
  absl::StatusOr<int64_t> sequence = changer.CreateTables({Simple("three"), Simple("two")}, Late());
  ASSERT_TRUE(sequence.ok()) << sequence.status();
  if (is_mariadb()) {
    // The one that was left is first: a transaction of four entries.
    EXPECT_EQ(*sequence, 5);
    EXPECT_TRUE(ReadTable(connection_.get(), {"fam", "one"}).ok());
  } else {
    EXPECT_EQ(*sequence, 4);
    EXPECT_FALSE(ReadTable(connection_.get(), {"fam", "one"}).ok());
  }
  ExpectThatTheLedgerTellsAll();
}

TEST_P(SchemaChangerTest, CompletesAnIntentThatIsFoundInTheCtldb) {
  // Also where DDL is transactional, where nobody leaves one.
  const TableSchema one = Simple("one");
  ASSERT_TRUE(connection_->Execute(connection_->dialect().CreateTable(one)).ok());
  ASSERT_TRUE(AddIntent(connection_.get(),
                        {sql::CreateTableStatement(one), sql::CreateTableStatement(Simple("two")),
                         sql::AddFieldStatement(one.name(), {"t", FieldType::kText})})
                  .ok());
  SchemaChanger changer(pool_.get());
  absl::Status status = changer.CompletePending(Late());
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_TRUE(ReadTable(connection_.get(), {"fam", "two"}).ok());
  EXPECT_EQ(LastSequence(), 5);
  ExpectThatTheLedgerTellsAll();
  EXPECT_TRUE(changer.CompletePending(Late()).ok());
  EXPECT_EQ(LastSequence(), 5);
}

TEST_P(SchemaChangerTest, TouchesNothingForAnIntentItDoesNotKnow) {
  ASSERT_TRUE(AddIntent(connection_.get(), {sql::CreateTableStatement(Simple("one")),
                                            "RENAME TABLE fam___one TO fam___two"})
                  .ok());
  SchemaChanger changer(pool_.get());
  EXPECT_EQ(changer.CompletePending(Late()).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(changer.CreateTables({Simple("two")}, Late()).status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Definitions(connection_.get()), "");
  EXPECT_EQ(LastSequence(), 0);
}

TEST_P(SchemaChangerTest, UndoesWhatTheDatabaseRefuses) {
  std::vector<TableSchema> tables = {Simple("good"), Simple("bad"), Simple("other")};
  if (is_mariadb()) {
    tables[1] = Wide("bad", 186);
  } else {
    // SQLite keeps the names of tables and indexes in one space.
    ASSERT_TRUE(connection_->Execute("CREATE INDEX fam___bad ON families (name)").ok());
  }
  const int points = DieEverywhere(
      [&](SchemaChanger* changer) { return changer->CreateTables(tables, Late()).status(); },
      [this] { DropEverything(); },
      is_mariadb() ? absl::StatusCode::kInvalidArgument : absl::StatusCode::kInternal);
  // Intent (2), the good table (2), before the bad one, and, where something is committed, that
  // (2).
  EXPECT_EQ(points, is_mariadb() ? 7 : 5);
  EXPECT_EQ(Definitions(connection_.get()), "");
  EXPECT_EQ(LastSequence(), 0);
  if (!is_mariadb()) return;
  SchemaChanger changer(pool_.get());
  absl::Status status = changer.CreateTables(tables, Late()).status();
  EXPECT_EQ(ErrorReason(status), reason::kInvalidSchema) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("bad"));
  // Nothing is in the way of the next change.
  EXPECT_TRUE(changer.CreateTables({Simple("good")}, Late()).ok());
  ExpectThatTheLedgerTellsAll();
}

TEST_P(SchemaChangerTest, UndoesFieldsWhereTheRestOfTheirIntentIsRefused) {
  SchemaChanger changer(pool_.get());
  ASSERT_TRUE(changer.CreateTables({Simple("one")}, Late()).ok());
  const std::string before = Definitions(connection_.get());
  ASSERT_TRUE(AddIntent(connection_.get(),
                        {sql::AddFieldStatement({"fam", "one"}, {"t", FieldType::kText}),
                         sql::AddFieldStatement({"fam", "one"}, {"b", FieldType::kBinary}),
                         sql::AddFieldStatement({"fam", "missing"}, {"t", FieldType::kText})})
                  .ok());
  absl::Status status = changer.CompletePending(Late());
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(Definitions(connection_.get()), before);
  EXPECT_EQ(LastSequence(), 1);
  ExpectThatTheLedgerTellsAll();
}

TEST_P(SchemaChangerTest, NeverDropsATableThatIsNotAsTheIntentWantsIt) {
  SchemaChanger changer(pool_.get());
  ASSERT_TRUE(changer.CreateTables({Simple("one")}, Late()).ok());
  const TableSchema other = MustSchema("fam", "one", {{"id", FieldType::kInteger}}, {"id"});
  ASSERT_TRUE(AddIntent(connection_.get(), {sql::CreateTableStatement(other)}).ok());
  EXPECT_TRUE(changer.CompletePending(Late()).ok());
  EXPECT_EQ(*ReadTable(connection_.get(), other.name()), Simple("one"));
  ExpectThatTheLedgerTellsAll();
}

TEST_P(SchemaChangerTest, NeverDropsWhatOthersHaveMadeAndFilledMeanwhile) {
  SchemaChanger changer(pool_.get());
  ASSERT_TRUE(connection_->Execute(connection_->dialect().CreateTable(Simple("one"))).ok());
  ASSERT_TRUE(connection_->Execute("INSERT INTO fam___one VALUES ('a', 1)").ok());
  ASSERT_TRUE(AddIntent(connection_.get(),
                        {sql::CreateTableStatement(Simple("one")),
                         sql::AddFieldStatement({"fam", "missing"}, {"t", FieldType::kText})})
                  .ok());
  EXPECT_TRUE(changer.CompletePending(Late()).ok());
  ASSERT_TRUE(AddIntent(connection_.get(),
                        {sql::AddFieldStatement({"fam", "one"}, {"n", FieldType::kInteger}),
                         sql::AddFieldStatement({"fam", "missing"}, {"t", FieldType::kText})})
                  .ok());
  EXPECT_TRUE(changer.CompletePending(Late()).ok());
  EXPECT_EQ(*ReadTable(connection_.get(), {"fam", "one"}), Simple("one"));
  EXPECT_EQ(AllRows(connection_.get(), Simple("one")).size(), 1u);
  EXPECT_TRUE(MustQuery(connection_.get(), "SELECT id FROM ctlstore_schema_intents").empty());
}

TEST_P(SchemaChangerTest, ReportsAMissingRightAndUndoes) {
  if (!is_mariadb()) GTEST_SKIP() << "SQLite has no users";
  const std::string& database = target_.database;
  for (const std::string& sql :
       {std::string("CREATE USER limited"),
        absl::StrCat("GRANT SELECT, INSERT, UPDATE, DELETE, DROP ON ", database, ".* TO limited"),
        absl::StrCat("GRANT CREATE ON ", database, ".fam___good TO limited")}) {
    ASSERT_TRUE(SharedMariadbServer()->RunSql(sql).ok()) << sql;
  }
  Target target = target_;
  target.user = "limited";
  ConnectionPool pool([&] { return Connection::Open(target, options_); }, 2);
  SchemaChanger changer(&pool);
  absl::Status status = changer.CreateTables({Simple("good"), Simple("bad")}, Late()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied) << status;
  EXPECT_EQ(Definitions(connection_.get()), "");

  EXPECT_TRUE(changer.CreateTables({Simple("good")}, Late()).ok());
  status = changer.AddFields({"fam", "good"}, {{"t", FieldType::kText}}, Late()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied) << status;
  EXPECT_EQ(*ReadTable(connection_.get(), {"fam", "good"}), Simple("good"));
  ExpectThatTheLedgerTellsAll();
}

TEST_P(SchemaChangerTest, AnswersWhereSomeoneElseCompletesItsIntent) {
  std::unique_ptr<ConnectionPool> other_pool = NewPool(2);
  SchemaChanger changer(pool_.get(), [&](absl::string_view point) {
    if (point != "after_intent" || !is_mariadb()) return absl::OkStatus();
    SchemaChanger other(other_pool.get());
    absl::Status status = other.CompletePending(Late());
    if (!status.ok()) return status;
    return other.CreateTables({Simple("three")}, Late()).status();
  });
  absl::StatusOr<int64_t> sequence = changer.CreateTables({Simple("one"), Simple("two")}, Late());
  ASSERT_TRUE(sequence.ok()) << sequence.status();
  // Not that of the other's table.
  EXPECT_EQ(*sequence, 4);
  ExpectThatTheLedgerTellsAll();
}

TEST_P(SchemaChangerTest, IsRefusedItselfWhereSomeoneElseUndoesItsIntent) {
  if (!is_mariadb()) GTEST_SKIP() << "there are no intents";
  std::unique_ptr<ConnectionPool> other_pool = NewPool(2);
  bool undone = false;
  SchemaChanger changer(pool_.get(), [&](absl::string_view point) {
    if (point != "after_intent" || undone) return absl::OkStatus();
    undone = true;
    SchemaChanger other(other_pool.get());
    return other.CompletePending(Late());
  });
  absl::Status status = changer.CreateTables({Simple("good"), Wide("bad", 186)}, Late()).status();
  EXPECT_EQ(ErrorReason(status), reason::kInvalidSchema) << status;
  EXPECT_TRUE(undone);
  EXPECT_EQ(Definitions(connection_.get()), "");
  ExpectThatTheLedgerTellsAll();
}

TEST_P(SchemaChangerTest, ComesThroughALostConnection) {
  if (!is_mariadb()) GTEST_SKIP() << "there is no server";
  for (const char* fatal : {"after_intent", "before_ddl", "after_ddl", "before_commit"}) {
    DropEverything();
    bool killed = false;
    SchemaChanger changer(pool_.get(), [&](absl::string_view point) {
      if (point != fatal || killed) return absl::OkStatus();
      killed = true;
      // Every connection to this test's database but its own.
      const int64_t own = MustQuery(connection_.get(), "SELECT CONNECTION_ID()")[0][0].integer();
      for (const auto& row : MustQuery(connection_.get(),
                                       "SELECT id FROM information_schema.processlist WHERE db = ?",
                                       {target_.database})) {
        if (row[0].integer() == own) continue;
        EXPECT_TRUE(SharedMariadbServer()->RunSql(absl::StrCat("KILL ", row[0].integer())).ok());
      }
      return absl::OkStatus();
    });
    absl::StatusOr<int64_t> created = changer.CreateTables({Simple("one"), Simple("two")}, Late());
    ASSERT_TRUE(created.ok()) << fatal << ": " << created.status();
    ASSERT_TRUE(killed);
    EXPECT_EQ(*created, 4);
    EXPECT_EQ(LastSequence(), 4);
    ExpectThatTheLedgerTellsAll();

    killed = false;
    absl::StatusOr<int64_t> dropped = changer.DropTable({"fam", "one"}, Late());
    ASSERT_TRUE(dropped.ok()) << fatal << ": " << dropped.status();
    ASSERT_TRUE(killed);
    EXPECT_EQ(*dropped, 5);
    EXPECT_EQ(LastSequence(), 5);
    ExpectThatTheLedgerTellsAll();
  }
}

TEST_P(SchemaChangerTest, SaysBusyWhereItGetsNoConnection) {
  SchemaChanger changer(pool_.get());
  std::vector<ConnectionPool::Lease> all;
  for (size_t i = 0; i < pool_->max_connections(); ++i) all.push_back(*pool_->Acquire(Late()));
  absl::Status status =
      changer.CreateTables({Simple("one")}, absl::Now() + absl::Milliseconds(20)).status();
  EXPECT_EQ(ErrorReason(status), reason::kCtldbBusy) << status;
  all.clear();
  EXPECT_TRUE(changer.CreateTables({Simple("one")}, Late()).ok());
}

TEST_P(SchemaChangerTest, ChangesAndMutationsOfTwoExecutivesGoTogether) {
  constexpr int kTables = 6;
  std::atomic<int> failures{0};
  std::atomic<int> written{0};
  const auto executive = [&](int number) {
    std::unique_ptr<ConnectionPool> pool = NewPool(3);
    SchemaChanger changer(pool.get());
    const auto change = [&] {
      for (int i = 0; i < kTables; ++i) {
        // Both executives make the same tables, and each its own fields.
        absl::Status status =
            changer
                .CreateTables({Simple(absl::StrCat("tab", i)), Simple(absl::StrCat("rows", i))},
                              Late())
                .status();
        if (status.ok()) {
          status = changer
                       .AddFields({"fam", absl::StrCat("tab", i)},
                                  {{absl::StrCat("f", number), FieldType::kText},
                                   {"shared", FieldType::kDecimal}},
                                  Late())
                       .status();
        }
        // The other one may have added its field before this one looks at the table again.
        if (!status.ok() && ErrorReason(status) != reason::kTableDiffers) {
          ADD_FAILURE() << status;
          ++failures;
        }
      }
    };
    const auto mutate = [&] {
      for (int i = 0; i < 60; ++i) {
        bool pending = false;
        {
          absl::StatusOr<ConnectionPool::Lease> lease = pool->Acquire(Late());
          if (!lease.ok()) {
            ++failures;
            return;
          }
          absl::StatusOr<LedgerTransaction> transaction = LedgerTransaction::Begin(lease->get());
          if (!transaction.ok()) {
            ADD_FAILURE() << transaction.status();
            ++failures;
            return;
          }
          pending = transaction->schema_change_pending();
          if (!pending) {
            const TableSchema table = Simple(absl::StrCat("rows", i % kTables));
            const std::string name = absl::StrCat(number, "/", i);
            transaction->Upsert(table, {name, i});
            transaction->Append({sql::UpsertStatement(table, {name, i})});
            absl::Status status = transaction->Flush();
            if (absl::IsNotFound(status)) continue;
            if (!status.ok() || !transaction->Commit().ok()) ++failures;
            ++written;
          }
        }
        if (pending && !changer.CompletePending(Late()).ok()) ++failures;
      }
    };
    std::thread first(change), second(mutate), third(change);
    first.join();
    second.join();
    third.join();
  };
  std::thread one(executive, 1), two(executive, 2);
  one.join();
  two.join();
  EXPECT_EQ(failures, 0);
  EXPECT_GT(written, 0);
  EXPECT_EQ(ReadTables(connection_.get(), "fam")->size(), static_cast<size_t>(2 * kTables));
  ExpectThatTheLedgerTellsAll();
}

// Another table of the same name as Simple()'s.
TableSchema Different(const std::string& table) {
  return MustSchema(
      "fam", table,
      {{"n", FieldType::kText}, {"id", FieldType::kInteger}, {"x", FieldType::kDecimal}}, {"id"});
}

TEST_P(SchemaChangerTest, DropsATableWithItsRows) {
  SchemaChanger changer(pool_.get());
  ASSERT_TRUE(changer.CreateTables({Simple("one"), Simple("two")}, Late()).ok());
  Write(Simple("one"), {{"a", 1}, {"b", 2}});
  Write(Simple("two"), {{"c", 3}});
  const int64_t before = LastSequence();
  const int64_t version = LedgerTransaction::Begin(connection_.get())->schema_version();
  absl::StatusOr<int64_t> sequence = changer.DropTable({"fam", "one"}, Late());
  ASSERT_TRUE(sequence.ok()) << sequence.status();
  EXPECT_EQ(*sequence, before + 1);
  EXPECT_EQ(MustQuery(connection_.get(), "SELECT statement FROM ctlstore_dml_ledger WHERE seq = ?",
                      {*sequence})[0][0],
            Value::Text("DROP TABLE IF EXISTS fam___one"));
  EXPECT_EQ(LedgerTransaction::Begin(connection_.get())->schema_version(), version + 1);
  EXPECT_EQ(Tables(connection_.get()), std::vector<TableSchema>{Simple("two")});
  ExpectThatTheLedgerTellsAll();
}

TEST_P(SchemaChangerTest, DropsOnlyWhatIsThereAndOurs) {
  SchemaChanger changer(pool_.get());
  absl::Status status = changer.DropTable({"nowhere", "one"}, Late()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound) << status;
  EXPECT_EQ(ErrorReason(status), reason::kFamilyNotFound);

  status = changer.DropTable({"fam", "one"}, Late()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound) << status;
  EXPECT_EQ(ErrorReason(status), reason::kTableNotFound);

  ASSERT_TRUE(changer.CreateTables({Simple("one")}, Late()).ok());
  ASSERT_TRUE(changer.DropTable({"fam", "one"}, Late()).ok());
  status = changer.DropTable({"fam", "one"}, Late()).status();
  EXPECT_EQ(ErrorReason(status), reason::kTableNotFound) << status;
  EXPECT_EQ(LastSequence(), 2);

  ASSERT_TRUE(connection_->Execute("CREATE TABLE fam___odd (d DATE PRIMARY KEY)").ok());
  status = changer.DropTable({"fam", "odd"}, Late()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
  EXPECT_TRUE(MustQuery(connection_.get(), "SELECT * FROM fam___odd").empty());
  EXPECT_EQ(LastSequence(), 2);
  ExpectThatTheLedgerTellsAll();
}

TEST_P(SchemaChangerTest, DropTableIsAllOrNothingWhereverItDies) {
  const int points = DieEverywhere(
      [](SchemaChanger* changer) {
        return changer->DropTable({"fam", "one"}, Late()).status();
      },
      [this] {
        DropEverything();
        SchemaChanger changer(pool_.get());
        ASSERT_TRUE(changer.CreateTables({Simple("one"), Simple("two")}, Late()).ok());
        Write(Simple("one"), {{"a", 1}});
        Write(Simple("two"), {{"b", 2}});
      },
      absl::StatusCode::kOk);
  EXPECT_EQ(points, 6);
}

TEST_P(SchemaChangerTest, ADropThatWasBegunIsCompleted) {
  if (!is_mariadb()) GTEST_SKIP() << "there are no intents";
  for (const char* fatal : {"after_intent", "before_ddl", "after_ddl", "before_commit"}) {
    DropEverything();
    SchemaChanger dying(pool_.get(), [fatal](absl::string_view point) {
      return point == fatal ? absl::DataLossError("died") : absl::OkStatus();
    });
    SchemaChanger changer(pool_.get());
    ASSERT_TRUE(changer.CreateTables({Simple("one")}, Late()).ok());
    Write(Simple("one"), {{"a", 1}});
    ASSERT_FALSE(dying.DropTable({"fam", "one"}, Late()).ok());
    // A table of the same name comes after it.
    absl::StatusOr<int64_t> created = changer.CreateTables({Different("one")}, Late());
    ASSERT_TRUE(created.ok()) << fatal << ": " << created.status();
    EXPECT_EQ(*created, 4) << fatal;
    Write(Different("one"), {{"text", 7, 0.5}});
    EXPECT_EQ(*ReadTable(connection_.get(), {"fam", "one"}), Different("one"));
    ExpectThatTheLedgerTellsAll();
  }
}

TEST_P(SchemaChangerTest, CompletesADropThatIsFoundInTheCtldb) {
  SchemaChanger changer(pool_.get());
  ASSERT_TRUE(changer.CreateTables({Simple("one")}, Late()).ok());
  Write(Simple("one"), {{"a", 1}});
  ASSERT_TRUE(AddIntent(connection_.get(), {sql::DropTableStatement({"fam", "one"})}).ok());
  EXPECT_TRUE(changer.CompletePending(Late()).ok());
  EXPECT_EQ(Definitions(connection_.get()), "");
  EXPECT_EQ(LastSequence(), 3);
  // One whose DDL was done already.
  ASSERT_TRUE(AddIntent(connection_.get(), {sql::DropTableStatement({"fam", "one"})}).ok());
  EXPECT_TRUE(changer.CompletePending(Late()).ok());
  EXPECT_EQ(LastSequence(), 4);
  ExpectThatTheLedgerTellsAll();
  // Nobody begins one that is not alone.
  ASSERT_TRUE(changer.CreateTables({Simple("one")}, Late()).ok());
  ASSERT_TRUE(AddIntent(connection_.get(), {sql::DropTableStatement({"fam", "one"}),
                                            sql::CreateTableStatement(Simple("one"))})
                  .ok());
  EXPECT_EQ(changer.CompletePending(Late()).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(*ReadTable(connection_.get(), {"fam", "one"}), Simple("one"));
}

TEST_P(SchemaChangerTest, ReportsAMissingRightToDropAndChangesNothing) {
  if (!is_mariadb()) GTEST_SKIP() << "SQLite has no users";
  for (const std::string& sql : {std::string("CREATE USER keeper"),
                                 absl::StrCat("GRANT SELECT, INSERT, UPDATE, DELETE, CREATE ON ",
                                              target_.database, ".* TO keeper")}) {
    ASSERT_TRUE(SharedMariadbServer()->RunSql(sql).ok()) << sql;
  }
  Target target = target_;
  target.user = "keeper";
  ConnectionPool pool([&] { return Connection::Open(target, options_); }, 2);
  SchemaChanger changer(&pool);
  ASSERT_TRUE(changer.CreateTables({Simple("one")}, Late()).ok());
  Write(Simple("one"), {{"a", 1}});
  absl::Status status = changer.DropTable({"fam", "one"}, Late()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("the table one of the family fam"));
  EXPECT_EQ(LastSequence(), 2);
  // Nothing is in the way of writers.
  Write(Simple("one"), {{"b", 2}});
  ExpectThatTheLedgerTellsAll();
}

TEST_P(SchemaChangerTest, TakesBackWhatOthersAreInTheWayOf) {
  if (!is_mariadb()) GTEST_SKIP() << "readers are in nobody's way";
  SchemaChanger changer(pool_.get());
  ASSERT_TRUE(changer.CreateTables({Simple("one")}, Late()).ok());
  Write(Simple("one"), {{"a", 1}});
  std::unique_ptr<Connection> reader = Open();
  ASSERT_TRUE(reader->BeginRead().ok());
  ASSERT_EQ(MustQuery(reader.get(), "SELECT * FROM fam___one").size(), 1u);

  std::unique_ptr<ConnectionPool> hasty_pool = NewHastyPool(2);
  SchemaChanger hasty(hasty_pool.get());
  absl::Status status = hasty.DropTable({"fam", "one"}, Late()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
  EXPECT_EQ(ErrorReason(status), reason::kCtldbBusy) << status;
  status = hasty.AddFields({"fam", "one"}, {{"t", FieldType::kText}}, Late()).status();
  EXPECT_EQ(ErrorReason(status), reason::kCtldbBusy) << status;
  // Writers go on while the reader reads.
  Write(Simple("one"), {{"b", 2}});
  EXPECT_EQ(LastSequence(), 3);

  // The same for what was left by one that died.
  SchemaChanger dying(hasty_pool.get(), [](absl::string_view point) {
    return point == "after_intent" ? absl::DataLossError("died") : absl::OkStatus();
  });
  ASSERT_FALSE(dying.DropTable({"fam", "one"}, Late()).ok());
  status = hasty.CompletePending(Late());
  EXPECT_TRUE(status.ok()) << status;
  Write(Simple("one"), {{"c", 3}});
  ExpectThatTheLedgerTellsAll();

  reader->Rollback();
  EXPECT_EQ(*hasty.DropTable({"fam", "one"}, Late()), 5);
  ExpectThatTheLedgerTellsAll();
}

TEST_P(SchemaChangerTest, ADropWaitsForThoseWhoSoonLetGoOfTheTable) {
  if (!is_mariadb()) GTEST_SKIP() << "readers are in nobody's way";
  SchemaChanger changer(pool_.get());
  ASSERT_TRUE(changer.CreateTables({Simple("one")}, Late()).ok());
  std::unique_ptr<Connection> reader = Open();
  ASSERT_TRUE(reader->BeginRead().ok());
  MustQuery(reader.get(), "SELECT * FROM fam___one");
  absl::StatusOr<int64_t> dropped = absl::UnknownError("");
  std::thread thread([&] { dropped = changer.DropTable({"fam", "one"}, Late()); });
  WaitForState("Waiting for table metadata lock");
  reader->Rollback();
  thread.join();
  EXPECT_TRUE(dropped.ok()) << dropped.status();
  ExpectThatTheLedgerTellsAll();
}

TEST_P(SchemaChangerTest, ADropThatOthersCompleteDropsNothingElse) {
  if (!is_mariadb()) GTEST_SKIP() << "there are no intents";
  SchemaChanger first(pool_.get());
  ASSERT_TRUE(first.CreateTables({Simple("one")}, Late()).ok());
  std::unique_ptr<ConnectionPool> other_pool = NewPool(2);
  bool recreated = false;
  SchemaChanger changer(pool_.get(), [&](absl::string_view point) {
    if (point != "after_intent" || recreated) return absl::OkStatus();
    recreated = true;
    SchemaChanger other(other_pool.get());
    return other.CreateTables({Different("one")}, Late()).status();
  });
  absl::StatusOr<int64_t> sequence = changer.DropTable({"fam", "one"}, Late());
  ASSERT_TRUE(sequence.ok()) << sequence.status();
  EXPECT_TRUE(recreated);
  EXPECT_EQ(*sequence, 2);
  EXPECT_EQ(*ReadTable(connection_.get(), {"fam", "one"}), Different("one"));
  ExpectThatTheLedgerTellsAll();
}

TEST_P(SchemaChangerTest, OthersWaitForAnExecutiveThatLostTheLedgerLockAndGoesOn) {
  if (!is_mariadb()) GTEST_SKIP() << "there are no intents";
  SchemaChanger first(pool_.get());
  ASSERT_TRUE(first.CreateTables({Simple("one")}, Late()).ok());
  std::unique_ptr<ConnectionPool> other_pool = NewHastyPool(2);
  bool stopped = false;
  SchemaChanger changer(pool_.get(), [&](absl::string_view point) {
    if (point != "before_ddl" || stopped) return absl::OkStatus();
    stopped = true;
    EndLedgerTransactions();
    SchemaChanger other(other_pool.get());
    absl::Status status = other.CreateTables({Different("one")}, Late()).status();
    EXPECT_EQ(ErrorReason(status), reason::kCtldbBusy) << status;
    return absl::OkStatus();
  });
  absl::StatusOr<int64_t> sequence = changer.DropTable({"fam", "one"}, Late());
  ASSERT_TRUE(sequence.ok()) << sequence.status();
  EXPECT_TRUE(stopped);
  EXPECT_EQ(*sequence, 2);
  EXPECT_EQ(Definitions(connection_.get()), "");
  ExpectThatTheLedgerTellsAll();
}

TEST_P(SchemaChangerTest, AnExecutiveThatComesTooLateDropsNothing) {
  if (!is_mariadb()) GTEST_SKIP() << "there are no intents";
  SchemaChanger changer(pool_.get());
  ASSERT_TRUE(changer.CreateTables({Simple("one")}, Late()).ok());
  std::unique_ptr<Connection> other = Open();
  ASSERT_EQ(MustQuery(other.get(), other->dialect().TakeDdlLock())[0][0].integer(), 1);
  absl::StatusOr<int64_t> sequence = absl::UnknownError("");
  std::thread late([&] { sequence = changer.DropTable({"fam", "one"}, Late()); });
  WaitForState("User lock");
  EndLedgerTransactions();
  // Meanwhile another one completes the drop, and creates a table of the same name.
  for (const std::string& statement :
       {std::string("DROP TABLE fam___one"), std::string("DELETE FROM ctlstore_schema_intents"),
        other->dialect().CreateTable(Different("one"))}) {
    EXPECT_TRUE(other->Execute(statement).ok()) << statement;
  }
  EXPECT_TRUE(
      other
          ->Execute("INSERT INTO ctlstore_dml_ledger (seq, statement) VALUES (2, ?), (3, ?)",
                    {sql::DropTableStatement({"fam", "one"}),
                     sql::CreateTableStatement(Different("one"))})
          .ok());
  MustQuery(other.get(), other->dialect().GiveDdlLock());
  late.join();
  ASSERT_TRUE(sequence.ok()) << sequence.status();
  EXPECT_EQ(*sequence, 2);
  EXPECT_EQ(*ReadTable(connection_.get(), {"fam", "one"}), Different("one"));
  ExpectThatTheLedgerTellsAll();
}

TEST_P(SchemaChangerTest, GivesTheDdlLockBack) {
  if (!is_mariadb()) GTEST_SKIP() << "there is none";
  SchemaChanger dying(pool_.get(), [](absl::string_view point) {
    return point == "after_ddl" ? absl::DataLossError("died") : absl::OkStatus();
  });
  ASSERT_FALSE(dying.CreateTables({Simple("one")}, Late()).ok());
  // The pool keeps the connections.
  EXPECT_GT(pool_->open_connections(), 0u);
  EXPECT_EQ(MustQuery(connection_.get(), connection_->dialect().TakeDdlLock())[0][0].integer(), 1);
  // It is this database's alone.
  const Target elsewhere = NewTarget(Target::Kind::kMariadb);
  std::unique_ptr<Connection> neighbour = MustOpen(elsewhere);
  EXPECT_EQ(MustQuery(neighbour.get(), neighbour->dialect().TakeDdlLock())[0][0].integer(), 1);
}

TEST_P(SchemaChangerTest, SaysWhereItIsNotKnownHowADropEnded) {
  if (!is_mariadb()) GTEST_SKIP() << "there is no server";
  MariadbServer* const server = SharedMariadbServer();
  SchemaChanger changer(pool_.get(), [server](absl::string_view point) {
    if (point == "before_ddl") server->Stop();
    return absl::OkStatus();
  });
  ASSERT_TRUE(SchemaChanger(pool_.get()).CreateTables({Simple("one")}, Late()).ok());
  absl::Status status =
      changer.DropTable({"fam", "one"}, absl::Now() + absl::Milliseconds(500)).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
  EXPECT_EQ(ErrorReason(status), reason::kOutcomeUnknown) << status;
  ASSERT_TRUE(server->Restart().ok());
  connection_ = Open();
  EXPECT_TRUE(SchemaChanger(NewPool(2).get()).CompletePending(Late()).ok());
  EXPECT_EQ(Definitions(connection_.get()), "");
  ExpectThatTheLedgerTellsAll();
}

TEST_P(SchemaChangerTest, DropsMutationsAndNewTablesOfTwoExecutivesGoTogether) {
  constexpr int kTables = 3;
  constexpr int kRounds = 12;
  const auto definition = [](int round, const std::string& table) {
    return round % 2 == 0 ? Simple(table) : Different(table);
  };
  std::atomic<int> dropped{0};
  std::atomic<int> written{0};
  const auto executive = [&](int number) {
    std::unique_ptr<ConnectionPool> pool = NewPool(3);
    SchemaChanger changer(pool.get());
    const auto change = [&] {
      for (int i = 0; i < kRounds; ++i) {
        const std::string table = absl::StrCat("tab", i % kTables);
        absl::Status status = changer.DropTable({"fam", table}, Late()).status();
        if (status.ok()) ++dropped;
        EXPECT_TRUE(status.ok() || ErrorReason(status) == reason::kTableNotFound) << status;
        status = changer.CreateTables({definition(i + number, table)}, Late()).status();
        EXPECT_TRUE(status.ok() || ErrorReason(status) == reason::kTableDiffers) << status;
      }
    };
    const auto mutate = [&] {
      for (int i = 0; i < 100; ++i) {
        bool pending = false;
        {
          absl::StatusOr<ConnectionPool::Lease> lease = pool->Acquire(Late());
          ASSERT_TRUE(lease.ok()) << lease.status();
          absl::StatusOr<LedgerTransaction> transaction = LedgerTransaction::Begin(lease->get());
          ASSERT_TRUE(transaction.ok()) << transaction.status();
          pending = transaction->schema_change_pending();
          if (!pending) {
            const std::string name = absl::StrCat("tab", i % kTables);
            absl::StatusOr<TableSchema> table = ReadTable(lease->get(), {"fam", name});
            if (absl::IsNotFound(table.status())) continue;
            ASSERT_TRUE(table.ok()) << table.status();
            const std::string text = absl::StrCat(number, "/", i);
            const std::vector<ValueView> row = *table == Simple(name)
                                                   ? std::vector<ValueView>{text, i}
                                                   : std::vector<ValueView>{text, i, 0.5};
            transaction->Upsert(*table, row);
            transaction->Append({sql::UpsertStatement(*table, row)});
            const absl::Status status = transaction->Commit();
            ASSERT_TRUE(status.ok()) << status;
            ++written;
          }
        }
        if (pending) {
          const absl::Status status = changer.CompletePending(Late());
          ASSERT_TRUE(status.ok()) << status;
        }
      }
    };
    std::thread first(change), second(mutate);
    first.join();
    second.join();
  };
  std::thread one(executive, 1), two(executive, 2);
  one.join();
  two.join();
  EXPECT_GT(dropped, 0);
  EXPECT_GT(written, 0);
  ExpectThatTheLedgerTellsAll();
}

}  // namespace
}  // namespace ctlstore::ctldb
