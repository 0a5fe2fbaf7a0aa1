#include "common/ldb/ldb_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/ldb/ldb_test_util.h"

namespace ctlstore::ldb {
namespace {

using testing::HasSubstr;

constexpr size_t kPageSize = 4096;

absl::Status CheckAll(const std::string& path) {
  return CheckLdb(path, [] { return false; });
}

std::string ReadBytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

void WriteBytes(const std::string& path, const std::string& bytes) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << bytes;
  ASSERT_TRUE(file.flush().good());
}

// The three layouts that tables have.
std::vector<LedgerEntry> Tables(TestLedger* ledger) {
  ledger->Add("CREATE TABLE fam___integers (\"k\" INTEGER, \"v\" TEXT, PRIMARY KEY(\"k\"));");
  ledger->Add(
      "CREATE TABLE fam___clustered (\"k\" VARCHAR(191), \"v\" INTEGER, PRIMARY KEY(\"k\"));");
  ledger->Add("CREATE TABLE fam___indexed (\"k\" VARCHAR(191), \"v\" TEXT, PRIMARY KEY(\"k\"));");
  return ledger->Take();
}

std::vector<LedgerEntry> Rows(TestLedger* ledger, int first, int last) {
  ledger->Begin();
  for (int i = first; i < last; ++i) {
    ledger->Add(
        absl::StrCat("REPLACE INTO fam___integers (\"k\",\"v\") VALUES(", i, ",'value ", i, "')"));
    ledger->Add(absl::StrCat("REPLACE INTO fam___clustered (\"k\",\"v\") VALUES('key", 100000 + i,
                             "',", i, ")"));
    ledger->Add(absl::StrCat("REPLACE INTO fam___indexed (\"k\",\"v\") VALUES('key", 100000 + i,
                             "','", std::string(20, 'v'), "')"));
  }
  ledger->Commit();
  return ledger->Take();
}

class LdbCheckTest : public testing::Test {
 protected:
  // A local database without anything in its WAL, and without a history, in which keys are values.
  void Create(int rows = 1000) {
    {
      LdbWriter::Options options;
      options.change_history_bytes = 0;
      std::unique_ptr<LdbWriter> writer = OpenWriter(path_, options);
      TestLedger ledger;
      ASSERT_TRUE(writer->Apply(Tables(&ledger)).ok());
      ASSERT_TRUE(writer->Apply(Rows(&ledger, 0, rows)).ok());
      ASSERT_TRUE(writer->Checkpoint().ok());
    }
    bytes_ = ReadBytes(path_);
    ASSERT_EQ(bytes_.size() % kPageSize, 0u);
  }

  void Write(const std::string& bytes) {
    WriteBytes(path_, bytes);
    for (const char* suffix : {"-wal", "-shm"}) std::filesystem::remove(path_ + suffix);
  }

