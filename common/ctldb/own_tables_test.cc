#include "common/ctldb/own_tables.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/ctldb/testing/ctldb_test_base.h"

namespace ctlstore::ctldb {
namespace {

using ::ctlstore::ctldb::testing::CtldbTest;
using ::ctlstore::ctldb::testing::MustOpen;
using ::ctlstore::ctldb::testing::MustQuery;
using ::ctlstore::ctldb::testing::NewTarget;
using ::ctlstore::ctldb::testing::Rows;
using ::ctlstore::ctldb::testing::SharedMariadbServer;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;

Rows LockRows(Connection* connection) {
  return MustQuery(connection, "SELECT id, clock FROM locks ORDER BY id");
}

class OwnTablesTest : public CtldbTest {};

CTLSTORE_FOR_BOTH_KINDS(OwnTablesTest);

TEST_P(OwnTablesTest, MakesEachTableOfTheContract) {
  std::unique_ptr<Connection> connection = Open();
  ASSERT_TRUE(EnsureOwnTables(connection.get()).ok());
  for (const char* table : {"families", "mutators", "ctlstore_dml_ledger", "max_table_sizes",
                            "max_writer_rates", "writer_usage", "ctlstore_schema_intents"}) {
    EXPECT_THAT(MustQuery(connection.get(), absl::StrCat("SELECT COUNT(*) FROM ", table)),
                ElementsAre(ElementsAre(Value::Integer(0))))
        << table;
  }
  EXPECT_THAT(LockRows(connection.get()),
              ElementsAre(ElementsAre(Value::Text("ledger"), Value::Integer(0)),
                          ElementsAre(Value::Text("schema"), Value::Integer(0))));
}

TEST_P(OwnTablesTest, GivesEachLedgerEntryTheTimeInUtc) {
  std::unique_ptr<Connection> connection = OpenReady();
  ASSERT_TRUE(
      connection->Execute("INSERT INTO ctlstore_dml_ledger (seq, statement) VALUES (1, 'x')").ok());
  const Value time = MustQuery(connection.get(), "SELECT leader_ts FROM ctlstore_dml_ledger")[0][0];
  ASSERT_EQ(time.kind(), ValueKind::kText);
  EXPECT_THAT(time.data(),
              MatchesRegex("[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3,6}"));
  absl::Time parsed;
  std::string error;
  ASSERT_TRUE(absl::ParseTime("%Y-%m-%d %H:%M:%E*S", time.data(), &parsed, &error)) << error;
  EXPECT_LT(absl::AbsDuration(absl::Now() - parsed), absl::Minutes(10));
}

TEST_P(OwnTablesTest, ChangesNothingWhereAllIsThere) {
  std::unique_ptr<Connection> connection = OpenReady();
  ASSERT_TRUE(connection->Execute("UPDATE locks SET clock = 7").ok());
  ASSERT_TRUE(connection->Execute("INSERT INTO families (name) VALUES ('geo')").ok());
  ASSERT_TRUE(EnsureOwnTables(connection.get()).ok());
  EXPECT_THAT(LockRows(connection.get()),
              ElementsAre(ElementsAre(Value::Text("ledger"), Value::Integer(7)),
                          ElementsAre(Value::Text("schema"), Value::Integer(7))));
  EXPECT_EQ(MustQuery(connection.get(), "SELECT name FROM families").size(), 1u);
}

TEST_P(OwnTablesTest, IsSafeFromSeveralAtOnce) {
  std::vector<std::thread> threads;
  std::vector<absl::Status> statuses(4);
  for (absl::Status& status : statuses) {
    threads.emplace_back([&status, this] { status = EnsureOwnTables(Open().get()); });
  }
  for (std::thread& thread : threads) thread.join();
  for (const absl::Status& status : statuses) EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(LockRows(Open().get()).size(), 2u);
}

TEST_P(OwnTablesTest, MakesWhatIsMissing) {
  std::unique_ptr<Connection> connection = OpenReady();
  ASSERT_TRUE(connection->Execute("DROP TABLE ctlstore_schema_intents").ok());
  ASSERT_TRUE(connection->Execute("DELETE FROM locks").ok());
  ASSERT_TRUE(EnsureOwnTables(connection.get()).ok());
  EXPECT_TRUE(MustQuery(connection.get(), "SELECT id FROM ctlstore_schema_intents").empty());
  EXPECT_EQ(LockRows(connection.get()).size(), 2u);
}

TEST_P(OwnTablesTest, SaysWhichColumnIsNotAsItMustBe) {
  const struct {
    const char* definition;
    const char* what;
  } kCases[] = {
      {"(id VARCHAR(191) NOT NULL PRIMARY KEY)", "no column clock"},
      {"(id VARCHAR(191) NOT NULL PRIMARY KEY, clock VARCHAR(10))", "clock is a varchar(10)"},
      {"(id VARCHAR(191) NOT NULL, clock BIGINT)", "id is not number 1 of the primary key"},
      {"(id VARCHAR(191) NOT NULL, clock BIGINT NOT NULL, PRIMARY KEY (id, clock))",
       "clock is in the primary key"},
      {"(id VARCHAR(191) NOT NULL, clock BIGINT NOT NULL, x INT NOT NULL, PRIMARY KEY (id, x))",
       "x is in the primary key"},
  };
  std::unique_ptr<Connection> connection = OpenReady();
  for (const auto& c : kCases) {
    ASSERT_TRUE(connection->Execute("DROP TABLE locks").ok());
    ASSERT_TRUE(connection->Execute(absl::StrCat("CREATE TABLE locks ", c.definition)).ok());
    absl::Status status = EnsureOwnTables(connection.get());
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("table locks"));
    EXPECT_THAT(std::string(status.message()), HasSubstr(c.what));
  }
}

TEST_P(OwnTablesTest, TakesTheTablesOfAGoExecutive) {
  const bool mariadb = is_mariadb();
  const std::string serial =
      mariadb ? "INTEGER PRIMARY KEY AUTO_INCREMENT" : "INTEGER PRIMARY KEY AUTOINCREMENT";
  std::unique_ptr<Connection> connection = Open();
  for (const std::string& statement : {
           absl::StrCat("CREATE TABLE families (id ", serial, ", name VARCHAR(191) UNIQUE)"),
           std::string("CREATE TABLE mutators (writer VARCHAR(191) PRIMARY KEY, "
                       "secret VARCHAR(255), cookie BLOB, clock BIGINT)"),
           absl::StrCat("CREATE TABLE ctlstore_dml_ledger (seq ", serial,
                        ", leader_ts DATETIME DEFAULT CURRENT_TIMESTAMP, statement ",
                        mariadb ? "MEDIUMTEXT" : "TEXT", ")"),
           std::string("CREATE TABLE locks (id VARCHAR(191) PRIMARY KEY, clock BIGINT)"),
           std::string("CREATE TABLE max_table_sizes (family_name VARCHAR(191), "
                       "table_name VARCHAR(191), warn_size_bytes BIGINT, max_size_bytes BIGINT, "
                       "PRIMARY KEY (family_name, table_name))"),
           std::string("CREATE TABLE max_writer_rates (writer_name VARCHAR(191) PRIMARY KEY, "
                       "max_rows_per_minute BIGINT)"),
           std::string("CREATE TABLE writer_usage (writer_name VARCHAR(191), bucket BIGINT, "
                       "amount BIGINT, PRIMARY KEY (writer_name, bucket))"),
           std::string("INSERT INTO locks VALUES ('ledger', 42)"),
       }) {
    absl::StatusOr<int64_t> result = connection->Execute(statement);
    ASSERT_TRUE(result.ok()) << statement << ": " << result.status();
  }
  absl::Status status = EnsureOwnTables(connection.get());
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_TRUE(MustQuery(connection.get(), "SELECT id FROM ctlstore_schema_intents").empty());
  EXPECT_THAT(LockRows(connection.get()),
              ElementsAre(ElementsAre(Value::Text("ledger"), Value::Integer(42)),
                          ElementsAre(Value::Text("schema"), Value::Integer(0))));
}

TEST_P(OwnTablesTest, AddsTheSchemaVersionToACtldbThatHasAllElse) {
  std::unique_ptr<Connection> connection = OpenReady();
  ASSERT_TRUE(connection->Execute("DELETE FROM locks WHERE id = 'schema'").ok());
  options_.read_only = true;
  absl::Status status = EnsureOwnTables(Open().get());
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(LockRows(connection.get()).size(), 1u);
  ASSERT_TRUE(EnsureOwnTables(connection.get()).ok());
  EXPECT_THAT(LockRows(connection.get()),
              ElementsAre(ElementsAre(Value::Text("ledger"), Value::Integer(0)),
                          ElementsAre(Value::Text("schema"), Value::Integer(0))));
}

TEST(OwnTablesMariadbTest, NeedsNoRightToAddTheSchemaVersion) {
  Target target = NewTarget(Target::Kind::kMariadb);
  std::unique_ptr<Connection> root = MustOpen(target);
  ASSERT_TRUE(EnsureOwnTables(root.get()).ok());
  ASSERT_TRUE(root->Execute("DELETE FROM locks WHERE id = 'schema'").ok());
  ASSERT_TRUE(SharedMariadbServer()->RunSql("CREATE USER onlooker").ok());
  ASSERT_TRUE(SharedMariadbServer()
                  ->RunSql(absl::StrCat("GRANT SELECT ON ", target.database, ".* TO onlooker"))
                  .ok());
  target.user = "onlooker";
  absl::Status status = EnsureOwnTables(MustOpen(target).get());
  EXPECT_TRUE(status.ok()) << status;
  ASSERT_TRUE(root->Execute("DELETE FROM locks").ok());
  EXPECT_EQ(EnsureOwnTables(MustOpen(target).get()).code(), absl::StatusCode::kPermissionDenied);
}

TEST(OwnTablesMariadbTest, NeedsNoRightToCreateWhereAllIsThere) {
  Target target = NewTarget(Target::Kind::kMariadb);
  ASSERT_TRUE(EnsureOwnTables(MustOpen(target).get()).ok());
  ASSERT_TRUE(SharedMariadbServer()->RunSql("CREATE USER modest").ok());
  ASSERT_TRUE(SharedMariadbServer()
                  ->RunSql(absl::StrCat("GRANT SELECT, INSERT, UPDATE, DELETE ON ", target.database,
                                        ".* TO modest"))
                  .ok());
  target.user = "modest";
  absl::Status status = EnsureOwnTables(MustOpen(target).get());
  EXPECT_TRUE(status.ok()) << status;

  Target empty = NewTarget(Target::Kind::kMariadb);
  ASSERT_TRUE(SharedMariadbServer()
                  ->RunSql(absl::StrCat("GRANT SELECT ON ", empty.database, ".* TO modest"))
                  .ok());
  empty.user = "modest";
  EXPECT_EQ(EnsureOwnTables(MustOpen(empty).get()).code(), absl::StatusCode::kPermissionDenied);
}

}  // namespace
}  // namespace ctlstore::ctldb
