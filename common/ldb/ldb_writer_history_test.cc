// The history of changes that the writer keeps in the local database.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/ldb/change_history.h"
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
constexpr char kPut[] = "REPLACE INTO fam___tbl (\"a\",\"b\") VALUES('x',1)";

template <typename AnyChange>
std::string Text(const AnyChange& change, const TableName& table) {
  std::string text = absl::StrCat(change.sequence, " ", SqlTableName(table));
  for (size_t i = 0; i < change.key.size(); ++i) {
    absl::StrAppend(&text, " ", change.key_fields[i].name, ":",
                    FieldTypeName(change.key_fields[i].type), "=", DebugString(change.key[i]));
  }
  return text;
}

// What was told of the changes after a sequence; everything before is unknown where it says so.
class Told : public ChangeListener {
 public:
  void Committing(absl::Span<const Change>) override {}
  void Committed(absl::Span<const Change> changes, int64_t applied_sequence) override {
    for (const Change& change : changes) {
      if (change.kind == Change::Kind::kEverything) {
        begin_ = applied_sequence;
      } else {
        changes_.emplace(change.sequence, Text(change, *change.table));
      }
    }
    changes_.erase(changes_.begin(), changes_.upper_bound(begin_));
  }
  void CommitFailed() override {}

  int64_t begin() const { return begin_; }
  std::vector<std::string> After(int64_t sequence) const {
    std::vector<std::string> texts;
    for (auto it = changes_.upper_bound(sequence); it != changes_.end(); ++it) {
      texts.push_back(it->second);
    }
    return texts;
  }

 private:
  int64_t begin_ = 0;
  std::multimap<int64_t, std::string> changes_;
};

class LdbWriterHistoryTest : public testing::Test {
 protected:
  LdbWriterHistoryTest() { Open(); }

  void Open() {
    writer_ = nullptr;
    options_.listeners = {&told_};
    writer_ = OpenWriter(path_, options_);
  }

  void Apply(std::vector<std::string> statements) {
    for (std::string& statement : statements) ledger_.Add(std::move(statement));
    const absl::Status status = writer_->Apply(ledger_.Take());
    EXPECT_TRUE(status.ok()) << status;
  }

  absl::optional<int64_t> Begin() {
    const std::unique_ptr<sqlite::Database> database = OpenPlain(path_);
    const absl::StatusOr<absl::optional<int64_t>> begin =
        ChangeHistoryReader(database.get()).Begin();
    EXPECT_TRUE(begin.ok()) << begin.status();
    return *begin;
  }

  std::vector<std::string> Read(int64_t sequence, size_t max_changes = 1000000) {
    const std::unique_ptr<sqlite::Database> database = OpenPlain(path_);
    const absl::StatusOr<std::vector<ChangeEvent>> events =
        ChangeHistoryReader(database.get()).Read(sequence, max_changes, &reached_);
    EXPECT_TRUE(events.ok()) << events.status();
    std::vector<std::string> texts;
    if (events.ok()) {
      for (const ChangeEvent& event : *events) texts.push_back(Text(event, event.table));
    }
    return texts;
  }

  TestFolder folder_;
  const std::string path_ = folder_.Path("ldb.db");
  LdbWriter::Options options_;
  Told told_;
  TestLedger ledger_;
  std::unique_ptr<LdbWriter> writer_;
  int64_t reached_ = -1;
};

TEST_F(LdbWriterHistoryTest, ANewLdbKeepsAllFromItsBeginning) {
  EXPECT_EQ(Begin(), 0);
  Apply({kCreate, kPut});
  Apply({"DELETE FROM fam___tbl"});
  EXPECT_EQ(Begin(), 0);
  EXPECT_THAT(Read(0), ElementsAre("1 fam___tbl", "2 fam___tbl a:string=\"x\"", "3 fam___tbl"));
  EXPECT_EQ(reached_, 3);
  Open();
  Apply({kPut});
  EXPECT_EQ(Begin(), 0);
  EXPECT_THAT(Read(3), ElementsAre("4 fam___tbl a:string=\"x\""));
}

