// Reads while the reflector's side writes.

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <iostream>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/ldb/ldb_test_util.h"
#include "common/ldb/ldb_writer.h"
#include "common/ldb/reader.h"

namespace ctlstore::ldb {
namespace {

constexpr int kRowsPerTransaction = 20;

// A ledger transaction that gives every row the same number.
std::vector<LedgerEntry> Round(TestLedger* ledger, int64_t number) {
  ledger->Begin();
  for (int i = 0; i < kRowsPerTransaction; ++i) {
    ledger->Add(
        absl::StrCat("REPLACE INTO fam___tbl (\"a\",\"b\") VALUES('key", i, "',", number, ")"));
  }
  ledger->Commit();
  return ledger->Take();
}

void CreateTables(LdbWriter* writer, TestLedger* ledger) {
  ledger->Add("CREATE TABLE fam___tbl (\"a\" VARCHAR(191), \"b\" INTEGER, PRIMARY KEY(\"a\"));");
  ASSERT_TRUE(writer->Apply(ledger->Take()).ok());
  ASSERT_TRUE(writer->Apply(Round(ledger, 0)).ok());
}

// What is wrong with the state that the reader sees now, or nothing. `*number` is the last one
// seen, and never goes down.
std::string Look(Reader* reader, int64_t* number) {
  RowIterator rows = reader->ListRows("fam", "tbl", {});
  int count = 0;
  int64_t seen = -1;
  while (rows.Next()) {
    const int64_t here = *rows.row().GetInteger("b");
    if (count == 0) seen = here;
    if (here != seen) return absl::StrCat("half a transaction: ", seen, " and ", here);
    ++count;
  }
  if (!rows.status().ok()) return rows.status().ToString();
  if (count != kRowsPerTransaction) return absl::StrCat(count, " rows");
  if (seen < *number) return absl::StrCat("back from ", *number, " to ", seen);
  *number = seen;
  absl::StatusOr<Row> row = reader->GetRow("fam", "tbl", {"key7"});
  if (!row.ok()) return row.status().ToString();
  if (!row->exists()) return "no row";
  if (*row->GetInteger("b") < *number) return "a row went back";
  return "";
}

TEST(ReaderConcurrencyTest, NoThreadEverSeesHalfALedgerTransaction) {
  TestFolder folder;
  const std::string path = folder.Path("ldb.db");
  LdbWriter::Options options;
  options.checkpoint_wal_bytes = 100000;
  std::unique_ptr<LdbWriter> writer = OpenWriter(path, options);
  TestLedger ledger;
  ASSERT_NO_FATAL_FAILURE(CreateTables(writer.get(), &ledger));
  Reader reader(path);
  std::atomic<bool> stop{false};
  std::vector<std::string> errors(4);
  std::vector<std::thread> threads;
  for (std::string& error : errors) {
    threads.emplace_back([&reader, &stop, &error] {
      int64_t number = 0;
      while (!stop && error.empty()) error = Look(&reader, &number);
    });
  }
  for (int64_t number = 1; number <= 600; ++number) {
    std::vector<LedgerEntry> entries = Round(&ledger, number);
    // In two calls, so that a transaction waits for its end at times.
    const size_t first = number % entries.size();
    const absl::Span<const LedgerEntry> all(entries);
    EXPECT_TRUE(writer->Apply(all.subspan(0, first)).ok());
    EXPECT_TRUE(writer->Apply(all.subspan(first)).ok());
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  for (const std::string& error : errors) EXPECT_EQ(error, "");
  int64_t number = 0;
  EXPECT_EQ(Look(&reader, &number), "");
  EXPECT_EQ(number, 600);
}

TEST(ReaderConcurrencyTest, NoOtherProcessEverSeesHalfALedgerTransaction) {
  TestFolder folder;
  const std::string path = folder.Path("ldb.db");
  TestLedger ledger;
  // Closed before the fork: a connection must not be taken into another process.
  ASSERT_NO_FATAL_FAILURE(CreateTables(OpenWriter(path).get(), &ledger));
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    Reader reader(path);
    int64_t number = 0;
    while (number < 400) {
      const std::string error = Look(&reader, &number);
      if (error.empty()) continue;
      std::cerr << error << std::endl;
      _exit(1);
    }
    _exit(0);
  }
  LdbWriter::Options options;
  options.checkpoint_wal_bytes = 100000;
  std::unique_ptr<LdbWriter> writer = OpenWriter(path, options);
  for (int64_t number = 1; number <= 400; ++number) {
    EXPECT_TRUE(writer->Apply(Round(&ledger, number)).ok());
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

TEST(ReaderConcurrencyTest, ReadersFollowASchemaThatChangesAllTheTime) {
  TestFolder folder;
  const std::string path = folder.Path("ldb.db");
  std::unique_ptr<LdbWriter> writer = OpenWriter(path);
  TestLedger ledger;
  // Each generation of the table has its own columns and says its number in all of them; the key
  // changes its place and its fellows, and keeps its kind.
  const auto generation = [&ledger](int64_t number) {
    const std::string column = absl::StrCat("c", number);
    const bool key_first = number % 2 == 0;
    ledger.Begin();
    ledger.Add("DROP TABLE IF EXISTS fam___tbl");
    ledger.Add(absl::StrCat("CREATE TABLE fam___tbl (", key_first ? "\"k\" INTEGER, " : "", "\"",
                            column, "\" ", number % 3 == 0 ? "REAL" : "INTEGER",
                            key_first ? "" : ", \"k\" INTEGER", ", PRIMARY KEY(\"k\"));"));
    ledger.Add(
        absl::StrCat("REPLACE INTO fam___tbl (\"", column, "\",\"k\") VALUES(", number, ",1)"));
    ledger.Commit();
    return ledger.Take();
  };
  ASSERT_TRUE(writer->Apply(generation(0)).ok());
  Reader reader(path);
  std::atomic<bool> stop{false};
  std::vector<std::string> errors(3);
  std::vector<std::thread> threads;
  const auto check = [](const RowView& row) -> std::string {
    if (row.size() != 2) return absl::StrCat(row.size(), " columns");
    absl::StatusOr<int64_t> key = row.GetInteger("k");
    if (!key.ok() || *key != 1) return "wrong key";
    const size_t other = row.name(0) == "k" ? 1 : 0;
    const ValueView value = row.value(other);
    const int64_t number = value.kind() == ValueKind::kDecimal
                               ? static_cast<int64_t>(value.decimal())
                               : value.integer();
    if (row.name(other) != absl::StrCat("c", number)) {
      return absl::StrCat("column ", row.name(other), " has ", number);
    }
    if ((value.kind() == ValueKind::kDecimal) != (number % 3 == 0)) return "wrong kind";
    return "";
  };
  for (std::string& error : errors) {
    threads.emplace_back([&] {
      while (!stop && error.empty()) {
        absl::StatusOr<Row> row = reader.GetRow("fam", "tbl", {1});
        error = row.ok() ? check(*row) : row.status().ToString();
        if (!error.empty()) break;
        RowIterator rows = reader.ListRows("fam", "tbl", {});
        if (!rows.Next()) {
          error = absl::StrCat("no row; ", rows.status().ToString());
        } else {
          error = check(rows.row());
        }
      }
    });
  }
  for (int64_t number = 1; number <= 300; ++number) {
    EXPECT_TRUE(writer->Apply(generation(number)).ok());
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  for (const std::string& error : errors) EXPECT_EQ(error, "");
}

}  // namespace
}  // namespace ctlstore::ldb
