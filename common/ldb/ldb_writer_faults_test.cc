// Faults of the file system, moved on call by call through all that a writer does.

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <map>
#include <random>

#include "absl/strings/str_cat.h"
#include "common/ldb/ldb_test_util.h"
#include "common/ldb/ldb_writer.h"
#include "common/schema/errors.h"
#include "common/sqlite/testing/faulty_vfs.h"

namespace ctlstore::ldb {
namespace {

using sqlite::FaultyVfs;

// A short ledger of transactions of one or several statements, and the rows after each.
class KnownLedger {
 public:
  KnownLedger() {
    std::mt19937 random(4);
    ledger_.Add(
        "CREATE TABLE fam___tbl (\"a\" INTEGER, \"b\" VARCHAR(191), PRIMARY KEY(\"a\",\"b\"));");
    Record();
    for (int i = 0; i < 24; ++i) {
      const int statements = 1 + static_cast<int>(random() % 5);
      if (statements > 1) ledger_.Begin();
      for (int s = 0; s < statements; ++s) {
        const int64_t key = static_cast<int64_t>(random() % 12);
        // Long enough for some pages.
        const std::string value = absl::StrCat(i, std::string(150, 'v'));
        if (random() % 4 == 0) {
          ledger_.Add(absl::StrCat("DELETE FROM fam___tbl WHERE \"a\" = ", key, " AND \"b\" = '",
                                   value, "'"));
          state_.erase({key, value});
        } else {
          ledger_.Add(
              absl::StrCat("REPLACE INTO fam___tbl (\"a\",\"b\") VALUES(", key, ",'", value, "')"));
          state_.insert({{key, value}, true});
        }
      }
      if (statements > 1) ledger_.Commit();
      Record();
    }
  }

  const TestLedger& ledger() const { return ledger_; }
  int64_t size() const { return static_cast<int64_t>(ledger_.entries().size()); }
  // Null where no ledger transaction ends with the entry.
  const Rows* StateAt(int64_t sequence) const {
    const auto found = states_.find(sequence);
    return found == states_.end() ? nullptr : &found->second;
  }

 private:
  void Record() {
    Rows rows;
    for (const auto& [key, ignored] : state_) {
      rows.push_back({Value::Integer(key.first), Value::Text(key.second)});
    }
    states_[size()] = std::move(rows);
  }

  TestLedger ledger_;
  std::map<std::pair<int64_t, std::string>, bool> state_;
  std::map<int64_t, Rows> states_;
};

class Follower : public ChangeListener {
 public:
  void Committing(absl::Span<const Change>) override { EXPECT_FALSE(std::exchange(open_, true)); }
  void Committed(absl::Span<const Change> changes, int64_t applied_sequence) override {
    EXPECT_TRUE(std::exchange(open_, false));
    if (changes.empty() || changes[0].kind != Change::Kind::kEverything) {
      EXPECT_GT(applied_sequence, last_) << "a commit was told twice";
    }
    last_ = applied_sequence;
  }
  void CommitFailed() override { EXPECT_TRUE(std::exchange(open_, false)); }
  int64_t last() const { return last_; }

 private:
  bool open_ = false;
  int64_t last_ = 0;
};

class LdbWriterFaultsTest : public testing::Test {
 protected:
  // The faults are made; a disk would only add its own time to each of some hundred runs.
  static void SetUpTestSuite() {
    if (access("/dev/shm", W_OK) == 0) setenv("TEST_TMPDIR", "/dev/shm", 1);
  }

  // The file, looked at past the faults, is whole and where some ledger transaction ends.
  void ExpectWhole(const std::string& path, int64_t at_least, int64_t* sequence) {
    *sequence = 0;
    if (!std::filesystem::exists(path)) {
      ASSERT_EQ(at_least, 0);
      return;
    }
    std::unique_ptr<sqlite::Database> database = OpenPlain(path);
    ASSERT_EQ(Query(database.get(), "PRAGMA integrity_check"), (Rows{{Value::Text("ok")}}));
    const bool has_tables =
        !Query(database.get(), "SELECT 1 FROM sqlite_schema WHERE name = '_ldb_seq'").empty();
    const Rows rows = has_tables ? Query(database.get(), "SELECT seq FROM _ldb_seq") : Rows();
    *sequence = rows.empty() ? 0 : rows[0][0].integer();
    ASSERT_GE(*sequence, at_least);
    if (*sequence == 0) return;
    const Rows* expected = known_.StateAt(*sequence);
    ASSERT_NE(expected, nullptr) << *sequence << " is inside a ledger transaction";
    ASSERT_EQ(Query(database.get(), "SELECT a, b FROM fam___tbl ORDER BY a, b"), *expected);
    // The digest is that of the position, or there is none.
    ASSERT_EQ(Query(database.get(), "SELECT value FROM _ldb_state WHERE name = 'digest'"),
              (Rows{{Value::Bytes(DigestOf(known_.ledger().entries()[*sequence - 1]))}}));
  }

