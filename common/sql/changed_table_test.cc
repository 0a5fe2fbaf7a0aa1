#include "common/sql/changed_table.h"

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <random>
#include <set>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/sql/random_data.h"
#include "common/sqlite/database.h"

namespace ctlstore::sql {
namespace {

std::string Found(absl::string_view statement) {
  const absl::optional<ChangedTable> table = FindChangedTable(statement);
  return table.has_value() ? absl::StrCat(table->name, table->definition ? " defined" : "") : "?";
}

TEST(ChangedTableTest, FindsTheTableOfEachKindOfStatement) {
  EXPECT_EQ(Found("REPLACE INTO fam___tbl (\"a\") VALUES(1)"), "fam___tbl");
  EXPECT_EQ(Found("INSERT INTO fam___tbl VALUES(1)"), "fam___tbl");
  EXPECT_EQ(Found("INSERT OR IGNORE INTO fam___tbl VALUES(1)"), "fam___tbl");
  EXPECT_EQ(Found("DELETE FROM fam___tbl"), "fam___tbl");
  EXPECT_EQ(Found("DELETE FROM fam___tbl;"), "fam___tbl");
  EXPECT_EQ(Found("UPDATE fam___tbl SET a = 1"), "fam___tbl");
  EXPECT_EQ(Found("UPDATE OR REPLACE fam___tbl SET a = 1"), "fam___tbl");
  EXPECT_EQ(Found("CREATE TABLE fam___tbl (a)"), "fam___tbl defined");
  EXPECT_EQ(Found("CREATE TABLE IF NOT EXISTS fam___tbl (a)"), "fam___tbl defined");
  EXPECT_EQ(Found("DROP TABLE fam___tbl"), "fam___tbl defined");
  EXPECT_EQ(Found("DROP TABLE IF EXISTS fam___tbl"), "fam___tbl defined");
  EXPECT_EQ(Found("ALTER TABLE fam___tbl ADD COLUMN b TEXT"), "fam___tbl defined");
  EXPECT_EQ(Found("ALTER TABLE fam___tbl ADD b TEXT"), "fam___tbl defined");
}

TEST(ChangedTableTest, TakesAnySpelling) {
  EXPECT_EQ(Found(" \t\r\n\f replace\ninto Fam___tbl(a)values(1)"), "Fam___tbl");
  EXPECT_EQ(Found("delete from\"fam___tbl\"where a = 1"), "fam___tbl");
  EXPECT_EQ(Found("DELETE FROM `fam___tbl`"), "fam___tbl");
  EXPECT_EQ(Found("DELETE FROM [fam___tbl]"), "fam___tbl");
  EXPECT_EQ(Found("DELETE FROM 'fam___tbl'"), "fam___tbl");
  EXPECT_EQ(Found("DELETE FROM \"fam\"\"x\""), "fam\"x");
  EXPECT_EQ(Found("DELETE FROM [fam]]"), "fam");
  EXPECT_EQ(Found("-- DELETE FROM x\nDELETE /* FROM y */ FROM--\nfam___tbl/**/"), "fam___tbl");
  EXPECT_EQ(Found("DELETE FROM t\xC3\xA9"), "t\xC3\xA9");
}

TEST(ChangedTableTest, DoesNotGuess) {
  for (const std::string& statement :
       std::vector<std::string>{"",
                                " ",
                                ";",
                                "-- DELETE FROM x",
                                "/* DELETE FROM x",
                                "DELETE",
                                "DELETE FROM",
                                "DELETE FROM main.fam___tbl",
                                "DELETE FROM \"main\" . fam___tbl",
                                "DELETE FROM fam___tbl/**/.x",
                                "DELETE FROM \"fam___tbl",
                                "DELETE FROM [fam___tbl",
                                "DELETE FROM 1",
                                "DELETE FROM $x",
                                "DELETE FROM x'00'",
                                "DELETEFROM x",
                                "ALTER TABLE fam___tbl RENAME TO x",
                                "ALTER TABLE fam___tbl RENAME COLUMN a TO b",
                                "ALTER TABLE main.fam___tbl ADD b",
                                "CREATE TEMP TABLE x (a)",
                                "CREATE TABLE IF x (a)",
                                "CREATE INDEX i ON fam___tbl (a)",
                                "CREATE UNIQUE INDEX i ON fam___tbl (a)",
                                "DROP INDEX i",
                                "DROP TABLE IF x",
                                "WITH x AS (SELECT 1) DELETE FROM fam___tbl",
                                "EXPLAIN DELETE FROM fam___tbl",
                                "SELECT * FROM fam___tbl",
                                "INSERT OR INTO x",
                                "; DELETE FROM fam___tbl",
                                "--- BEGIN",
                                "REINDEX",
                                "VACUUM",
                                std::string("DELETE FROM fam___tbl\0", 22)}) {
    EXPECT_EQ(Found(statement), "?") << statement;
  }
}

// The tables that SQLite says a statement changes.
class Watched {
 public:
  Watched()
      : database_(*sqlite::Database::Open(":memory:", sqlite::Database::Mode::kReadWrite,
                                          absl::Seconds(1))) {
    for (const char* table : {"fam___tbl", "fam___other", "\"od\"\"d\"", "t\xC3\xA9", "into"}) {
      EXPECT_TRUE(database_
                      ->Execute(absl::StrCat(
                          "CREATE TABLE \"fake\" (a); ALTER TABLE fake RENAME "
                          "TO ",
                          absl::StartsWith(table, "\"") ? table : absl::StrCat("\"", table, "\"")))
                      .ok());
    }
    sqlite3_set_authorizer(database_->handle(), &Watched::Authorize, this);
  }
  ~Watched() { sqlite3_set_authorizer(database_->handle(), nullptr, nullptr); }

