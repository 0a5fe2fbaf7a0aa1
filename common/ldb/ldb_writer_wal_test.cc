// The WAL of a local database while it is written and read.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/ldb/freshness_page.h"
#include "common/ldb/ldb_test_util.h"
#include "common/ldb/ldb_writer.h"
#include "common/schema/errors.h"

namespace ctlstore::ldb {
namespace {

using testing::Eq;
using testing::HasSubstr;
using testing::Optional;

class SetClock : public Clock {
 public:
  absl::Time Now() override { return now_; }
  bool SleepOrStop(absl::Duration, absl::Notification*) override { return true; }
  void Advance(absl::Duration duration) { now_ += duration; }

 private:
  absl::Time now_ = absl::FromUnixSeconds(1700000000);
};

class LdbWriterWalTest : public testing::Test {
 protected:
  LdbWriterWalTest() {
    options_.checkpoint_wal_bytes = 200000;
    options_.clock = &clock_;
    ledger_.Add("CREATE TABLE fam___tbl (\"a\" INTEGER, \"b\" TEXT, PRIMARY KEY(\"a\"));");
  }

  void Open() { writer_ = OpenWriter(path_, options_); }

  absl::Status Write(int rows = 20) {
    for (int i = 0; i < rows; ++i) {
      ledger_.Add(absl::StrCat("REPLACE INTO fam___tbl (\"a\",\"b\") VALUES(", next_++ % 500, ",'",
                               std::string(100, 'x'), "')"));
    }
    return writer_->Apply(ledger_.After(writer_->applied_sequence()));
  }

  int64_t WalBytes() const {
    return static_cast<int64_t>(std::filesystem::file_size(path_ + "-wal"));
  }

  TestFolder folder_;
  const std::string path_ = folder_.Path("ldb.db");
  SetClock clock_;
  LdbWriter::Options options_;
  TestLedger ledger_;
  int next_ = 0;
  std::unique_ptr<LdbWriter> writer_;
};

// Reads one row after another, or all of them, each time in a read transaction of its own.
class Readers {
 public:
  Readers(const std::string& path, int count, bool scan) {
    for (int i = 0; i < count; ++i) {
      threads_.emplace_back([this, path, scan] {
        std::unique_ptr<sqlite::Database> database = OpenPlain(path);
        std::unique_ptr<sqlite::Statement> statement = *database->Prepare(
            scan ? "SELECT sum(length(b)) FROM fam___tbl" : "SELECT b FROM fam___tbl WHERE a = 7");
        while (!stop_) {
          const absl::StatusOr<bool> row = statement->Step();
          if (!row.ok()) ++errors_;
          // A reader that works with what it has read.
          if (scan) absl::SleepFor(absl::Milliseconds(2));
          statement->Reset();
          ++reads_;
        }
      });
    }
  }
  ~Readers() {
    stop_ = true;
    for (std::thread& thread : threads_) thread.join();
    EXPECT_EQ(errors_, 0);
  }
  int64_t reads() const { return reads_; }

 private:
  std::atomic<bool> stop_{false};
  std::atomic<int64_t> reads_{0};
  std::atomic<int64_t> errors_{0};
  std::vector<std::thread> threads_;
};

TEST_F(LdbWriterWalTest, StaysBoundedUnderConstantReading) {
  options_.clock = Clock::Real();
  Open();
  ASSERT_TRUE(Write().ok());
  for (bool scan : {false, true}) {
    Readers readers(path_, 3, scan);
    int64_t largest = 0;
    for (int i = 0; i < 300 || readers.reads() < 300; ++i) {
      ASSERT_TRUE(Write().ok());
      largest = std::max(largest, WalBytes());
    }
    // All that is written is more than 50 times the limit.
    EXPECT_LE(largest, 8 * options_.checkpoint_wal_bytes) << (scan ? "scans" : "point reads");
    EXPECT_EQ(writer_->wal().bytes, WalBytes());
  }
  EXPECT_GT(writer_->wal().checkpoints, 10);
  EXPECT_EQ(writer_->wal().failed_checkpoints, 0);
}

// Holds a read transaction for as long as the freshness page says that it is current, as the reader
// library does. Each read sees the last commit that was known before it, and all of it.
class HoldingReader {
 public:
  // Where `idle`, it reads seldom, and something else lets go for it.
  HoldingReader(const std::string& path, const std::string& identity,
                const std::atomic<int64_t>& committed, bool idle)
      : committed_(committed), thread_([this, path, identity, idle] {
          database_ = OpenPlain(path);
          page_ = *FreshnessPageView::Open(FreshnessPagePath(path), identity);
          statement_ = *database_->Prepare("SELECT max(b), min(b), count(*) FROM fam___pair");
          while (!stop_) {
            Read();
            for (int i = 0; idle && i < 5; ++i) {
              absl::SleepFor(absl::Milliseconds(10));
              if (held_epoch_ != 0 && page_->epoch() != held_epoch_) LetGo();
            }
          }
          statement_.reset();
          database_.reset();
        }) {}
  ~HoldingReader() {
    stop_ = true;
    thread_.join();
  }
  int64_t reads() const { return reads_; }
  // In a transaction that an earlier read has begun.
  int64_t held_reads() const { return held_reads_; }