  TestFolder folder_;
  const std::string path_ = folder_.Path("ldb.db");
  std::string bytes_;
};

TEST_F(LdbCheckTest, AWholeDatabasePasses) {
  Create();
  const absl::Status status = CheckAll(path_);
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(CheckLdbTrees(path_, 1, nullptr), absl::OkStatus());
  EXPECT_EQ(CheckLdbTrees(path_, 5, nullptr), absl::OkStatus());
}

TEST_F(LdbCheckTest, WhatIsInTheWalIsChecked) {
  std::unique_ptr<LdbWriter> writer = OpenWriter(path_);
  TestLedger ledger;
  ASSERT_TRUE(writer->Apply(Tables(&ledger)).ok());
  ASSERT_TRUE(writer->Apply(Rows(&ledger, 0, 100)).ok());
  EXPECT_TRUE(CheckAll(path_).ok());
}

TEST_F(LdbCheckTest, TablesOfAnyShapePass) {
  {
    std::unique_ptr<sqlite::Database> database = OpenPlain(path_, /*read_only=*/false);
    ASSERT_TRUE(database
                    ->Execute("PRAGMA journal_mode=WAL; CREATE TABLE empty (a);"
                              "CREATE TABLE \"it's \"\"odd\"\"\" (a PRIMARY KEY, b UNIQUE);"
                              "INSERT INTO \"it's \"\"odd\"\"\" VALUES (NULL, 1), (NULL, 2), "
                              "(1, 3), (1.5, 4), (9223372036854775807, 5), (-1e300, 6), ('1', 7), "
                              "(x'31', 8), ('', 9), (x'', 10), (9223372036854775806, NULL);"
                              "CREATE TABLE both (a, b, PRIMARY KEY(b, a)) WITHOUT ROWID;"
                              "INSERT INTO both VALUES (1, 2), (2, 1), (1, 1), ('x', x'00');"
                              "CREATE INDEX more ON both (a);"
                              "CREATE TABLE counted (a INTEGER PRIMARY KEY AUTOINCREMENT);"
                              "INSERT INTO counted VALUES (1); CREATE VIEW seen AS SELECT 1;"
                              "ANALYZE")
                    .ok());
  }
  const absl::Status status = CheckAll(path_);
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(CheckLdbTrees(path_, 1, nullptr), absl::OkStatus());
  EXPECT_EQ(CheckLdbTrees(path_, 5, nullptr), absl::OkStatus());
}

TEST_F(LdbCheckTest, TablesWithAnyColumnsAsTheirKeyPass) {
  {
    std::unique_ptr<LdbWriter> writer = OpenWriter(path_);
    TestLedger ledger;
    std::vector<std::string> columns = {"\"a\"", "\"b\"", "\"c\""};
    int table = 0;
    do {
      for (size_t in_key = 1; in_key <= columns.size(); ++in_key) {
        const std::string key = absl::StrJoin(columns.begin(), columns.begin() + in_key, ",");
        // With a text field the table keeps its rowid.
        for (bool text : {false, true}) {
          const std::string name = absl::StrCat("fam___tbl", table++);
          ledger.Add(absl::StrCat("CREATE TABLE ", name,
                                  " (\"a\" INTEGER, \"b\" VARCHAR(191), \"c\" BLOB(255)",
                                  text ? ", \"d\" TEXT" : "", ", PRIMARY KEY(", key, "));"));
          for (int row = 0; row < 5; ++row) {
            ledger.Add(absl::StrCat("REPLACE INTO ", name, " (\"a\",\"b\",\"c\"",
                                    text ? ",\"d\"" : "", ") VALUES(", row, ",'", row, "',x'0", row,
                                    "'", text ? ",NULL" : "", ")"));
          }
        }
      }
    } while (std::next_permutation(columns.begin(), columns.end()));
    ASSERT_TRUE(writer->Apply(ledger.Take()).ok());
  }
  const absl::Status status = CheckAll(path_);
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(CheckLdbTrees(path_, 1, nullptr), absl::OkStatus());
  EXPECT_EQ(CheckLdbTrees(path_, 5, nullptr), absl::OkStatus());
}

TEST_F(LdbCheckTest, RowsOutOfOrderAreFound) {
  Create();
  // The row with the number 500, which stands before its values as two bytes, gets another one.
  std::string bytes = bytes_;
  const size_t at = bytes.rfind("\x83\x74", bytes.find("value 500"));
  ASSERT_LT(bytes.find("value 500") - at, 10u);
  bytes[at + 1] = 0x01;
  Write(bytes);
  EXPECT_EQ(CheckAll(path_).code(), absl::StatusCode::kDataLoss);
}

TEST_F(LdbCheckTest, KeysOutOfOrderInAnIndexAreFound) {
  Create();
  // Every key is in the file three times: in the clustered table, in the other table and in its
  // index, which is the one that is searched.
  const std::string key = "key100500";
  int found = 0, places = 0;
  for (size_t at = bytes_.find(key); at != std::string::npos; at = bytes_.find(key, at + 1)) {
    std::string bytes = bytes_;
    bytes[at + 3] = '0';
    Write(bytes);
    ++places;
    const absl::Status status = CheckAll(path_);
    if (status.ok()) continue;
    ++found;
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
  }
  EXPECT_EQ(places, 3);
  // In the table itself it is a value.
  EXPECT_EQ(found, 2);
}

TEST_F(LdbCheckTest, ARowThatTheIndexDoesNotKnowIsFound) {
  Create();
  // One cell fewer in a leaf of the index.
  bool done = false;
  for (size_t page = 1; page * kPageSize < bytes_.size(); ++page) {
    const size_t at = page * kPageSize;
    if (bytes_[at] != 0x0a || bytes_.substr(at, kPageSize).find("key1003") == std::string::npos) {
      continue;
    }
    std::string bytes = bytes_;
    --bytes[at + 4];
    Write(bytes);
    const absl::Status status = CheckAll(path_);
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << page;
    done = true;
  }
  EXPECT_TRUE(done);
}

TEST_F(LdbCheckTest, RowsThatAWholeIndexDoesNotHaveAreFound) {
  const auto run = [&](const std::string& sql) {
    EXPECT_TRUE(OpenPlain(path_, /*read_only=*/false)->Execute(sql).ok()) << sql;
  };
  run("PRAGMA journal_mode=WAL; CREATE TABLE t (a, b); CREATE INDEX i ON t (b);"
      "INSERT INTO t VALUES (1, 1), (2, 2); CREATE TABLE kept AS SELECT * FROM sqlite_schema "
      "WHERE name = 'i'");
  EXPECT_TRUE(CheckAll(path_).ok());
  run("PRAGMA writable_schema=1; DELETE FROM sqlite_schema WHERE name = 'i'");
  run("INSERT INTO t VALUES (3, 3)");
  run("PRAGMA writable_schema=1; INSERT INTO sqlite_schema SELECT * FROM kept");
  const absl::Status status = CheckAll(path_);
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), HasSubstr("i has 2 entries for 3 rows"));
}