TEST_F(LdbWriterHistoryTest, AnOldLdbKeepsAllFromNowOn) {
  Apply({kCreate, kPut});
  writer_ = nullptr;
  ASSERT_TRUE(OpenPlain(path_, /*read_only=*/false)->Execute("DROP TABLE _ldb_changes").ok());
  EXPECT_EQ(Begin(), absl::nullopt);
  Open();
  EXPECT_EQ(Begin(), 2);
  Apply({kPut});
  EXPECT_THAT(Read(2), ElementsAre("3 fam___tbl a:string=\"x\""));
}

TEST_F(LdbWriterHistoryTest, BeginsAnewWhereAnotherProgramHasWritten) {
  Apply({kCreate, kPut});
  writer_ = nullptr;
  const char kWriteSequence[] = "UPDATE _ldb_seq SET seq = 5";
  ASSERT_TRUE(OpenPlain(path_, /*read_only=*/false)->Execute(kWriteSequence).ok());
  EXPECT_EQ(Begin(), absl::nullopt);
  Open();
  EXPECT_EQ(Begin(), 5);
  // Also where it does so while this one has the file open.
  ASSERT_TRUE(OpenPlain(path_, /*read_only=*/false)->Execute("UPDATE _ldb_seq SET seq = 7").ok());
  EXPECT_EQ(ErrorReason(writer_->Apply({{6, "", kPut}})), reason::kLdbReplaced);
  EXPECT_EQ(Begin(), absl::nullopt);
  ASSERT_TRUE(writer_->Apply({{8, "", kPut}}).ok());
  EXPECT_EQ(Begin(), 7);
  EXPECT_THAT(Read(7), ElementsAre("8 fam___tbl a:string=\"x\""));
}

TEST_F(LdbWriterHistoryTest, WhatIsTakenBackIsNotKept) {
  Apply({kCreate});
  ledger_.Begin();
  ledger_.Add(kPut);
  ledger_.Add("garbage");
  ledger_.Commit();
  EXPECT_FALSE(writer_->Apply(ledger_.Take()).ok());
  EXPECT_THAT(Read(0), ElementsAre("1 fam___tbl"));
  // And what was gone over changes nothing.
  writer_->SkipEntry(4);
  ASSERT_TRUE(writer_->Apply(ledger_.After(1)).ok());
  EXPECT_THAT(Read(1), ElementsAre("3 fam___tbl a:string=\"x\""));
  EXPECT_EQ(reached_, 5);
}

TEST_F(LdbWriterHistoryTest, FamiliesThatAreNotKeptAreNotInIt) {
  writer_ = nullptr;
  options_.families = {"fam"};
  const std::string path = folder_.Path("some.db");
  std::unique_ptr<LdbWriter> writer = OpenWriter(path, options_);
  for (int64_t sequence = 1; sequence < 20; ++sequence) {
    ASSERT_TRUE(writer->Apply({{sequence, "", "DELETE FROM other___tbl"}}).ok());
  }
  ASSERT_TRUE(writer->Apply({{20, "", kCreate}}).ok());
  const std::unique_ptr<sqlite::Database> database = OpenPlain(path);
  ChangeHistoryReader reader(database.get());
  const absl::StatusOr<std::vector<ChangeEvent>> events = reader.Read(7, 10, &reached_);
  ASSERT_TRUE(events.ok()) << events.status();
  ASSERT_EQ(events->size(), 1u);
  EXPECT_EQ(reached_, 20);
  EXPECT_EQ(*reader.Begin(), 0);
}

TEST_F(LdbWriterHistoryTest, WithoutRoomThereIsNone) {
  Apply({kCreate});
  options_.change_history_bytes = 0;
  Open();
  Apply({kPut});
  EXPECT_EQ(Begin(), absl::nullopt);
}