 private:
  void LetGo() {
    EXPECT_TRUE(database_->Execute("COMMIT").ok());
    held_epoch_ = 0;
  }

  void Read() {
    const int64_t committed = committed_;
    const uint64_t epoch = page_->epoch();
    if (held_epoch_ != 0 && held_epoch_ != epoch) LetGo();
    const bool is_held = held_epoch_ != 0;
    if (!is_held) {
      ASSERT_TRUE(database_->Execute("BEGIN").ok());
    }
    const absl::StatusOr<bool> row = statement_->Step();
    ASSERT_TRUE(row.ok() && *row) << row.status();
    EXPECT_EQ(statement_->Column(2), ValueView(2));
    EXPECT_EQ(statement_->Column(0), statement_->Column(1));
    const int64_t seen = statement_->Column(0).integer();
    EXPECT_GE(seen, committed);
    EXPECT_GE(seen, last_seen_);
    last_seen_ = seen;
    statement_->Reset();
    if (!is_held) held_epoch_ = epoch;
    if (epoch % 2 != 0 || page_->epoch() != epoch) LetGo();
    ++reads_;
    if (is_held) ++held_reads_;
  }

  const std::atomic<int64_t>& committed_;
  std::unique_ptr<sqlite::Database> database_;
  std::unique_ptr<FreshnessPageView> page_;
  std::unique_ptr<sqlite::Statement> statement_;
  // 0 where no transaction is held. The page's own is never 0 and even.
  uint64_t held_epoch_ = 0;
  int64_t last_seen_ = 0;
  std::atomic<bool> stop_{false};
  std::atomic<int64_t> reads_{0};
  std::atomic<int64_t> held_reads_{0};
  std::thread thread_;
};

TEST_F(LdbWriterWalTest, StaysBoundedUnderReadersThatHoldTheirTransactions) {
  options_.clock = Clock::Real();
  Open();
  ledger_.Add("CREATE TABLE fam___pair (\"a\" INTEGER, \"b\" INTEGER, PRIMARY KEY(\"a\"));");
  std::atomic<int64_t> committed{0};
  const auto write = [&](int64_t number) {
    ledger_.Begin();
    for (int key = 0; key < 2; ++key) {
      ledger_.Add(
          absl::StrCat("REPLACE INTO fam___pair (\"a\",\"b\") VALUES(", key, ",", number, ")"));
    }
    ledger_.Commit();
    ASSERT_TRUE(Write().ok());
    committed = number;
  };
  write(1);
  for (bool idle : {false, true}) {
    std::vector<std::unique_ptr<HoldingReader>> readers;
    for (int i = 0; i < 3; ++i) {
      readers.push_back(
          std::make_unique<HoldingReader>(path_, writer_->identity(), committed, idle));
    }
    int64_t largest = 0, reads = 0, held = 0;
    const int64_t checkpoints = writer_->wal().checkpoints;
    for (int i = 0; i < 500 || reads < 100 || (!idle && held < 100); ++i) {
      write(committed + 1);
      largest = std::max(largest, WalBytes());
      // Without a commit in between, reads go on in their transactions.
      if (i % 10 == 0) absl::SleepFor(absl::Milliseconds(5));
      reads = held = 0;
      for (const auto& reader : readers) {
        reads += reader->reads();
        held += reader->held_reads();
      }
    }
    EXPECT_LE(largest, 8 * options_.checkpoint_wal_bytes) << (idle ? "idle" : "active");
    EXPECT_GT(writer_->wal().checkpoints, checkpoints + 3) << (idle ? "idle" : "active");
  }
}

// However steadily it is read, with no commit in between.
TEST_F(LdbWriterWalTest, ACheckpointMakesHoldingReadersLetGo) {
  Open();
  ledger_.Add("CREATE TABLE fam___pair (\"a\" INTEGER, \"b\" INTEGER, PRIMARY KEY(\"a\"));");
  ledger_.Add("REPLACE INTO fam___pair (\"a\",\"b\") VALUES(0,1)");
  ledger_.Add("REPLACE INTO fam___pair (\"a\",\"b\") VALUES(1,1)");
  ASSERT_TRUE(Write().ok());
  const std::unique_ptr<FreshnessPageView> page =
      *FreshnessPageView::Open(FreshnessPagePath(path_), writer_->identity());
  FreshnessPageView::Mark mark = page->mark();
  const std::atomic<int64_t> committed{1};
  HoldingReader reader(path_, writer_->identity(), committed, /*idle=*/false);
  while (reader.held_reads() < 10) absl::SleepFor(absl::Milliseconds(1));
  for (int tries = 0; WalBytes() > 0 && tries < 1000; ++tries) {
    ASSERT_TRUE(writer_->Checkpoint().ok());
  }
  EXPECT_EQ(WalBytes(), 0);
  // What was kept stays valid, and the ring has its room.
  EXPECT_EQ(page->epoch() % 2, 0u);
  FreshnessPageView::Changed changed;
  page->ChangesSince(&mark, &changed);
  EXPECT_FALSE(changed.everything);
  EXPECT_TRUE(changed.tables.empty() && changed.keys.empty());
  const int64_t held = reader.held_reads();
  while (reader.held_reads() == held) absl::SleepFor(absl::Milliseconds(1));
}

TEST_F(LdbWriterWalTest, ALongReaderIsSeenWithItsProcessAndTheWalShrinksAfterIt) {
  Open();
  ASSERT_TRUE(Write().ok());
  int ready[2], done[2];
  ASSERT_EQ(pipe(ready), 0);
  ASSERT_EQ(pipe(done), 0);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    close(done[1]);
    std::unique_ptr<sqlite::Database> reader = OpenPlain(path_);
    std::unique_ptr<sqlite::Statement> statement = *reader->Prepare("SELECT * FROM fam___tbl");
    if (!*statement->Step()) _exit(1);
    char byte = 'r';
    if (write(ready[1], &byte, 1) != 1) _exit(2);
    // Until the parent ends it, or is not there any more.
    if (read(done[0], &byte, 1) < 0) _exit(3);
    _exit(0);
  }
  char byte;
  close(ready[1]);
  ASSERT_EQ(read(ready[0], &byte, 1), 1);

