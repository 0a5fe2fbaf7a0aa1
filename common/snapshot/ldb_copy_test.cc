#include "common/snapshot/ldb_copy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <random>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "common/ldb/ldb_facts.h"
#include "common/ldb/ldb_tables.h"
#include "common/ldb/ldb_test_util.h"
#include "common/ldb/proven_ledger.h"
#include "common/ldb/table_checksum.h"
#include "common/sqlite/testing/faulty_vfs.h"

namespace ctlstore::snapshot {
namespace {

using ldb::Contents;
using ldb::LdbWriter;
using ldb::OpenPlain;
using ldb::OpenWriter;
using ldb::Query;
using ldb::QueryFile;
using ldb::Rows;
using ldb::TestLedger;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kTextTable[] =
    "CREATE TABLE fam___texts (\"k\" VARCHAR(191), \"v\" TEXT, PRIMARY KEY(\"k\"));";
constexpr char kNumberTable[] =
    "CREATE TABLE fam___numbers (\"a\" INTEGER, \"b\" INTEGER, \"c\" INTEGER, "
    "PRIMARY KEY(\"a\",\"b\"));";

bool Never() { return false; }

std::string TextRow(int i) {
  return absl::StrCat("REPLACE INTO fam___texts (\"k\",\"v\") VALUES('key ", i * 7919 % 100003,
                      "','", std::string(static_cast<size_t>(i % 200), 'x'), i, "')");
}

std::string NumberRow(int i) {
  return absl::StrCat("REPLACE INTO fam___numbers (\"a\",\"b\",\"c\") VALUES(", i % 17, ",", i, ",",
                      i * i, ")");
}

class LdbCopyTest : public ::testing::Test {
 protected:
  LdbCopyTest() : path_(folder_.Path("ldb.db")), copy_path_(folder_.Path("out.copy")) {}

  // An LDB of two tables with so many rows each.
  std::unique_ptr<LdbWriter> Filled(int rows, TestLedger* ledger) {
    std::unique_ptr<LdbWriter> writer = OpenWriter(path_);
    ledger->Add(kTextTable);
    ledger->Add(kNumberTable);
    for (int i = 0; i < rows; ++i) {
      ledger->Add(TextRow(i));
      ledger->Add(NumberRow(i));
    }
    const absl::Status status = writer->Apply(ledger->Take());
    EXPECT_TRUE(status.ok()) << status;
    return writer;
  }

  absl::StatusOr<LdbCopy> Copy() { return CopyLdb(path_, copy_path_, Never); }

  void ExpectNothingLeft() {
    for (const auto& entry : std::filesystem::directory_iterator(folder_.Path(""))) {
      EXPECT_THAT(entry.path().filename().string(), Not(HasSubstr("out.copy")));
    }
  }