TEST_F(LdbCheckTest, FlippedBitsInAPagesStructureAreFoundOrChangeNothing) {
  Create(300);
  const ldb::Rows contents = Contents(OpenPlain(path_).get());
  int found = 0, harmless = 0;
  std::mt19937 random(1);
  for (size_t page = 0; page * kPageSize < bytes_.size(); ++page) {
    const size_t header = page * kPageSize + (page == 0 ? 100 : 0);
    const unsigned char type = bytes_[header];
    if (type != 2 && type != 5 && type != 10 && type != 13) continue;
    const bool leaf = type > 5;
    const size_t cells = static_cast<unsigned char>(bytes_[header + 3]) * 256u +
                         static_cast<unsigned char>(bytes_[header + 4]);
    const size_t size = (leaf ? 8 : 12) + 2 * cells;
    for (size_t i = 0; i < 40; ++i) {
      // All of the header, and some of the pointers to the cells.
      const size_t at = header + (i < 12 ? i : random() % size);
      std::string bytes = bytes_;
      bytes[at] ^= 1 << random() % 8;
      Write(bytes);
      const absl::Status status = CheckAll(path_);
      if (!status.ok()) {
        ASSERT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
        ++found;
        continue;
      }
      ASSERT_EQ(Contents(OpenPlain(path_).get()), contents)
          << "page " << page << ", byte " << at - header;
      ++harmless;
    }
  }
  EXPECT_GT(found, 10 * harmless);
}

TEST_F(LdbCheckTest, NoDamageOfAnyKindIsMoreThanAnError) {
  Create(200);
  std::mt19937 random(2);
  int found = 0;
  for (int round = 0; round < 300; ++round) {
    std::string bytes = bytes_;
    for (int changes = 1 + random() % 20; changes > 0; --changes) {
      const size_t at = random() % bytes.size();
      if (random() % 4 == 0) {
        const size_t length = std::min<size_t>(random() % 600, bytes.size() - at);
        std::generate_n(bytes.begin() + at, length, [&] { return static_cast<char>(random()); });
      } else {
        bytes[at] = static_cast<char>(random());
      }
    }
    Write(bytes);
    const absl::Status status = CheckAll(path_);
    if (status.ok()) continue;
    ++found;
    ASSERT_TRUE(absl::IsDataLoss(status) || absl::IsUnavailable(status)) << status;
  }
  EXPECT_GT(found, 100);
}

TEST_F(LdbCheckTest, AFileThatIsCutIsFound) {
  Create();
  for (size_t size : {bytes_.size() - kPageSize, bytes_.size() - 100, bytes_.size() / 2, kPageSize,
                      size_t{600}, size_t{50}}) {
    Write(bytes_.substr(0, size));
    const absl::Status status = CheckAll(path_);
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << size << ": " << status;
  }
}

TEST_F(LdbCheckTest, GarbageIsFound) {
  Write(std::string(5000, 'x'));
  EXPECT_EQ(CheckAll(path_).code(), absl::StatusCode::kDataLoss);
}