  while (WalBytes() < 5 * options_.checkpoint_wal_bytes) ASSERT_TRUE(Write().ok());
  LdbWriter::Wal wal = writer_->wal();
  EXPECT_EQ(wal.bytes, WalBytes());
  EXPECT_GE(wal.blocked_checkpoints, 1);
  // With growing distances: far from once a commit.
  EXPECT_LE(wal.blocked_checkpoints, 20);
  EXPECT_THAT(wal.blocked_since, Optional(Eq(clock_.Now())));
  EXPECT_THAT(wal.blocked_by, Optional(Eq(child)));
  const int64_t checkpoints = wal.checkpoints;

  // It is in the log once, when it has been there for long.
  testing::internal::CaptureStderr();
  for (int i = 0; i < 30; ++i) {
    clock_.Advance(absl::Seconds(1));
    ASSERT_TRUE(i % 2 == 0 ? Write().ok() : writer_->Idle().ok());
  }
  std::string log = testing::internal::GetCapturedStderr();
  const std::string event = absl::StrCat("event=ldb_reader_holds_snapshot path=", path_);
  const size_t at = log.find(event);
  ASSERT_NE(at, std::string::npos) << log;
  EXPECT_EQ(log.find(event, at + 1), std::string::npos) << log;
  EXPECT_THAT(log, HasSubstr(absl::StrCat("pids=", child)));
  EXPECT_EQ(writer_->wal().checkpoints, checkpoints);