// Whatever is run, and wherever it is killed or started anew: the history and those who listen to
// the writer are told the same.
TEST_F(LdbWriterHistoryTest, SaysWhatListenersAreTold) {
  sql::RandomData random(5);
  std::vector<TableSchema> tables;
  for (int i = 0; i < 4; ++i) {
    tables.push_back(random.Table("fam", absl::StrCat("tbl", i)));
    Apply({sql::CreateTableStatement(tables.back())});
  }
  int kept = 0;
  for (int round = 0; round < 200; ++round) {
    std::vector<std::string> statements;
    for (size_t i = 1 + random.Below(8); i > 0; --i) {
      const TableSchema& table = tables[random.Below(tables.size())];
      std::vector<Value> row;
      for (size_t f = 0; f < table.fields().size(); ++f) {
        row.push_back(random.Of(table.fields()[f].type, !table.is_key(f)));
      }
      std::vector<ValueView> key;
      for (size_t position : table.key_positions()) key.push_back(row[position]);
      const std::vector<ValueView> views(row.begin(), row.end());
      std::string statement =
          random.OneIn(3) ? sql::DeleteStatement(table, key) : sql::UpsertStatement(table, views);
      if (random.OneIn(10)) statement = absl::StrCat("/**/", statement);
      if (random.OneIn(30)) statement = sql::ClearTableStatement(table.name());
      if (random.OneIn(300)) {
        statement = absl::StrCat("DELETE FROM main.", SqlTableName(table.name()));
      }
      const bool transaction = random.OneIn(4);
      if (transaction) statements.push_back(kBeginMarker);
      statements.push_back(std::move(statement));
      if (transaction) statements.push_back(kCommitMarker);
    }
    Apply(statements);
    if (random.OneIn(10)) Open();
    ASSERT_EQ(Begin(), told_.begin());
    const int64_t end = writer_->applied_sequence();
    const int64_t begin = told_.begin();
    const int64_t from = begin + static_cast<int64_t>(random.Below(end - begin + 1));
    std::vector<std::string> read;
    for (int64_t at = from; at < end; at = reached_) {
      const std::vector<std::string> some = Read(at, 1 + random.Below(20));
      read.insert(read.end(), some.begin(), some.end());
      ASSERT_GT(reached_, at);
    }
    ASSERT_EQ(read, told_.After(from)) << "after " << from;
    kept += static_cast<int>(read.size());
  }
  EXPECT_GT(kept, 10000);
}

TEST_F(LdbWriterHistoryTest, AKilledWriterLeavesItAsTheCommitsAre) {
  writer_ = nullptr;
  int64_t applied = 0;
  for (int round = 0; round < 8; ++round) {
    const pid_t child = fork();
    if (child == 0) {
      std::unique_ptr<LdbWriter> writer = OpenWriter(path_);
      if (writer->applied_sequence() == 0) {
        if (!writer->Apply({{1, "", kCreate}}).ok()) _exit(1);
      }
      for (int64_t sequence = writer->applied_sequence() + 1;; ++sequence) {
        if (!writer->Apply({{sequence, "", kPut}}).ok()) _exit(1);
      }
    }
    // Until it has committed some.
    int64_t now = applied;
    while (now < applied + 50) {
      int status;
      ASSERT_EQ(waitpid(child, &status, WNOHANG), 0);
      if (access(path_.c_str(), F_OK) != 0) continue;
      const std::unique_ptr<sqlite::Database> database = OpenPlain(path_);
      if (Query(database.get(), "SELECT 1 FROM sqlite_schema WHERE name = '_ldb_changes'")
              .empty()) {
        continue;
      }
      const Rows rows = Query(database.get(), "SELECT seq FROM _ldb_seq");
      if (!rows.empty()) now = rows[0][0].integer();
    }
    ASSERT_EQ(kill(child, SIGKILL), 0);
    ASSERT_EQ(waitpid(child, nullptr, 0), child);
    Open();
    const int64_t end = writer_->applied_sequence();
    ASSERT_EQ(Begin(), 0);
    const std::vector<std::string> events = Read(applied);
    ASSERT_EQ(reached_, end);
    ASSERT_EQ(static_cast<int64_t>(events.size()), end - applied);
    writer_ = nullptr;
    applied = end;
  }
}

}  // namespace
}  // namespace ctlstore::ldb
