// What the writer tells of its commits, to listeners and in the freshness page.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <map>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/ldb/freshness_page.h"
#include "common/ldb/ldb_test_util.h"
#include "common/ldb/ldb_writer.h"
#include "common/schema/errors.h"
#include "common/schema/table_schema.h"
#include "common/sql/ledger_statements.h"
#include "common/sql/random_data.h"

namespace ctlstore::ldb {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr char kCreate[] =
    "CREATE TABLE fam___tbl (\"a\" VARCHAR(191), \"b\" INTEGER, PRIMARY KEY(\"a\"));";

// Writes down what it is told, and how the file looks at that time.
class Notes : public ChangeListener {
 public:
  explicit Notes(std::string path) : path_(std::move(path)) {}

  void Committing(absl::Span<const Change> changes) override {
    EXPECT_FALSE(committing_);
    committing_ = true;
    told_ = Text(changes);
    before_ = Sequence();
  }
  void Committed(absl::Span<const Change> changes, int64_t applied_sequence) override {
    EXPECT_TRUE(committing_);
    committing_ = false;
    EXPECT_EQ(Text(changes), told_);
    if (told_ != std::vector<std::string>{absl::StrCat(applied_sequence, " everything")}) {
      EXPECT_LT(before_, applied_sequence) << "Committing() came too late";
    }
    EXPECT_EQ(Sequence(), applied_sequence);
    for (std::string& change : told_) changes_.push_back(std::move(change));
    sequences_.push_back(applied_sequence);
  }
  void CommitFailed() override {
    EXPECT_TRUE(committing_);
    committing_ = false;
    ++failed_;
  }

  // Since the last call, without what was not committed.
  std::vector<std::string> Take() { return std::exchange(changes_, {}); }
  std::vector<int64_t> TakeSequences() { return std::exchange(sequences_, {}); }
  int failed() const { return failed_; }

 private:
  static std::vector<std::string> Text(absl::Span<const Change> changes) {
    std::vector<std::string> lines;
    for (const Change& change : changes) {
      std::string line = absl::StrCat(change.sequence, " ");
      if (change.kind == Change::Kind::kEverything) {
        EXPECT_EQ(change.table, nullptr);
        line += "everything";
      } else {
        absl::StrAppend(&line, SqlTableName(*change.table));
      }
      EXPECT_EQ(change.key.size(), change.key_fields.size());
      for (size_t i = 0; i < change.key.size(); ++i) {
        absl::StrAppend(&line, " ", change.key_fields[i].name, ":",
                        FieldTypeName(change.key_fields[i].type), "=", DebugString(change.key[i]));
      }
      EXPECT_EQ(change.kind == Change::Kind::kKey, !change.key.empty());
      lines.push_back(std::move(line));
    }
    return lines;
  }

  int64_t Sequence() const {
    return QueryFile(path_, "SELECT COALESCE(MAX(seq), 0) FROM _ldb_seq")[0][0].integer();
  }

  const std::string path_;
  bool committing_ = false;
  int64_t before_ = 0;
  int failed_ = 0;
  std::vector<std::string> told_;
  std::vector<std::string> changes_;
  std::vector<int64_t> sequences_;
};

class LdbWriterChangesTest : public testing::Test {
 protected:
  LdbWriterChangesTest() : notes_(path_) {
    LdbWriter::Options options;
    options.listeners = {&notes_};
    writer_ = OpenWriter(path_, options);
  }

  std::vector<std::string> Apply(std::vector<std::string> statements) {
    for (std::string& statement : statements) ledger_.Add(std::move(statement));
    const absl::Status status = writer_->Apply(ledger_.Take());
    EXPECT_TRUE(status.ok()) << status;
    return notes_.Take();
  }