  close(done[1]);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  close(done[0]);
  close(ready[0]);

  // While writing goes on, soon; as soon as idle.
  testing::internal::CaptureStderr();
  clock_.Advance(absl::Seconds(1));
  ASSERT_TRUE(Write(1).ok());
  log = testing::internal::GetCapturedStderr();
  EXPECT_THAT(log, HasSubstr("event=ldb_reader_let_go"));
  EXPECT_EQ(WalBytes(), 0);
  wal = writer_->wal();
  EXPECT_EQ(wal.bytes, 0);
  EXPECT_EQ(wal.checkpoints, checkpoints + 1);
  EXPECT_EQ(wal.blocked_since, absl::nullopt);
  EXPECT_EQ(wal.blocked_by, absl::nullopt);
}

TEST_F(LdbWriterWalTest, WhatIsLeftInTheWalIsMovedWhenIdle) {
  Open();
  ASSERT_TRUE(Write().ok());
  EXPECT_GT(WalBytes(), 0);
  ASSERT_TRUE(writer_->Idle().ok());
  EXPECT_GT(WalBytes(), 0) << "something may come at once";
  clock_.Advance(absl::Seconds(3));
  ASSERT_TRUE(writer_->Idle().ok());
  EXPECT_EQ(WalBytes(), 0);
  // And then the disk is left alone.
  const int64_t checkpoints = writer_->wal().checkpoints;
  for (int i = 0; i < 10; ++i) {
    clock_.Advance(absl::Seconds(1));
    ASSERT_TRUE(writer_->Idle().ok());
  }
  EXPECT_EQ(writer_->wal().checkpoints, checkpoints);
  // A new writer begins with what the last one has left.
  ASSERT_TRUE(Write().ok());
  writer_ = nullptr;
  Open();
  EXPECT_GT(writer_->wal().bytes, 0);
  ASSERT_TRUE(writer_->Idle().ok());
  EXPECT_EQ(WalBytes(), 0);
}

TEST_F(LdbWriterWalTest, NothingMoreIsAppliedWhereTheWalIsFull) {
  options_.max_wal_bytes = 500000;
  Open();
  ASSERT_TRUE(Write().ok());
  int64_t applied;
  {
    std::unique_ptr<sqlite::Database> reader = OpenPlain(path_);
    ASSERT_TRUE(reader->Execute("BEGIN; SELECT * FROM fam___tbl").ok());
    absl::Status status;
    while ((status = Write()).ok()) ASSERT_LT(WalBytes(), 2 * options_.max_wal_bytes);
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
    EXPECT_EQ(ErrorReason(status), reason::kWalFull);
    EXPECT_EQ(writer_->failed_sequence(), absl::nullopt);
    EXPECT_GT(WalBytes(), options_.max_wal_bytes);
    const int64_t bytes = WalBytes();
    applied = writer_->applied_sequence();
    EXPECT_EQ(ErrorReason(Write()), reason::kWalFull);
    EXPECT_EQ(WalBytes(), bytes);
    EXPECT_EQ(writer_->applied_sequence(), applied);
  }
  ASSERT_TRUE(Write().ok());
  EXPECT_GT(writer_->applied_sequence(), applied);
  EXPECT_LE(WalBytes(), options_.max_wal_bytes);
}

TEST_F(LdbWriterWalTest, TheStateOfTheWalCanBeReadFromAnyThread) {
  Open();
  std::atomic<bool> stop{false};
  std::thread watcher([&] {
    while (!stop) EXPECT_GE(writer_->wal().bytes, 0);
  });
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(Write().ok());
  stop = true;
  watcher.join();
}

}  // namespace
}  // namespace ctlstore::ldb
