// Reads while one local database takes the place of another.

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <random>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/ldb/ldb_files.h"
#include "common/ldb/ldb_test_util.h"
#include "common/ldb/reader.h"
#include "common/ldb/reader_connection.h"

namespace ctlstore::ldb {
namespace {

constexpr int kRows = 20;

// Entries that bring a local database to `sequence`, which all of its rows say.
std::vector<LedgerEntry> LedgerTo(int64_t sequence) {
  TestLedger ledger;
  ledger.Begin();
  ledger.Add("CREATE TABLE fam___tbl (\"a\" INTEGER, \"b\" INTEGER, PRIMARY KEY(\"a\"));");
  for (int i = 0; i < kRows; ++i) {
    ledger.Add(absl::StrCat("REPLACE INTO fam___tbl (\"a\",\"b\") VALUES(", i, ",", sequence, ")"));
  }
  ledger.Commit();
  std::vector<LedgerEntry> entries = ledger.Take();
  // Numbers are as good as any others as long as they go up.
  for (size_t i = 0; i < entries.size(); ++i) {
    entries[i].sequence = sequence - static_cast<int64_t>(entries.size() - 1 - i);
  }
  return entries;
}

constexpr int64_t kStep = 100;

class ReaderSwapTest : public testing::Test {
 protected:
  ReaderSwapTest() : path_(folder_.Path("ldb.db")), files_(path_, Clock::Real()) {}

  // Puts a generation in place that is at `sequence`.
  void Publish(int64_t sequence) {
    absl::StatusOr<std::string> file = files_.NewGeneration();
    ASSERT_TRUE(file.ok()) << file.status();
    writer_ = OpenWriter(*file);
    ASSERT_TRUE(writer_->Apply(LedgerTo(sequence)).ok());
    if (sequence % (2 * kStep) == 0) {
      ASSERT_TRUE(writer_->Checkpoint().ok());
    }
    const absl::Status status = files_.Publish(*file);
    ASSERT_TRUE(status.ok()) << status;
  }