  TestFolder folder_;
  const std::string path_ = folder_.Path("ldb.db");
  Notes notes_;
  TestLedger ledger_;
  std::unique_ptr<LdbWriter> writer_;
};

TEST_F(LdbWriterChangesTest, NamesTheKeyOfEachRowThatIsWrittenOrDeleted) {
  EXPECT_THAT(Apply({kCreate}), ElementsAre("1 fam___tbl"));
  EXPECT_THAT(Apply({"REPLACE INTO fam___tbl (\"a\",\"b\") VALUES('x',1)",
                     "REPLACE INTO fam___tbl (\"b\",\"A\") VALUES(1,'it''s')",
                     "DELETE FROM fam___tbl WHERE \"a\" = 'x'",
                     "DELETE FROM FAM___tbl WHERE \"a\" = 'y' AND \"b\" = 1"}),
              ElementsAre("2 fam___tbl a:string=\"x\"", "3 fam___tbl a:string=\"it\\'s\"",
                          "4 fam___tbl a:string=\"x\"", "5 fam___tbl a:string=\"y\""));
  EXPECT_THAT(notes_.TakeSequences(), ElementsAre(1, 5));
}

TEST_F(LdbWriterChangesTest, KeysAreInKeyOrderWhateverTheOrderOfTheFields) {
  Apply(
      {"CREATE TABLE fam___two (\"i\" INTEGER, \"f\" REAL, \"s\" VARCHAR(191), \"y\" BLOB(255), "
       "PRIMARY KEY(\"y\",\"i\",\"s\"));"});
  EXPECT_THAT(Apply({"REPLACE INTO fam___two (\"i\",\"f\",\"s\",\"y\") VALUES(-5,1.5,'x',x'00FF')",
                     "DELETE FROM fam___two WHERE \"s\" = '' AND \"i\" = 7 AND \"y\" = x''"}),
              ElementsAre("2 fam___two y:bytestring=x'00ff' i:integer=-5 s:string=\"x\"",
                          "3 fam___two y:bytestring=x'' i:integer=7 s:string=\"\""));
}

TEST_F(LdbWriterChangesTest, NamesTheTableWhereTheKeyIsNotSure) {
  Apply({kCreate,
         "CREATE TABLE fam___num (\"a\" INTEGER, \"b\" INTEGER, \"c\" TEXT, PRIMARY "
         "KEY(\"a\",\"b\"));"});
  int64_t sequence = 2;
  for (absl::string_view statement :
       {// The value's kind is not the column's.
        "REPLACE INTO fam___tbl (\"a\",\"b\") VALUES(5,1)",
        "REPLACE INTO fam___tbl (\"a\",\"b\") VALUES(true,1)",
        "REPLACE INTO fam___tbl (\"a\",\"b\") VALUES(x'61',1)",
        "DELETE FROM fam___tbl WHERE \"a\" = 5", "DELETE FROM fam___tbl WHERE \"a\" = NULL",
        // The key is not all there, or twice.
        "DELETE FROM fam___tbl WHERE \"b\" = 1",
        "DELETE FROM fam___tbl WHERE \"a\" = 'x' AND \"a\" = 'y'",
        // It is run as text.
        "DELETE FROM fam___tbl", "DELETE FROM fam___tbl WHERE \"a\" > 'x'",
        "REPLACE INTO fam___tbl (\"a\",\"b\") VALUES('x',1e3)",
        "REPLACE INTO fam___tbl VALUES('x',1)",
        "/* x */ REPLACE INTO fam___tbl (\"a\",\"b\") VALUES('x',1)",
        "INSERT INTO fam___tbl (\"a\") VALUES('z')", "UPDATE fam___tbl SET b = 1",
        "ALTER TABLE fam___tbl ADD COLUMN \"c\" TEXT"}) {
    EXPECT_THAT(Apply({std::string(statement)}),
                ElementsAre(absl::StrCat(++sequence, " fam___tbl")))
        << statement;
  }
  EXPECT_THAT(Apply({"DELETE FROM fam___num WHERE \"a\" = 1"}), ElementsAre("18 fam___num"));
  EXPECT_THAT(Apply({"DROP TABLE IF EXISTS fam___tbl"}), ElementsAre("19 fam___tbl"));
  EXPECT_THAT(Apply({"DROP TABLE IF EXISTS fam___never"}), ElementsAre("20 fam___never"));
}

TEST_F(LdbWriterChangesTest, SaysEverythingWhereTheTableIsNotSure) {
  Apply({kCreate});
  int64_t sequence = 1;
  for (absl::string_view statement :
       {"WITH x AS (SELECT 'k') DELETE FROM fam___tbl WHERE a IN (SELECT * FROM x)",
        "DELETE FROM main.fam___tbl", "CREATE INDEX i ON fam___tbl (b)",
        "ALTER TABLE fam___tbl RENAME TO fam___new", "CREATE TABLE other (a INTEGER PRIMARY KEY)",
        "REPLACE INTO other (a) VALUES(1)"}) {
    EXPECT_THAT(Apply({std::string(statement)}),
                ElementsAre(absl::StrCat(++sequence, " everything")))
        << statement;
  }
}

TEST_F(LdbWriterChangesTest, ATablesNewDefinitionIsLookedAtAgain) {
  Apply({kCreate});
  EXPECT_THAT(
      Apply({"REPLACE INTO fam___tbl (\"a\",\"b\") VALUES('x',1)", "DROP TABLE fam___tbl",
             "CREATE TABLE fam___tbl (\"a\" VARCHAR(191), \"b\" INTEGER, PRIMARY KEY(\"b\"));",
             "REPLACE INTO fam___tbl (\"a\",\"b\") VALUES('x',1)"}),
      ElementsAre("2 fam___tbl a:string=\"x\"", "3 fam___tbl", "4 fam___tbl",
                  "5 fam___tbl b:integer=1"));
  // A row may take out another one with the same value in a unique index.
  EXPECT_THAT(Apply({"CREATE UNIQUE INDEX i ON fam___tbl (a)",
                     "REPLACE INTO fam___tbl (\"a\",\"b\") VALUES('x',2)"}),
              ElementsAre("6 everything", "7 fam___tbl"));
  // And a key may be equal to one with other bytes.
  EXPECT_THAT(Apply({"DROP TABLE fam___tbl",
                     "CREATE TABLE fam___tbl (a VARCHAR(191) COLLATE NOCASE, PRIMARY KEY (a))",
                     "REPLACE INTO fam___tbl (a) VALUES('x')"}),
              ElementsAre("8 fam___tbl", "9 fam___tbl", "10 fam___tbl"));
}

TEST_F(LdbWriterChangesTest, WhatIsTakenBackIsNotTold) {
  Apply({kCreate});
  ledger_.Begin();
  ledger_.Add("DROP TABLE fam___tbl");
  ledger_.Add("CREATE TABLE fam___tbl (\"b\" INTEGER, PRIMARY KEY(\"b\"));");
  ledger_.Add("garbage");
  ledger_.Commit();
  EXPECT_FALSE(writer_->Apply(ledger_.Take()).ok());
  EXPECT_THAT(notes_.Take(), IsEmpty());
  // Nor is the definition that was taken back taken for the table's.
  ASSERT_TRUE(writer_->Apply({{2, "", "REPLACE INTO fam___tbl (\"a\",\"b\") VALUES('x',1)"}}).ok());
  EXPECT_THAT(notes_.Take(), ElementsAre("2 fam___tbl a:string=\"x\""));
}

TEST_F(LdbWriterChangesTest, ACommitWithoutChangesIsToldToo) {
  ledger_.Begin();
  ledger_.Commit();
  EXPECT_THAT(Apply({}), IsEmpty());
  EXPECT_THAT(notes_.TakeSequences(), ElementsAre(2));
}

TEST_F(LdbWriterChangesTest, WhatAnotherProgramHasWrittenMayBeAnything) {
  Apply({kCreate});
  ASSERT_TRUE(OpenPlain(path_, /*read_only=*/false)->Execute("UPDATE _ldb_seq SET seq = 5").ok());
  const absl::Status status = writer_->Apply({{2, "", "DELETE FROM fam___tbl"}});
  EXPECT_EQ(ErrorReason(status), reason::kLdbReplaced);
  EXPECT_THAT(notes_.Take(), ElementsAre("5 everything"));
  EXPECT_EQ(writer_->applied_position(), (LedgerPosition{5, ""}));
}

// Whatever was run, the rows that differ afterwards are among those that were named.
TEST_F(LdbWriterChangesTest, NamesAllThatHasChanged) {
  sql::RandomData random(3);
  std::map<std::string, TableSchema> tables;
  for (int i = 0; i < 4; ++i) {
    const TableSchema table = random.Table("fam", absl::StrCat("tbl", i));
    tables.emplace(SqlTableName(table.name()), table);
    Apply({sql::CreateTableStatement(table)});
  }
  const auto rows = [&](const std::string& name, const TableSchema& table) {
    std::map<std::string, std::string> by_key;
    std::vector<std::string> columns;
    for (size_t position : table.key_positions()) {
      columns.push_back(absl::StrCat("\"", table.fields()[position].name, "\""));
    }
    for (const auto& row : QueryFile(path_, absl::StrCat("SELECT ", absl::StrJoin(columns, ","),
                                                         ", * FROM \"", name, "\""))) {
      std::string key = name, all;
      for (size_t i = 0; i < row.size(); ++i) {
        if (i < columns.size()) {
          absl::StrAppend(&key, " ", table.key_field(i).name, ":",
                          FieldTypeName(table.key_field(i).type), "=", DebugString(row[i]));
        }
        absl::StrAppend(&all, DebugString(row[i]), "|");
      }
      by_key[key] = all;
    }
    return by_key;
  };
  std::map<std::string, std::vector<std::vector<Value>>> known;
  int named = 0;
  for (int round = 0; round < 150; ++round) {
    std::map<std::string, std::map<std::string, std::string>> before;
    for (const auto& [name, table] : tables) before[name] = rows(name, table);
    std::vector<std::string> statements;
    for (size_t i = 1 + random.Below(8); i > 0; --i) {
      auto it = tables.begin();
      std::advance(it, random.Below(tables.size()));
      const auto& [name, table] = *it;
      std::vector<Value> row;
      for (size_t f = 0; f < table.fields().size(); ++f) {
        row.push_back(random.Of(table.fields()[f].type, !table.is_key(f)));
      }
      std::vector<Value> key;
      if (!known[name].empty() && random.OneIn(2)) {
        key = known[name][random.Below(known[name].size())];
        for (size_t k = 0; k < key.size(); ++k) row[table.key_positions()[k]] = key[k];
      } else {
        for (size_t position : table.key_positions()) key.push_back(row[position]);
        known[name].push_back(key);
      }
      const std::vector<ValueView> row_view(row.begin(), row.end());
      const std::vector<ValueView> key_view(key.begin(), key.end());
      std::string statement = random.OneIn(3) ? sql::DeleteStatement(table, key_view)
                                              : sql::UpsertStatement(table, row_view);
      if (random.OneIn(10)) statement = absl::StrCat("/**/", statement);
      if (random.OneIn(30)) statement = sql::ClearTableStatement(table.name());
      if (random.OneIn(60)) {
        statement = absl::StrCat("DELETE FROM main.", name, " WHERE rowid % 2");
        if (absl::StrContains(
                QueryFile(path_, absl::StrCat("SELECT sql FROM sqlite_schema WHERE name = '", name,
                                              "'"))[0][0]
                    .data(),
                "WITHOUT ROWID")) {
          statement = absl::StrCat("DELETE FROM main.", name);
        }
      }
      statements.push_back(std::move(statement));
    }
    std::set<std::string> told;
    bool everything = false;
    for (const std::string& change : Apply(statements)) {
      const std::string what = change.substr(change.find(' ') + 1);
      if (what == "everything") everything = true;
      told.insert(what);
    }
    for (const auto& [name, table] : tables) {
      const std::map<std::string, std::string> after = rows(name, table);
      if (everything || told.count(name) != 0) continue;
      std::set<std::string> keys;
      for (const auto& [key, row] : before[name]) keys.insert(key);
      for (const auto& [key, row] : after) keys.insert(key);
      for (const std::string& key : keys) {
        const auto old_row = before[name].find(key);
        const auto new_row = after.find(key);
        if (old_row != before[name].end() && new_row != after.end() &&
            old_row->second == new_row->second) {
          continue;
        }
        ++named;
        ASSERT_EQ(told.count(key), 1u) << key << " is not among " << absl::StrJoin(told, "\n");
      }
    }
  }
  EXPECT_GT(named, 100);
}

TEST_F(LdbWriterChangesTest, TheFreshnessPageFollowsEachCommit) {
  const std::string page_path = FreshnessPagePath(path_);
  absl::StatusOr<std::unique_ptr<FreshnessPageView>> page =
      FreshnessPageView::Open(page_path, writer_->identity());
  ASSERT_TRUE(page.ok()) << page.status();
  FreshnessPageView::Mark mark = (*page)->mark();
  const uint64_t epoch = (*page)->epoch();
  EXPECT_EQ(epoch % 2, 0u);
  Apply({kCreate, "REPLACE INTO fam___tbl (\"a\",\"b\") VALUES('x',1)"});
  EXPECT_GT((*page)->epoch(), epoch);
  EXPECT_EQ((*page)->epoch() % 2, 0u);
  EXPECT_EQ((*page)->applied_sequence(), 2);
  FreshnessPageView::Changed changed;
  (*page)->ChangesSince(&mark, &changed);
  EXPECT_FALSE(changed.everything);
  EXPECT_THAT(changed.tables, ElementsAre(FreshnessTableHash({"fam", "tbl"})));
  ASSERT_EQ(changed.keys.size(), 1u);
  EXPECT_EQ(changed.keys[0].key, FreshnessKeyHash({ValueView("x")}));
  // No writer, no trust.
  const std::string identity = writer_->identity();
  writer_ = nullptr;
  EXPECT_EQ((*page)->epoch() % 2, 1u);
  // The next one goes on with the same page, and says that anything may have changed.
  writer_ = OpenWriter(path_);
  EXPECT_EQ(writer_->identity(), identity);
  EXPECT_EQ((*page)->epoch() % 2, 0u);
  (*page)->ChangesSince(&mark, &changed);
  EXPECT_TRUE(changed.everything);
}

class SetClock : public Clock {
 public:
  absl::Time Now() override { return now_; }
  bool SleepOrStop(absl::Duration, absl::Notification*) override { return true; }
  void Advance(absl::Duration duration) { now_ += duration; }

