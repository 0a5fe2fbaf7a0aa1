#include "common/sqlite/database.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace ctlstore::sqlite {
namespace {

using testing::HasSubstr;

class DatabaseTest : public testing::Test {
 protected:
  DatabaseTest() : folder_(testing::TempDir() + "/sqlite-XXXXXX") {
    if (mkdtemp(folder_.data()) == nullptr) std::abort();
    path_ = folder_ + "/test.db";
  }
  ~DatabaseTest() override { std::filesystem::remove_all(folder_); }

  std::unique_ptr<Database> Open(Database::Mode mode = Database::Mode::kReadWrite,
                                 absl::Duration busy_timeout = absl::ZeroDuration()) {
    absl::StatusOr<std::unique_ptr<Database>> database = Database::Open(path_, mode, busy_timeout);
    EXPECT_TRUE(database.ok()) << database.status();
    return *std::move(database);
  }

  static Value Single(Database* database, const std::string& sql) {
    std::unique_ptr<Statement> statement = *database->Prepare(sql);
    EXPECT_TRUE(*statement->Step());
    return Value(statement->Column(0));
  }

  std::string folder_;
  std::string path_;
};

TEST_F(DatabaseTest, ReadWriteCreatesTheFileAndReadOnlyDoesNot) {
  absl::StatusOr<std::unique_ptr<Database>> missing =
      Database::Open(path_, Database::Mode::kReadOnly, absl::ZeroDuration());
  EXPECT_EQ(missing.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(missing.status().message()), HasSubstr(path_));
  EXPECT_FALSE(std::filesystem::exists(path_));
  ASSERT_TRUE(Open()->Execute("CREATE TABLE t (a)").ok());
  EXPECT_TRUE(std::filesystem::exists(path_));
  std::unique_ptr<Database> reader = Open(Database::Mode::kReadOnly);
  EXPECT_EQ(reader->Execute("INSERT INTO t VALUES(1)").code(), absl::StatusCode::kUnavailable);
}

TEST_F(DatabaseTest, APathIsAPlainFileName) {
  EXPECT_EQ(Database::Open("", Database::Mode::kReadWrite, absl::ZeroDuration()).status().code(),
            absl::StatusCode::kInvalidArgument);
  const std::filesystem::path before = std::filesystem::current_path();
  std::filesystem::current_path(folder_);
  {
    const std::string path = "file:test.db?mode=memory";
    absl::StatusOr<std::unique_ptr<Database>> database =
        Database::Open(path, Database::Mode::kReadWrite, absl::ZeroDuration());
    ASSERT_TRUE(database.ok()) << database.status();
    EXPECT_TRUE((*database)->Execute("CREATE TABLE t (a)").ok());
    EXPECT_TRUE(std::filesystem::exists(folder_ + "/" + path));
  }
  std::filesystem::current_path(before);
}

TEST_F(DatabaseTest, EveryKindOfValueComesBackAsItIs) {
  std::unique_ptr<Database> database = Open();
  std::unique_ptr<Statement> statement = *database->Prepare("SELECT ?1, typeof(?1)");
  const std::vector<std::pair<Value, const char*>> values = {
      {Value::Null(), "null"},
      {Value::Integer(std::numeric_limits<int64_t>::min()), "integer"},
      {Value::Integer(std::numeric_limits<int64_t>::max()), "integer"},
      {Value::Decimal(0.1), "real"},
      {Value::Decimal(1), "real"},
      {Value::Text("it's\n😀"), "text"},
      {Value::Text(""), "text"},
      {Value::Bytes(std::string("\0\xFF", 2)), "blob"},
      {Value::Bytes(""), "blob"}};
  for (const auto& [value, type] : values) {
    ASSERT_TRUE(statement->Bind(1, value).ok());
    ASSERT_TRUE(*statement->Step());
    EXPECT_EQ(Value(statement->Column(0)), value);
    EXPECT_EQ(statement->Column(1), ValueView(type));
    EXPECT_FALSE(*statement->Step());
    statement->Reset();
  }
  // Views that show nothing may have no data at all.
  ASSERT_TRUE(statement->Bind(1, ValueView(absl::string_view())).ok());
  ASSERT_TRUE(*statement->Step());
  EXPECT_EQ(statement->Column(0), ValueView(""));
  statement->Reset();
  ASSERT_TRUE(statement->Bind(1, ValueView::Bytes(absl::string_view())).ok());
  ASSERT_TRUE(*statement->Step());
  EXPECT_EQ(statement->Column(0), ValueView::Bytes(""));
  EXPECT_EQ(statement->column_count(), 2);
  EXPECT_EQ(statement->column_name(1), "typeof(?1)");
}

TEST_F(DatabaseTest, ResetForgetsParameters) {
  std::unique_ptr<Database> database = Open();
  std::unique_ptr<Statement> statement = *database->Prepare("SELECT ?");
  ASSERT_TRUE(statement->Bind(1, 7).ok());
  ASSERT_TRUE(*statement->Step());
  statement->Reset();
  ASSERT_TRUE(*statement->Step());
  EXPECT_TRUE(statement->Column(0).is_null());
  EXPECT_FALSE(statement->Bind(2, 7).ok());
}

TEST_F(DatabaseTest, PrepareTakesOneStatementAndTellsTheRest) {
  std::unique_ptr<Database> database = Open();
  absl::string_view tail;
  EXPECT_TRUE(database->Prepare("SELECT 1; SELECT 2", &tail).ok());
  EXPECT_EQ(tail, " SELECT 2");
  EXPECT_TRUE(database->Prepare("SELECT 1", &tail).ok());
  EXPECT_EQ(tail, "");
  // A view that ends before its text does.
  EXPECT_TRUE(database->Prepare(absl::string_view("SELECT 1 garbage", 8)).ok());
  for (absl::string_view nothing : {absl::string_view(), absl::string_view(" "),
                                    absl::string_view("-- x"), absl::string_view(";")}) {
    EXPECT_EQ(database->Prepare(nothing).status().code(), absl::StatusCode::kInvalidArgument);
  }
  EXPECT_EQ(database->Prepare("SELEKT 1").status().code(), absl::StatusCode::kInternal);
}

TEST_F(DatabaseTest, ErrorsHaveTheirCodes) {
  std::unique_ptr<Database> database = Open();
  ASSERT_TRUE(database
                  ->Execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b UNIQUE); INSERT INTO t "
                            "VALUES(1, 1)")
                  .ok());
  const absl::Status duplicate = database->Execute("INSERT INTO t VALUES(2, 1)");
  EXPECT_EQ(duplicate.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(duplicate.message()), HasSubstr("UNIQUE"));
  EXPECT_EQ(database->Execute("INSERT INTO t VALUES('x', 2)").code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(database->Execute("SELECT * FROM nothing").code(), absl::StatusCode::kInternal);
  EXPECT_EQ(StatusFromCode(SQLITE_FULL, nullptr, "x").code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(StatusFromCode(SQLITE_IOERR_WRITE, nullptr, "x").code(),
            absl::StatusCode::kUnavailable);
  EXPECT_EQ(StatusFromCode(SQLITE_CORRUPT_VTAB, nullptr, "x").code(), absl::StatusCode::kDataLoss);
  for (int code : {SQLITE_OK, SQLITE_ROW, SQLITE_DONE}) {
    EXPECT_TRUE(StatusFromCode(code, nullptr, "x").ok());
  }
  const std::string garbage = folder_ + "/garbage.db";
  std::ofstream(garbage) << std::string(5000, 'x');
  absl::StatusOr<std::unique_ptr<Database>> damaged =
      Database::Open(garbage, Database::Mode::kReadWrite, absl::ZeroDuration());
  ASSERT_TRUE(damaged.ok());
  EXPECT_EQ((*damaged)->Execute("SELECT * FROM sqlite_schema").code(), absl::StatusCode::kDataLoss);
}

TEST_F(DatabaseTest, TellsTransactionsAndChanges) {
  std::unique_ptr<Database> database = Open();
  ASSERT_TRUE(database->Execute("CREATE TABLE t (a)").ok());
  EXPECT_FALSE(database->in_transaction());
  ASSERT_TRUE(database->Execute("BEGIN").ok());
  EXPECT_TRUE(database->in_transaction());
  ASSERT_TRUE(database->Execute("INSERT INTO t VALUES(1),(2),(3)").ok());
  EXPECT_EQ(database->changes(), 3);
  ASSERT_TRUE(database->Execute("ROLLBACK").ok());
  EXPECT_FALSE(database->in_transaction());
}

TEST_F(DatabaseTest, AnotherWritersLockIsUnavailable) {
  std::unique_ptr<Database> one = Open();
  std::unique_ptr<Database> two = Open();
  ASSERT_TRUE(one->Execute("CREATE TABLE t (a); BEGIN IMMEDIATE").ok());
  EXPECT_EQ(two->Execute("BEGIN IMMEDIATE").code(), absl::StatusCode::kUnavailable);
  ASSERT_TRUE(one->Execute("COMMIT").ok());
  EXPECT_TRUE(two->Execute("BEGIN IMMEDIATE").ok());
  // However long the time is.
  EXPECT_TRUE(Database::Open(path_, Database::Mode::kReadOnly, absl::InfiniteDuration()).ok());
}

TEST_F(DatabaseTest, TheWalIsCheckpointedOnlyWhenAsked) {
  const auto wal_bytes = [this] { return std::filesystem::file_size(path_ + "-wal"); };
  {
    std::unique_ptr<Database> database = Open();
    ASSERT_TRUE(
        database->Execute("PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; CREATE TABLE t (a)")
            .ok());
    // More than the thousand pages after which SQLite would do it by itself.
    for (int i = 0; i < 1500; ++i) {
      ASSERT_TRUE(database->Execute("INSERT INTO t VALUES(zeroblob(3000))").ok());
    }
    EXPECT_GT(wal_bytes(), 6000000u);
  }
  // Also not by closing.
  EXPECT_GT(wal_bytes(), 6000000u);
  {
    EXPECT_EQ(Single(Open(Database::Mode::kReadOnly).get(), "SELECT count(*) FROM t"),
              Value::Integer(1500));
  }
  EXPECT_GT(wal_bytes(), 6000000u);

  std::unique_ptr<Database> database = Open();
  bool reset = false;
  {
    std::unique_ptr<Database> reader = Open(Database::Mode::kReadOnly);
    std::unique_ptr<Statement> statement = *reader->Prepare("SELECT a FROM t");
    ASSERT_TRUE(*statement->Step());
    ASSERT_TRUE(database->Execute("INSERT INTO t VALUES(1)").ok());
    ASSERT_TRUE(database->Checkpoint(&reset).ok());
    EXPECT_FALSE(reset);
    EXPECT_GT(wal_bytes(), 0u);
  }
  ASSERT_TRUE(database->Checkpoint(&reset).ok());
  EXPECT_TRUE(reset);
  EXPECT_EQ(wal_bytes(), 0u);
  EXPECT_EQ(Single(database.get(), "SELECT count(*) FROM t"), Value::Integer(1501));
}

TEST_F(DatabaseTest, RunEndsTheStatementAlsoWhenItFails) {
  std::unique_ptr<Database> database = Open();
  ASSERT_TRUE(database->Execute("CREATE TABLE t (a PRIMARY KEY)").ok());
  std::unique_ptr<Statement> insert = *database->Prepare("INSERT INTO t VALUES(?)");
  ASSERT_TRUE(insert->Bind(1, 1).ok());
  ASSERT_TRUE(insert->Run().ok());
  ASSERT_TRUE(insert->Bind(1, 1).ok());
  EXPECT_EQ(insert->Run().code(), absl::StatusCode::kFailedPrecondition);
  ASSERT_TRUE(insert->Bind(1, 2).ok());
  EXPECT_TRUE(insert->Run().ok());
}

}  // namespace
}  // namespace ctlstore::sqlite