  ldb::TestFolder folder_;
  const std::string path_, copy_path_;
};

TEST_F(LdbCopyTest, HasAllThatTheLdbHas) {
  LdbWriter::Options options;
  options.families = {"fam", "more"};
  auto writer = OpenWriter(path_, options);
  TestLedger ledger;
  ledger.Add(kTextTable);
  ledger.Add(kNumberTable);
  for (int i = 0; i < 1000; ++i) {
    ledger.Add(TextRow(i));
    ledger.Add(NumberRow(i));
  }
  ASSERT_TRUE(writer->Apply(ledger.Take()).ok());
  const absl::Time before = absl::Now();
  const absl::StatusOr<LdbCopy> copy = Copy();
  ASSERT_TRUE(copy.ok()) << copy.status();
  EXPECT_EQ(copy->position, writer->applied_position());
  EXPECT_GE(copy->taken_at, before);
  EXPECT_LE(copy->taken_at, absl::Now());
  EXPECT_EQ(Rows({{Value::Text(copy->last_update)}}), QueryFile(path_, ldb::kReadLastUpdate));
  EXPECT_THAT(copy->families, ElementsAre("fam", "more"));
  EXPECT_EQ(copy->file_bytes, static_cast<int64_t>(std::filesystem::file_size(copy_path_)));
  // Nothing is beside it before anyone opens it.
  for (const char* ending : {"-wal", "-shm", "-journal"}) {
    EXPECT_FALSE(std::filesystem::exists(copy_path_ + ending));
  }
  auto original = OpenPlain(path_), copied = OpenPlain(copy_path_);
  EXPECT_EQ(Query(copied.get(), "PRAGMA journal_mode")[0][0], Value::Text("wal"));
  EXPECT_EQ(Contents(copied.get()), Contents(original.get()));
  // What watchers are told of the past stays too.
  for (const char* sql :
       {"SELECT * FROM _ldb_changes ORDER BY last", "SELECT * FROM _ldb_state ORDER BY name",
        "SELECT name, sql FROM sqlite_schema ORDER BY name"}) {
    EXPECT_FALSE(Query(original.get(), sql).empty());
    EXPECT_EQ(Query(copied.get(), sql), Query(original.get(), sql));
  }
  ASSERT_EQ(copy->tables.size(), 2u);
  for (const TableSummary& table : copy->tables) {
    EXPECT_EQ(table.family, "fam");
    EXPECT_EQ(table.rows, 1000);
    EXPECT_EQ(table.checksum, ldb::ChecksumTable(copied.get(), "fam___" + table.table)->checksum);
  }
  EXPECT_EQ(copy->tables[0].table, "numbers");
  EXPECT_EQ(copy->tables[1].table, "texts");
}

TEST_F(LdbCopyTest, TheLedgerGoesOnFromIt) {
  TestLedger ledger;
  auto writer = Filled(100, &ledger);
  ASSERT_TRUE(Copy().ok());
  auto other = OpenWriter(copy_path_);
  EXPECT_EQ(other->applied_position(), writer->applied_position());
  ledger.Add(TextRow(1000));
  const std::vector<LedgerEntry> more = ledger.Take();
  ASSERT_TRUE(writer->Apply(more).ok());
  ASSERT_TRUE(other->Apply(more).ok());
  EXPECT_EQ(Contents(OpenPlain(copy_path_).get()), Contents(OpenPlain(path_).get()));
}

TEST_F(LdbCopyTest, IsWithoutFreePages) {
  TestLedger ledger;
  auto writer = Filled(5000, &ledger);
  const int64_t size = Copy()->file_bytes;
  ledger.Add("DELETE FROM fam___texts");
  ASSERT_TRUE(writer->Apply(ledger.Take()).ok());
  ASSERT_TRUE(writer->Checkpoint().ok());
  EXPECT_GT(QueryFile(path_, "PRAGMA freelist_count")[0][0].integer(), 50);
  const absl::StatusOr<LdbCopy> copy = Copy();
  ASSERT_TRUE(copy.ok()) << copy.status();
  EXPECT_LT(copy->file_bytes, size);
  EXPECT_EQ(QueryFile(copy_path_, "PRAGMA freelist_count")[0][0], Value::Integer(0));
}

TEST_F(LdbCopyTest, OfAnotherProgramsLdbIsTakenToo) {
  ASSERT_TRUE(
      OpenPlain(path_, false)
          ->Execute(absl::StrCat("PRAGMA journal_mode=WAL;", ldb::kCreateSequenceTable, ";",
                                 "INSERT INTO _ldb_seq VALUES (1, 17);", kTextTable, TextRow(1),
                                 ";", "CREATE TABLE stray (x); INSERT INTO stray VALUES (1)"))
          .ok());
  const absl::StatusOr<LdbCopy> copy = Copy();
  ASSERT_TRUE(copy.ok()) << copy.status();
  EXPECT_EQ(copy->position, (LedgerPosition{17, ""}));
  ASSERT_EQ(copy->tables.size(), 2u);
  EXPECT_EQ(copy->tables[0].table, "texts");
  EXPECT_EQ(copy->tables[1].family, "");
  EXPECT_EQ(copy->tables[1].table, "stray");
  EXPECT_EQ(copy->tables[1].rows, 1);
  EXPECT_EQ(copy->tables[1].checksum.size(), 16u);
}

TEST_F(LdbCopyTest, ThePathMayBeALink) {
  TestLedger ledger;
  Filled(10, &ledger);
  std::filesystem::create_symlink("ldb.db", folder_.Path("link.db"));
  EXPECT_TRUE(CopyLdb(folder_.Path("link.db"), copy_path_, Never).ok());
}

TEST_F(LdbCopyTest, WhatCannotBeASnapshotIsRefused) {
  EXPECT_EQ(Copy().status().code(), absl::StatusCode::kNotFound);
  {
    TestLedger ledger;
    auto writer = OpenWriter(path_);
    EXPECT_EQ(Copy().status().code(), absl::StatusCode::kFailedPrecondition);
    ledger.Add(kTextTable);
    ledger.Add("nonsense");
    writer->SkipEntry(2);
    ledger.Add(TextRow(1));
    ASSERT_TRUE(writer->Apply(ledger.Take()).ok());
    EXPECT_EQ(Copy().status().code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(Copy().status().message()), HasSubstr("has gone over 1 ledger"));
  }
  std::ofstream(folder_.Path("other.db"));
  EXPECT_EQ(CopyLdb(folder_.Path("other.db"), copy_path_, Never).status().code(),
            absl::StatusCode::kFailedPrecondition);
  ExpectNothingLeft();
}

// The copies of a busy LDB are what the ledger leads to at their sequence, each at the end of a
// ledger transaction.
TEST_F(LdbCopyTest, OfABusyLdbIsTheStateAfterAWholeTransaction) {
  ldb::ReadHistory history;
  ldb::ProvenLedger ledger({{"fam", "one", 1, 5, 30}, {"fam", "two", 2, 3, 10}}, &history, 1);
  absl::Mutex mutex;
  std::vector<std::vector<LedgerEntry>> transactions;
  std::atomic<bool> stop{false};
  auto writer = OpenWriter(path_);
  ASSERT_TRUE(writer->Apply(ledger.Whole()).ok());
  const std::vector<LedgerEntry> beginning = ledger.Whole();
  std::thread writing([&] {
    for (int i = 0; !stop; ++i) {
      std::vector<LedgerEntry> next = ledger.Next();
      const absl::Status status = writer->Apply(next);
      ASSERT_TRUE(status.ok()) << status;
      absl::MutexLock lock(&mutex);
      transactions.push_back(std::move(next));
    }
  });
  auto reference = OpenWriter(folder_.Path("reference.db"));
  if (!beginning.empty()) {
    ASSERT_TRUE(reference->Apply(beginning).ok());
  }
  size_t applied = 0;
  int64_t last = -1;
  std::mt19937 random(2);
  for (int copies = 0; copies < 40;) {
    const absl::StatusOr<LdbCopy> copy = Copy();
    if (absl::IsFailedPrecondition(copy.status()) && copies == 0) continue;
    ASSERT_TRUE(copy.ok()) << copy.status();
    ASSERT_GE(copy->position.sequence, last);
    if (copy->position.sequence == last) continue;
    last = copy->position.sequence;
    ++copies;
    while (reference->applied_sequence() < last) {
      std::vector<LedgerEntry> next;
      {
        const auto there = [&]() ABSL_SHARED_LOCKS_REQUIRED(mutex) {
          return transactions.size() > applied;
        };
        absl::MutexLock lock(&mutex, absl::Condition(&there));
        next = transactions[applied++];
      }
      ASSERT_TRUE(reference->Apply(next).ok());
    }
    ASSERT_EQ(reference->applied_position(), copy->position);
    auto copied = OpenPlain(copy_path_), expected = OpenPlain(folder_.Path("reference.db"));
    ASSERT_EQ(Contents(copied.get()), Contents(expected.get()));
    for (const TableSummary& table : copy->tables) {
      const auto summed = ldb::ChecksumTable(expected.get(), "fam___" + table.table);
      ASSERT_TRUE(summed.ok()) << summed.status();
      EXPECT_EQ(table.checksum, summed->checksum);
      EXPECT_EQ(table.rows, summed->rows);
    }
    absl::SleepFor(absl::Microseconds(random() % 3000));
  }
  stop = true;
  writing.join();
}

TEST_F(LdbCopyTest, CommitsGoOnMeanwhileAndTheWalIsEmptiedAfterwards) {
  TestLedger ledger;
  auto writer = Filled(20000, &ledger);
  ASSERT_TRUE(writer->Checkpoint().ok());
  std::atomic<int> questions{0}, commits{0};
  std::atomic<bool> copying{true};
  std::thread writing([&] {
    for (int i = 0; copying; ++i) {
      ledger.Add(TextRow(i));
      ASSERT_TRUE(writer->Apply(ledger.Take()).ok());
      ++commits;
    }
  });
  // In the middle of the copy, until there were more commits.
  const absl::StatusOr<LdbCopy> copy = CopyLdb(path_, copy_path_, [&] {
    if (++questions == 300) {
      for (const int before = commits; commits < before + 50;) {
        absl::SleepFor(absl::Milliseconds(1));
      }
    }
    return false;
  });
  copying = false;
  writing.join();
  ASSERT_TRUE(copy.ok()) << copy.status();
  EXPECT_GE(questions, 300);
  EXPECT_LT(copy->position.sequence, writer->applied_sequence());
  ASSERT_TRUE(writer->Checkpoint().ok());
  EXPECT_EQ(writer->wal().bytes, 0);
}

TEST_F(LdbCopyTest, IsCancelledAtAnyMomentAndLeavesNoFile) {
  TestLedger ledger;
  auto writer = Filled(2000, &ledger);
  int cancelled = 0;
  for (int at = 0;; at += 1 + at / 4) {
    std::atomic<int> questions{0};
    const absl::StatusOr<LdbCopy> copy =
        CopyLdb(path_, copy_path_, [&] { return questions++ >= at; });
    if (copy.ok()) break;
    ASSERT_EQ(copy.status().code(), absl::StatusCode::kCancelled) << copy.status();
    ++cancelled;
    ExpectNothingLeft();
  }
  EXPECT_GT(cancelled, 10);
}

TEST_F(LdbCopyTest, AFullDiskLeavesNoFile) {
  TestLedger ledger;
  auto writer = Filled(500, &ledger);
  sqlite::FaultyVfs vfs("faulty_copy", {".copy"});
  vfs.MakeDefault();
  for (const auto& [fault, code] :
       {std::make_pair(sqlite::FaultyVfs::Fault::kFull, absl::StatusCode::kResourceExhausted),
        std::make_pair(sqlite::FaultyVfs::Fault::kIoError, absl::StatusCode::kUnavailable)}) {
    int failures = 0;
    for (int64_t n = 1;; n += 1 + n / 5) {
      vfs.Arm(fault, n);
      const absl::StatusOr<LdbCopy> copy = Copy();
      if (vfs.Disarm() == 0) {
        EXPECT_TRUE(copy.ok()) << copy.status();
        break;
      }
      // Some calls may fail without harm.
      if (copy.ok()) continue;
      ++failures;
      // A page of the copy that cannot be read when it is checked is damage.
      EXPECT_TRUE(copy.status().code() == code ||
                  (code == absl::StatusCode::kUnavailable && absl::IsDataLoss(copy.status())))
          << copy.status();
      ExpectNothingLeft();
    }
    EXPECT_GT(failures, 5);
  }
}

TEST_F(LdbCopyTest, ADamagedPageIsFoundOrDoesNoHarm) {
  TestLedger ledger;
  {
    auto writer = Filled(2000, &ledger);
    ASSERT_TRUE(writer->Checkpoint().ok());
  }
  std::ifstream file(path_, std::ios::binary);
  const std::string good(std::istreambuf_iterator<char>(file), {});
  file.close();
  std::mt19937 random(3);
  int found = 0;
  for (int round = 0; round < 60; ++round) {
    std::string bad = good;
    if (round < 5) {
      bad.resize(bad.size() / 4096 * (static_cast<size_t>(round) + 1) / 6 * 4096);
    } else {
      // The first bytes of a page that is not the first one tell what it is.
      const size_t page = 1 + random() % (bad.size() / 4096 - 1);
      for (size_t i = 0; i < 12; ++i) bad[page * 4096 + i] = static_cast<char>(random());
    }
    std::ofstream(path_, std::ios::binary | std::ios::trunc)
        .write(bad.data(), static_cast<std::streamsize>(bad.size()));
    for (const char* ending : {"-wal", "-shm"}) std::filesystem::remove(path_ + ending);
    const absl::StatusOr<LdbCopy> copy = Copy();
    if (!copy.ok()) {
      ++found;
      // A size that is far too large may be more than SQLite has room for.
      EXPECT_TRUE(absl::IsDataLoss(copy.status()) || absl::IsResourceExhausted(copy.status()))
          << copy.status();
      ExpectNothingLeft();
      continue;
    }
    // It was a page that nothing is on.
    EXPECT_EQ(copy->tables[0].rows, 2000);
    EXPECT_EQ(copy->tables[1].rows, 2000);
  }
  EXPECT_GT(found, 40);
}

TEST_F(LdbCopyTest, AnIndexThatDoesNotFitItsTableIsFound) {
  constexpr char kHide[] =
      "PRAGMA writable_schema=ON; CREATE TABLE hidden AS SELECT rowid AS id, * FROM sqlite_schema "
      "WHERE name = 'sqlite_autoindex_fam___texts_1'; "
      "UPDATE sqlite_schema SET sql = replace(sql, ', PRIMARY KEY(\"k\")', '') "
      "WHERE name = 'fam___texts'; DELETE FROM sqlite_schema WHERE name = "
      "'sqlite_autoindex_fam___texts_1'";
  constexpr char kShow[] =
      "PRAGMA writable_schema=ON; UPDATE sqlite_schema SET sql = replace(sql, '\"v\" TEXT', "
      "'\"v\" TEXT, PRIMARY KEY(\"k\")') WHERE name = 'fam___texts'; "
      "INSERT INTO sqlite_schema SELECT type, name, tbl_name, rootpage, sql FROM hidden; "
      "DROP TABLE hidden";
  for (const char* damage : {"INSERT INTO fam___texts VALUES ('only in the table', '')",
                             "DELETE FROM fam___texts WHERE _rowid_ = 7"}) {
    for (const char* ending : {"", "-wal", "-shm", ".lock"})
      std::filesystem::remove(path_ + ending);
    TestLedger ledger;
    Filled(100, &ledger);
    ASSERT_TRUE(Copy().ok());
    for (const char* sql : {kHide, damage, kShow}) {
      const absl::Status status = OpenPlain(path_, false)->Execute(sql);
      ASSERT_TRUE(status.ok()) << status << " " << sql;
    }
    EXPECT_EQ(Copy().status().code(), absl::StatusCode::kDataLoss) << Copy().status() << damage;
    ExpectNothingLeft();
  }
}

}  // namespace
}  // namespace ctlstore::snapshot