  // False where SQLite does not take the statement.
  bool Look(const std::string& statement) {
    tables_.clear();
    only_tables_ = true;
    return database_->Prepare(statement).ok();
  }
  const std::set<std::string>& tables() const { return tables_; }
  bool only_tables() const { return only_tables_; }

 private:
  static int Authorize(void* self, int action, const char* first, const char* second,
                       const char* /*database*/, const char* /*trigger*/) {
    auto* watched = static_cast<Watched*>(self);
    const auto add = [&](const char* table) {
      if (table != nullptr && !absl::StartsWith(table, "sqlite_")) {
        watched->tables_.insert(absl::AsciiStrToLower(table));
      }
    };
    switch (action) {
      case SQLITE_INSERT:
      case SQLITE_UPDATE:
      case SQLITE_DELETE:
      case SQLITE_CREATE_TABLE:
      case SQLITE_DROP_TABLE:
        add(first);
        break;
      case SQLITE_ALTER_TABLE:
        add(second);
        break;
      case SQLITE_READ:
      case SQLITE_SELECT:
      case SQLITE_FUNCTION:
      case SQLITE_RECURSIVE:
      case SQLITE_REINDEX:
        break;
      default:
        watched->only_tables_ = false;
    }
    return SQLITE_OK;
  }

  std::unique_ptr<sqlite::Database> database_;
  std::set<std::string> tables_;
  bool only_tables_ = true;
};

// Statements of random pieces, and what random changes make of them: whatever SQLite takes must
// change the table that was found, and no other.
TEST(ChangedTableTest, FindsNoOtherTableThanSqliteChanges) {
  static constexpr const char* kPieces[] = {"REPLACE",
                                            "INSERT",
                                            "DELETE",
                                            "UPDATE",
                                            "CREATE",
                                            "ALTER",
                                            "DROP",
                                            "TABLE",
                                            "INTO",
                                            "FROM",
                                            "OR",
                                            "IGNORE",
                                            "IF",
                                            "NOT",
                                            "EXISTS",
                                            "ADD",
                                            "COLUMN",
                                            "RENAME",
                                            "TO",
                                            "SET",
                                            "WHERE",
                                            "VALUES",
                                            "(1)",
                                            "a",
                                            "a = 1",
                                            "fam___tbl",
                                            "fam___other",
                                            "main",
                                            ".",
                                            "(a)",
                                            "new",
                                            "WITH",
                                            "AS",
                                            "(SELECT 1)",
                                            "\"fam___tbl\"",
                                            "'fam___tbl'",
                                            "[fam___other]",
                                            "`fam___tbl`",
                                            "\"od\"\"d\"",
                                            "t\xC3\xA9",
                                            "SELECT 1",
                                            ";",
                                            "--x\n",
                                            "/*y*/",
                                            "into",
                                            "\"into\""};
  static constexpr const char* kStatements[] = {
      "REPLACE INTO fam___tbl (a) VALUES (1)",
      "INSERT OR IGNORE INTO \"fam___tbl\" SELECT a FROM fam___other",
      "DELETE FROM fam___tbl WHERE a IN (SELECT a FROM fam___other)",
      "UPDATE OR FAIL fam___tbl SET a = 1 WHERE a = 2",
      "UPDATE fam___tbl SET a = o.a FROM fam___other AS o",
      "CREATE TABLE IF NOT EXISTS new (a)",
      "CREATE TABLE new AS SELECT * FROM fam___tbl",
      "ALTER TABLE fam___tbl ADD COLUMN b TEXT",
      "ALTER TABLE fam___tbl RENAME TO fam___new",
      "DROP TABLE IF EXISTS fam___other",
      "WITH x AS (SELECT 1) INSERT INTO fam___tbl SELECT * FROM x"};
  Watched watched;
  RandomData random(7);
  int compared = 0;
  for (int i = 0; i < 60000; ++i) {
    std::string statement;
    if (random.OneIn(3)) {
      const size_t pieces = 1 + random.Below(10);
      for (size_t p = 0; p < pieces; ++p) {
        absl::StrAppend(&statement, kPieces[random.Below(std::size(kPieces))],
                        random.OneIn(8) ? "" : " ");
      }
    } else {
      statement = kStatements[random.Below(std::size(kStatements))];
      const size_t changes = random.Below(4);
      for (size_t c = 0; c < changes; ++c) {
        const size_t at = random.Below(statement.size() + 1);
        switch (random.Below(4)) {
          case 0:
            statement.insert(at, kPieces[random.Below(std::size(kPieces))]);
            break;
          case 1:
            statement.insert(at, absl::StrCat(" ", kPieces[random.Below(std::size(kPieces))], " "));
            break;
          case 2:
            statement.erase(at, 1 + random.Below(6));
            break;
          default:
            if (at < statement.size()) statement[at] = static_cast<char>(random.Below(256));
        }
        if (statement.empty()) statement = ";";
      }
    }
    const absl::optional<ChangedTable> found = FindChangedTable(statement);
    if (!watched.Look(statement) || !found.has_value()) continue;
    // What is not there needs not be dropped, and what is there needs not be made.
    if (watched.tables().empty() && found->definition) continue;
    ++compared;
    ASSERT_EQ(watched.tables(), std::set<std::string>{absl::AsciiStrToLower(found->name)})
        << statement;
    ASSERT_TRUE(watched.only_tables()) << statement;
  }
  EXPECT_GT(compared, 5000);
}

}  // namespace
}  // namespace ctlstore::sql