 private:
  absl::Time now_ = absl::FromUnixSeconds(1000000);
};

TEST_F(LdbWriterChangesTest, WithoutAFreshnessPageReplicationGoesOn) {
  const std::string path = folder_.Path("other.db");
  const std::string page_path = FreshnessPagePath(path);
  // A folder that is not empty can be neither replaced nor removed.
  std::filesystem::create_directories(page_path + "/x");
  SetClock clock;
  LdbWriter::Options options;
  options.clock = &clock;
  std::unique_ptr<LdbWriter> writer = OpenWriter(path, options);
  ASSERT_TRUE(writer->Apply({{1, "", kCreate}}).ok());
  std::filesystem::remove_all(page_path);
  // Not at once: it is tried from time to time.
  ASSERT_TRUE(writer->Apply({{2, "", "DELETE FROM fam___tbl"}}).ok());
  EXPECT_FALSE(std::filesystem::exists(page_path));
  clock.Advance(absl::Seconds(10));
  ASSERT_TRUE(writer->Apply({{3, "", "DELETE FROM fam___tbl"}}).ok());
  absl::StatusOr<std::unique_ptr<FreshnessPageView>> page =
      FreshnessPageView::Open(page_path, writer->identity());
  ASSERT_TRUE(page.ok()) << page.status();
  EXPECT_EQ((*page)->applied_sequence(), 3);
  EXPECT_EQ((*page)->epoch() % 2, 0u);
}

}  // namespace
}  // namespace ctlstore::ldb