TEST_F(LdbCheckTest, TheFindingNamesTheTable) {
  Create();
  std::string bytes = bytes_;
  // The root of a table that is found by its first row.
  const size_t at = bytes.find("value 17") / kPageSize * kPageSize;
  bytes.replace(at, kPageSize, std::string(kPageSize, '\0'));
  Write(bytes);
  const absl::Status status = CheckAll(path_);
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), HasSubstr("fam___integers"));
}

TEST_F(LdbCheckTest, WithoutAFileItIsUnavailable) {
  EXPECT_EQ(CheckAll(path_).code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(CheckAll(folder_.Path("")).code(), absl::StatusCode::kUnavailable);
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(LdbCheckTest, EndsSoonAfterItIsCancelled) {
  Create(20000);
  int questions = 0;
  EXPECT_TRUE(CheckLdb(path_, [&] {
                ++questions;
                return false;
              }).ok());
  ASSERT_GT(questions, 100);
  for (int last : {1, 2, 50}) {
    int asked = 0;
    const absl::Status status = CheckLdb(path_, [&] { return ++asked >= last; });
    EXPECT_EQ(status.code(), absl::StatusCode::kCancelled) << status;
    EXPECT_EQ(asked, last);
  }
}

TEST_F(LdbCheckTest, TheTreesAloneAreCheckedOnSeveralThreads) {
  Create();
  // Each page that is one of a table or of an index.
  int pages = 0;
  for (size_t at = kPageSize; at < bytes_.size(); at += kPageSize) {
    if (bytes_[at] != 0x0a && bytes_[at] != 0x0d && bytes_[at] != 0x02 && bytes_[at] != 0x05) {
      continue;
    }
    std::string bytes = bytes_;
    bytes.replace(at, 16, 16, '\x7f');
    Write(bytes);
    ++pages;
    for (int threads : {1, 3}) {
      const absl::Status status = CheckLdbTrees(path_, threads, nullptr);
      EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << at << ": " << status;
    }
  }
  EXPECT_GT(pages, 10);
  Write("rubbish");
  EXPECT_EQ(CheckLdbTrees(path_, 3, nullptr).code(), absl::StatusCode::kDataLoss);
  std::filesystem::remove(path_);
  EXPECT_EQ(CheckLdbTrees(path_, 3, nullptr).code(), absl::StatusCode::kUnavailable);
}

TEST_F(LdbCheckTest, TheCheckOfTheTreesAloneEndsSoonAfterItIsCancelled) {
  Create(20000);
  for (int last : {1, 2, 20}) {
    std::atomic<int> asked{0};
    const absl::Status status = CheckLdbTrees(path_, 2, [&] { return ++asked >= last; });
    EXPECT_EQ(status.code(), absl::StatusCode::kCancelled) << status;
    EXPECT_LE(asked, last + 2);
  }
}

TEST_F(LdbCheckTest, BesideABusyWriterAWholeDatabasePasses) {
  std::unique_ptr<LdbWriter> writer;
  {
    LdbWriter::Options options;
    options.checkpoint_wal_bytes = 100000;
    writer = OpenWriter(path_, options);
  }
  TestLedger ledger;
  ASSERT_TRUE(writer->Apply(Tables(&ledger)).ok());
  ASSERT_TRUE(writer->Apply(Rows(&ledger, 0, 500)).ok());
  std::atomic<bool> stop{false};
  std::atomic<int> checks{0};
  absl::Status worst;
  std::thread checker([&] {
    while (!stop) {
      worst.Update(CheckAll(path_));
      ++checks;
    }
  });
  // Tables come and go too.
  for (int round = 0; round < 100 || checks < 5; ++round) {
    ledger.Add("CREATE TABLE fam___passing (\"k\" INTEGER, PRIMARY KEY(\"k\"));");
    ASSERT_TRUE(writer->Apply(ledger.Take()).ok());
    ASSERT_TRUE(writer->Apply(Rows(&ledger, round % 500, round % 500 + 20)).ok());
    ledger.Add("DROP TABLE fam___passing");
    ASSERT_TRUE(writer->Apply(ledger.Take()).ok());
  }
  stop = true;
  checker.join();
  EXPECT_TRUE(worst.ok()) << worst;
}

}  // namespace
}  // namespace ctlstore::ldb