  // Plays the ledger as a reflector does, with a fault at the `countdown`-th call that can have it.
  // Returns whether that was reached.
  bool Play(FaultyVfs* vfs, FaultyVfs::Fault fault, int64_t countdown, bool once, bool reopen) {
    SCOPED_TRACE(absl::StrCat("fault ", static_cast<int>(fault), " at call ", countdown,
                              once ? "" : " and after", reopen ? ", opened anew" : ""));
    const std::string path = folder_.Path(absl::StrCat("run", ++runs_, ".db"));
    Follower follower;
    LdbWriter::Options options;
    options.checkpoint_wal_bytes = 20000;
    options.max_commit_entries = 9;
    options.listeners = {&follower};
    std::mt19937 random(static_cast<uint32_t>(countdown));
    std::unique_ptr<LdbWriter> writer;
    int64_t failures = 0;
    int64_t sequence = 0;
    vfs->Arm(fault, countdown, once);
    while (true) {
      absl::Status status;
      if (writer == nullptr) {
        absl::StatusOr<std::unique_ptr<LdbWriter>> opened = LdbWriter::Open(path, options);
        status = opened.status();
        if (opened.ok()) writer = *std::move(opened);
      } else if (writer->received_sequence() < known_.size()) {
        status =
            writer->Apply(known_.ledger().After(writer->received_sequence(), 1 + random() % 20));
      } else {
        break;
      }
      if (status.ok()) continue;
      // Nothing that looks like an entry's fault, or like a file that has to be built anew.
      EXPECT_TRUE(absl::IsUnavailable(status) || absl::IsResourceExhausted(status)) << status;
      EXPECT_EQ(ErrorReason(status), absl::nullopt) << status;
      const int64_t applied = writer == nullptr ? sequence : writer->applied_sequence();
      if (reopen) writer = nullptr;
      // A disk that stays full is full until something is removed.
      const int64_t hit = vfs->Disarm();
      EXPECT_GE(hit, 1) << status;
      ExpectWhole(path, applied, &sequence);
      if (HasFatalFailure() || HasFailure() || ++failures > 10) break;
    }
    const bool reached = vfs->Disarm() > 0 || failures > 0;
    EXPECT_LE(failures, 1);
    if (HasFailure()) return false;
    EXPECT_TRUE(writer->Checkpoint().ok());
    EXPECT_EQ(writer->applied_sequence(), known_.size());
    EXPECT_EQ(follower.last(), known_.size());
    writer = nullptr;
    ExpectWhole(path, known_.size(), &sequence);
    return reached;
  }

  void PlayAll(FaultyVfs::Fault fault, bool once) {
    FaultyVfs vfs("faulty", {".db", ".db-wal", ".db-shm"});
    vfs.MakeDefault();
    int64_t calls = 0;
    for (int64_t countdown = 1;; ++countdown) {
      const bool reached = Play(&vfs, fault, countdown, once, countdown % 2 == 0);
      if (HasFailure() || !reached) break;
      calls = countdown;
    }
    RecordProperty("calls", static_cast<int>(calls));
    EXPECT_GT(calls, fault == FaultyVfs::Fault::kFailedSync ? 5 : 20);
  }

  TestFolder folder_;
  const KnownLedger known_;
  int runs_ = 0;
};

TEST_F(LdbWriterFaultsTest, AShortWriteLosesNothing) {
  PlayAll(FaultyVfs::Fault::kShortWrite, true);
}

TEST_F(LdbWriterFaultsTest, AnIoErrorLosesNothing) { PlayAll(FaultyVfs::Fault::kIoError, true); }

TEST_F(LdbWriterFaultsTest, AFullDiskLosesNothing) { PlayAll(FaultyVfs::Fault::kFull, false); }

TEST_F(LdbWriterFaultsTest, AFailedSyncLosesNothing) {
  PlayAll(FaultyVfs::Fault::kFailedSync, true);
}

// As a commit would be that was reported as failed and is there all the same.
TEST_F(LdbWriterFaultsTest, WhatIsThereAfterAnErrorIsNotAppliedAgain) {
  FaultyVfs vfs("faulty", {".db-wal"});
  vfs.MakeDefault();
  const std::string path = folder_.Path("ldb.db");
  Follower follower;
  LdbWriter::Options options;
  options.listeners = {&follower};
  std::unique_ptr<LdbWriter> writer = OpenWriter(path, options);
  ASSERT_TRUE(writer->Apply(known_.ledger().After(0, 1)).ok());
  vfs.Arm(FaultyVfs::Fault::kIoError, 1);
  EXPECT_TRUE(absl::IsUnavailable(writer->Apply(known_.ledger().After(1))));
  EXPECT_EQ(vfs.Disarm(), 1);
  ASSERT_TRUE(OpenPlain(path, /*read_only=*/false)->Execute("UPDATE _ldb_seq SET seq = 7").ok());
  EXPECT_TRUE(absl::IsUnavailable(writer->Apply(known_.ledger().After(1))));
  EXPECT_EQ(writer->applied_position(), (LedgerPosition{7, ""}));
  EXPECT_EQ(writer->received_sequence(), 7);
  EXPECT_EQ(follower.last(), 7);
  EXPECT_TRUE(writer->Apply({{8, "", "DELETE FROM fam___tbl"}}).ok());
  EXPECT_EQ(follower.last(), 8);
}

}  // namespace
}  // namespace ctlstore::ldb