  TestFolder folder_;
  const std::string path_;
  LdbFiles files_;
  // Of what is in place.
  std::unique_ptr<LdbWriter> writer_;
};

// What is wrong with what the reader reads, or nothing. `*newest` is the last sequence that anyone
// has read.
std::string Look(Reader* reader, std::atomic<int64_t>* newest, std::mt19937* random) {
  const int64_t before = *newest;
  int64_t seen = 0;
  // Some rows are held at the same time, so that connections are opened and closed.
  std::vector<Row> held;
  for (int rows = (*random)() % 5; rows >= 0; --rows) {
    absl::StatusOr<Row> row =
        reader->GetRow("fam", "tbl", {static_cast<int64_t>((*random)() % kRows)});
    if (!row.ok()) return row.status().ToString();
    if (!row->exists()) return "no row";
    held.push_back(*std::move(row));
    const int64_t value = *held.back().GetInteger("b");
    if (value < std::max(before, seen)) return absl::StrCat("back to ", value);
    seen = value;
  }
  absl::StatusOr<Position> position = reader->GetPosition();
  if (!position.ok()) return position.status().ToString();
  if (position->applied_sequence < seen) return "back to another position";
  seen = position->applied_sequence;
  if ((*random)() % 4 == 0) {
    RowIterator rows = reader->ListRows("fam", "tbl", {});
    int count = 0;
    for (int64_t first = seen; rows.Next(); ++count) {
      const int64_t value = *rows.row().GetInteger("b");
      if (count == 0 && value < seen) return "back in a list";
      if (count == 0) first = value;
      if (value != first) return "a list of two files";
      seen = value;
    }
    if (!rows.status().ok()) return rows.status().ToString();
    if (count != kRows) return absl::StrCat(count, " rows");
  }
  for (int64_t old = *newest; old < seen && !newest->compare_exchange_weak(old, seen);) {
  }
  return "";
}

TEST_F(ReaderSwapTest, NoCallFailsOrGoesBackHoweverOftenTheFileIsReplaced) {
  {
    // It begins as a plain file.
    writer_ = OpenWriter(path_);
    ASSERT_TRUE(writer_->Apply(LedgerTo(kStep)).ok());
  }
  Reader reader(path_);
  std::atomic<bool> stop{false};
  std::atomic<int64_t> newest{0};
  std::vector<std::string> errors(4);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < errors.size(); ++i) {
    threads.emplace_back([&, i] {
      std::mt19937 random(i);
      while (!stop && errors[i].empty()) errors[i] = Look(&reader, &newest, &random);
    });
  }
  int64_t sequence = kStep;
  for (int round = 0; round < 60; ++round) {
    sequence += kStep;
    Publish(sequence);
    // In production they stay far longer; a reader is right even without.
    const absl::Status status =
        files_.RemoveOld(round % 2 == 0 ? absl::ZeroDuration() : LdbFiles::kKeepOld);
    ASSERT_TRUE(status.ok()) << status;
  }
  const absl::Time deadline = absl::Now() + absl::Seconds(30);
  while (newest < sequence && absl::Now() < deadline) absl::SleepFor(absl::Milliseconds(10));
  stop = true;
  for (std::thread& thread : threads) thread.join();
  for (const std::string& error : errors) EXPECT_EQ(error, "");
  EXPECT_EQ(newest, sequence);
}

TEST_F(ReaderSwapTest, AnIdleReaderGoesOnWithTheNewFile) {
  Publish(kStep);
  Reader reader(path_);
  ASSERT_EQ(reader.GetPosition()->applied_sequence, kStep);
  absl::StatusOr<Row> held = reader.GetRow("fam", "tbl", {1});
  ASSERT_TRUE(held.ok());
  Publish(2 * kStep);
  ASSERT_TRUE(files_.RemoveOld(absl::ZeroDuration()).ok());
  EXPECT_TRUE(reader.WaitForSequence(2 * kStep, absl::Now() + absl::Seconds(30)).ok());
  EXPECT_EQ(*reader.GetRow("fam", "tbl", {1})->GetInteger("b"), 2 * kStep);
  // What was read before stays what it was.
  EXPECT_EQ(*held->GetInteger("b"), kStep);
}

TEST_F(ReaderSwapTest, WhatIsWrittenAfterTheSwapIsSeen) {
  Publish(kStep);
  Reader reader(path_);
  ASSERT_TRUE(reader.GetPosition().ok());
  Publish(2 * kStep);
  ASSERT_TRUE(writer_->Apply({{2 * kStep + 1, "", "DELETE FROM fam___tbl WHERE \"a\" = 1"}}).ok());
  EXPECT_TRUE(reader.WaitForSequence(2 * kStep + 1, absl::Now() + absl::Seconds(30)).ok());
  EXPECT_FALSE(reader.GetRow("fam", "tbl", {1})->exists());
}

TEST_F(ReaderSwapTest, AConnectionHasAllOfItsFileOpenFromTheBeginning) {
  writer_ = OpenWriter(path_);
  ASSERT_TRUE(writer_->Apply(LedgerTo(kStep)).ok());
  std::atomic<int64_t> open_connections{0};
  for (int64_t sequence : {kStep, 2 * kStep}) {
    absl::StatusOr<std::unique_ptr<ReaderConnection>> connection =
        ReaderConnection::Open(path_, 1 << 20, &open_connections);
    ASSERT_TRUE(connection.ok()) << connection.status();
    Publish(sequence + kStep);
    ASSERT_TRUE(files_.RemoveOld(absl::ZeroDuration()).ok());
    absl::StatusOr<int64_t> read = (*connection)->GetSequence();
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(*read, sequence);
  }
}

TEST_F(ReaderSwapTest, ASnapshotStaysInTheOldFileAndAllElseGoesOn) {
  Publish(kStep);
  Reader reader(path_);
  absl::StatusOr<Snapshot> old = reader.GetSnapshot();
  ASSERT_TRUE(old.ok()) << old.status();
  Publish(2 * kStep);
  for (int i = 0; i < 2; ++i) {
    EXPECT_TRUE(reader.WaitForSequence(2 * kStep, absl::Now() + absl::Seconds(30)).ok());
    EXPECT_EQ(*old->GetRow("fam", "tbl", {1})->GetInteger("b"), kStep);
    EXPECT_EQ(*reader.GetRow("fam", "tbl", {1})->GetInteger("b"), 2 * kStep);
    EXPECT_EQ(reader.GetSnapshot()->sequence(), 2 * kStep);
  }
  EXPECT_EQ(old->sequence(), kStep);
  EXPECT_EQ(reader.stats().files_replaced, 1);
}

TEST_F(ReaderSwapTest, TheNewFileIsReadAtOnceWhenNobodyWritesTheOldOne) {
  writer_ = OpenWriter(path_);
  ASSERT_TRUE(writer_->Apply(LedgerTo(kStep)).ok());
  ReaderOptions without_cache;
  without_cache.cache_bytes = 0;
  Reader cached(path_);
  Reader plain(path_, without_cache);
  for (int64_t sequence = kStep; sequence < 20 * kStep; sequence += kStep) {
    for (Reader* reader : {&cached, &plain}) {
      ASSERT_EQ(*reader->GetSequence(), sequence);
      ASSERT_EQ(*reader->GetRow("fam", "tbl", {1})->GetInteger("b"), sequence);
    }
    writer_.reset();
    ASSERT_NO_FATAL_FAILURE(Publish(sequence + kStep));
    for (Reader* reader : {&cached, &plain}) {
      ASSERT_EQ(*reader->GetRow("fam", "tbl", {1})->GetInteger("b"), sequence + kStep);
      ASSERT_EQ(*reader->GetSequence(), sequence + kStep);
      ASSERT_EQ(reader->GetSnapshot()->sequence(), sequence + kStep);
      RowIterator rows = reader->ListRows("fam", "tbl", {});
      ASSERT_TRUE(rows.Next()) << rows.status();
      ASSERT_EQ(*rows.row().GetInteger("b"), sequence + kStep);
    }
  }
  EXPECT_GE(cached.stats().files_replaced, 19);
  EXPECT_TRUE(cached.stats().has_freshness_page);
}

TEST_F(ReaderSwapTest, WhatBeganBeforeTheSwapGoesOnWithTheOldFile) {
  Publish(kStep);
  Reader reader(path_);
  absl::StatusOr<Snapshot> snapshot = reader.GetSnapshot();
  ASSERT_TRUE(snapshot.ok()) << snapshot.status();
  RowIterator rows = reader.ListRows("fam", "tbl", {});
  ASSERT_TRUE(rows.Next()) << rows.status();
  RowIterator of_snapshot = snapshot->ListRows("fam", "tbl", {});
  writer_.reset();
  Publish(2 * kStep);
  ASSERT_TRUE(files_.RemoveOld(absl::ZeroDuration()).ok());
  ASSERT_EQ(*reader.GetRow("fam", "tbl", {1})->GetInteger("b"), 2 * kStep);

  EXPECT_EQ(snapshot->sequence(), kStep);
  for (int i = 0; i < kRows; ++i) {
    absl::StatusOr<Row> row = snapshot->GetRow("fam", "tbl", {i});
    ASSERT_TRUE(row.ok()) << row.status();
    EXPECT_EQ(*row->GetInteger("b"), kStep);
  }
  int count = 1;
  for (; rows.Next(); ++count) EXPECT_EQ(*rows.row().GetInteger("b"), kStep);
  EXPECT_TRUE(rows.status().ok()) << rows.status();
  EXPECT_EQ(count, kRows);
  count = 0;
  for (; of_snapshot.Next(); ++count) EXPECT_EQ(*of_snapshot.row().GetInteger("b"), kStep);
  EXPECT_TRUE(of_snapshot.status().ok()) << of_snapshot.status();
  EXPECT_EQ(count, kRows);
  EXPECT_EQ(*reader.GetRow("fam", "tbl", {1})->GetInteger("b"), 2 * kStep);
}

TEST_F(ReaderSwapTest, RowsOfTheOldFileStayWhatTheyWere) {
  Publish(kStep);
  ReaderOptions options;
  // Rows make room for others at once.
  options.cache_bytes = 4096;
  Reader reader(path_, options);
  std::vector<Row> rows;
  std::vector<OwnedRow> copies;
  for (int i = 0; i < kRows; ++i) {
    absl::StatusOr<Row> row = reader.GetRow("fam", "tbl", {i});
    ASSERT_TRUE(row.ok()) << row.status();
    copies.push_back(row->Copy());
    rows.push_back(*std::move(row));
  }
  writer_.reset();
  for (int64_t sequence = 2 * kStep; sequence < 6 * kStep; sequence += kStep) {
    Publish(sequence);
    for (int i = 0; i < kRows; ++i) {
      ASSERT_EQ(*reader.GetRow("fam", "tbl", {i})->GetInteger("b"), sequence);
    }
    writer_.reset();
  }
  for (int i = 0; i < kRows; ++i) {
    EXPECT_EQ(*rows[i].GetInteger("b"), kStep);
    EXPECT_EQ(*copies[i].GetInteger("b"), kStep);
    EXPECT_EQ(*rows[i].GetInteger("a"), i);
  }
}

TEST_F(ReaderSwapTest, ADamagedOldFileSendsTheReaderToTheNewOneAtOnce) {
  Publish(kStep);
  const std::string old = files_.current();
  Reader reader(path_);
  ASSERT_TRUE(reader.GetPosition().ok());
  ASSERT_TRUE(writer_->Checkpoint().ok());
  // The reader's next look at the file finds nothing of use in it.
  {
    std::fstream file(old, std::ios::in | std::ios::out | std::ios::binary);
    const std::string garbage(std::filesystem::file_size(old), '\xff');
    file.write(garbage.data(), static_cast<std::streamsize>(garbage.size()));
  }
  Publish(2 * kStep);
  for (int i = 0; i < kRows; ++i) {
    absl::StatusOr<Row> row = reader.GetRow("fam", "tbl", {i});
    ASSERT_TRUE(row.ok()) << row.status();
    ASSERT_EQ(*row->GetInteger("b"), 2 * kStep);
  }
}

}  // namespace
}  // namespace ctlstore::ldb
