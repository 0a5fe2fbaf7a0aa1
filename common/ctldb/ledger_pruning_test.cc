#include "common/ctldb/ledger_pruning.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/ctldb/ledger_reader.h"
#include "common/ctldb/ledger_transaction.h"
#include "common/ctldb/testing/ctldb_test_base.h"
#include "common/schema/errors.h"
#include "common/schema/ledger_position.h"

namespace ctlstore::ctldb {
namespace {

using ::ctlstore::ctldb::testing::CtldbTest;
using ::ctlstore::ctldb::testing::MustOpen;
using ::ctlstore::ctldb::testing::MustQuery;
using ::ctlstore::ctldb::testing::Rows;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr size_t kManyBytes = size_t{64} << 20;
constexpr int64_t kAll = int64_t{1} << 60;

const absl::Time kNow =
    absl::FromCivil(absl::CivilSecond(2026, 3, 4, 5, 6, 7), absl::UTCTimeZone());

bool Never() { return false; }

class LedgerPruningTest : public CtldbTest {
 protected:
  // One ledger transaction.
  static void Append(Connection* connection, const std::vector<std::string>& statements) {
    absl::StatusOr<LedgerTransaction> transaction = LedgerTransaction::Begin(connection);
    ASSERT_TRUE(transaction.ok()) << transaction.status();
    transaction->Append(statements);
    ASSERT_TRUE(transaction->Commit().ok());
  }

  static void Put(Connection* connection, int64_t sequence, const std::string& time,
                  const std::string& statement = "x") {
    absl::StatusOr<int64_t> put = connection->Execute(
        "INSERT INTO ctlstore_dml_ledger (seq, leader_ts, statement) VALUES (?, ?, ?)",
        {sequence, time, statement});
    ASSERT_TRUE(put.ok()) << put.status();
  }

  // Single statements.
  static void PutMany(Connection* connection, int64_t first, int64_t last) {
    ASSERT_TRUE(connection->BeginWrite().ok());
    for (int64_t sequence = first; sequence <= last; ++sequence) {
      Put(connection, sequence, "2026-03-04 01:00:00");
    }
    ASSERT_TRUE(connection->Commit().ok());
  }

  static std::vector<int64_t> Sequences(Connection* connection) {
    std::vector<int64_t> sequences;
    for (const auto& row :
         MustQuery(connection, "SELECT seq FROM ctlstore_dml_ledger ORDER BY seq")) {
      sequences.push_back(row[0].integer());
    }
    return sequences;
  }

  static int64_t OldThrough(Connection* connection, absl::Time before) {
    const absl::StatusOr<LedgerBounds> bounds = ReadLedgerBounds(connection);
    EXPECT_TRUE(bounds.ok()) << bounds.status();
    const absl::StatusOr<int64_t> found = FindOldThrough(connection, *bounds, before);
    EXPECT_TRUE(found.ok()) << found.status();
    return found.value_or(-1);
  }

  static int64_t FirstYoung(Connection* connection, int64_t first, int64_t through,
                            absl::Time before) {
    const auto found = FindFirstYoung(connection, first, through, before, Never);
    EXPECT_TRUE(found.ok()) << found.status();
    return found.ok() ? found->value_or(0) : -1;
  }

  static int64_t TransactionEnd(Connection* connection, int64_t first, int64_t through) {
    const absl::StatusOr<int64_t> found = FindTransactionEnd(connection, first, through, Never);
    EXPECT_TRUE(found.ok()) << found.status();
    return found.value_or(-1);
  }

  static RemovedBatch MustRemove(Connection* connection, int64_t first, int64_t through,
                                 size_t max_entries, size_t max_bytes = kManyBytes) {
    const absl::StatusOr<RemovedBatch> batch =
        RemoveBatch(connection, first, through, max_entries, max_bytes);
    EXPECT_TRUE(batch.ok()) << batch.status();
    return batch.value_or(RemovedBatch());
  }
};

CTLSTORE_FOR_BOTH_KINDS(LedgerPruningTest);

TEST_P(LedgerPruningTest, TellsTheBoundsAndSingleEntries) {
  std::unique_ptr<Connection> connection = OpenReady();
  EXPECT_EQ(ReadLedgerBounds(connection.get())->first, 0);
  EXPECT_EQ(ReadLedgerBounds(connection.get())->last, 0);
  EXPECT_EQ(OldThrough(connection.get(), kNow), 0);
  Put(connection.get(), 7, "2026-03-04 01:02:03", "seven");
  Put(connection.get(), 9, "2026-03-04 01:02:04.5", "nine");
  EXPECT_EQ(ReadLedgerBounds(connection.get())->first, 7);
  EXPECT_EQ(ReadLedgerBounds(connection.get())->last, 9);
  EXPECT_FALSE(ReadLedgerEntry(connection.get(), 8)->has_value());
  const absl::optional<LedgerEntry> entry = *ReadLedgerEntry(connection.get(), 9);
  ASSERT_TRUE(entry.has_value());
  EXPECT_EQ(entry->statement, "nine");
  LedgerReader reader(target_, options_);
  const auto read = reader.ReadAfter({7, ""}, 10, kManyBytes);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(DigestOf(*entry), DigestOf(read->entries[0]));
}

TEST_P(LedgerPruningTest, FindsHowFarTheLedgerIsOld) {
  std::unique_ptr<Connection> connection = OpenReady();
  for (int64_t i = 0; i < 20; ++i) {
    // With gaps, and with fractions.
    Put(connection.get(), 10 + 3 * i,
        absl::FormatTime("%Y-%m-%d %H:%M:%E3S", kNow + absl::Minutes(i) + absl::Milliseconds(250),
                         absl::UTCTimeZone()));
  }
  EXPECT_EQ(OldThrough(connection.get(), kNow), 0);
  EXPECT_EQ(OldThrough(connection.get(), kNow - absl::Hours(1)), 0);
  // To the second: those of the same second are kept.
  EXPECT_EQ(OldThrough(connection.get(), kNow + absl::Milliseconds(900)), 0);
  EXPECT_EQ(OldThrough(connection.get(), kNow + absl::Seconds(1)), 10);
  for (int64_t i = 0; i < 20; ++i) {
    EXPECT_EQ(OldThrough(connection.get(), kNow + absl::Minutes(i) + absl::Seconds(30)),
              10 + 3 * i);
  }
  EXPECT_EQ(OldThrough(connection.get(), kNow + absl::Hours(100)), 67);
  EXPECT_EQ(FirstYoung(connection.get(), 10, 67, kNow + absl::Hours(100)), 0);
  EXPECT_EQ(FirstYoung(connection.get(), 10, 67, kNow + absl::Minutes(5)), 25);
  EXPECT_EQ(FirstYoung(connection.get(), 10, 24, kNow + absl::Minutes(5)), 0);
}

TEST_P(LedgerPruningTest, AYoungEntryAmongOldOnesIsSeen) {
  std::unique_ptr<Connection> connection = OpenReady();
  PutMany(connection.get(), 1, 40);
  Put(connection.get(), 41, "2030-01-01 00:00:00");
  PutMany(connection.get(), 42, 99);
  const int64_t old = OldThrough(connection.get(), kNow);
  EXPECT_TRUE(old == 40 || old == 99) << old;
  EXPECT_EQ(FirstYoung(connection.get(), 1, 99, kNow), 41);
  EXPECT_EQ(FirstYoung(connection.get(), 1, 40, kNow), 0);
}

TEST_P(LedgerPruningTest, MovesACutDownToATransactionsEnd) {
  std::unique_ptr<Connection> connection = OpenReady();
  Append(connection.get(), {"1"});
  Append(connection.get(), {"3", "4"});  // 2 to 5
  Append(connection.get(), {"6"});
  Append(connection.get(), {"8", "9", "10"});  // 7 to 11
  Append(connection.get(), {"12"});
  const std::vector<int64_t> expected = {1, 1, 1, 1, 5, 6, 6, 6, 6, 6, 11, 12};
  for (int64_t through = 1; through <= 12; ++through) {
    EXPECT_EQ(TransactionEnd(connection.get(), 1, through), expected[through - 1]) << through;
  }
  EXPECT_EQ(TransactionEnd(connection.get(), 1, 100), 12);
  EXPECT_EQ(TransactionEnd(connection.get(), 2, 4), 0);
  EXPECT_EQ(TransactionEnd(connection.get(), 13, 20), 0);
}

TEST_P(LedgerPruningTest, FindsMarkersThatAreFarAway) {
  std::unique_ptr<Connection> connection = OpenReady();
  Put(connection.get(), 1, "2026-03-04 01:00:00", kBeginMarker);
  PutMany(connection.get(), 2, 1500);
  EXPECT_EQ(TransactionEnd(connection.get(), 1, 1500), 0);
  Put(connection.get(), 1501, "2026-03-04 01:00:00", kCommitMarker);
  PutMany(connection.get(), 1502, 3000);
  EXPECT_EQ(TransactionEnd(connection.get(), 1, 3000), 3000);
  EXPECT_EQ(TransactionEnd(connection.get(), 1, 1499), 0);
  EXPECT_EQ(TransactionEnd(connection.get(), 1502, 2900), 2900);
  EXPECT_EQ(*CountEntries(connection.get(), 1, 2500, Never), 2500);
  // A transaction that is larger than a batch goes as a whole.
  EXPECT_EQ(MustRemove(connection.get(), 1, 2000, 10).through, 1501);
  EXPECT_EQ(*CountEntries(connection.get(), 1, kAll, Never), 1499);
}

TEST_P(LedgerPruningTest, ALongLookCanBeEnded) {
  std::unique_ptr<Connection> connection = OpenReady();
  PutMany(connection.get(), 1, 3);
  const auto at_once = [] { return true; };
  EXPECT_TRUE(absl::IsCancelled(CountEntries(connection.get(), 1, 3, at_once).status()));
  EXPECT_TRUE(absl::IsCancelled(FindFirstYoung(connection.get(), 1, 3, kNow, at_once).status()));
  EXPECT_TRUE(absl::IsCancelled(FindTransactionEnd(connection.get(), 1, 3, at_once).status()));
  EXPECT_EQ(*CountEntries(connection.get(), 1, 3, nullptr), 3);
}

TEST_P(LedgerPruningTest, RemovesInBatchesAndNeverTheLastEntry) {
  std::unique_ptr<Connection> connection = OpenReady();
  PutMany(connection.get(), 1, 10);
  RemovedBatch batch = MustRemove(connection.get(), 1, kAll, 4);
  EXPECT_EQ(batch.through, 4);
  EXPECT_EQ(batch.entries, 4);
  batch = MustRemove(connection.get(), 5, 6, 4);
  EXPECT_EQ(batch.through, 6);
  EXPECT_EQ(batch.entries, 2);
  batch = MustRemove(connection.get(), 7, kAll, 100);
  EXPECT_EQ(batch.through, 9);
  EXPECT_THAT(Sequences(connection.get()), ElementsAre(10));
  EXPECT_EQ(MustRemove(connection.get(), 1, kAll, 100).through, 0);
  EXPECT_EQ(MustRemove(connection.get(), 10, 10, 100).through, 0);
  EXPECT_THAT(Sequences(connection.get()), ElementsAre(10));
  // Sequences go on without a gap.
  Append(connection.get(), {"next"});
  EXPECT_THAT(Sequences(connection.get()), ElementsAre(10, 11));
}

TEST_P(LedgerPruningTest, AnEmptyLedgerHasNothingToRemove) {
  std::unique_ptr<Connection> connection = OpenReady();
  EXPECT_EQ(MustRemove(connection.get(), 1, kAll, 100).through, 0);
}

TEST_P(LedgerPruningTest, ABatchIsBoundedByBytesToo) {
  std::unique_ptr<Connection> connection = OpenReady();
  for (int i = 1; i <= 10; ++i) {
    Put(connection.get(), i, "2026-03-04 01:00:00", std::string(1000, 'x'));
  }
  EXPECT_EQ(MustRemove(connection.get(), 1, 9, 1000, 2500).through, 3);
  // At least one transaction.
  EXPECT_EQ(MustRemove(connection.get(), 4, 9, 1000, 1).through, 4);
}

TEST_P(LedgerPruningTest, WhatRemainsIsAlwaysASuffixOfWholeTransactions) {
  std::mt19937 random(20260304);
  for (int round = 0; round < 8; ++round) {
    std::unique_ptr<Connection> connection = OpenReady();
    ASSERT_TRUE(connection->Execute("DELETE FROM ctlstore_dml_ledger").ok());
    std::set<int64_t> ends;
    for (int i = 0; i < 30; ++i) {
      Append(connection.get(), std::vector<std::string>(1 + random() % 6 * (random() % 2), "s"));
      ends.insert(ReadLedgerBounds(connection.get())->last);
    }
    const std::vector<int64_t> all = Sequences(connection.get());
    const int64_t wanted = all[random() % all.size()];
    const int64_t through = TransactionEnd(connection.get(), all.front(), wanted);
    const auto end = ends.upper_bound(wanted);
    EXPECT_EQ(through, end == ends.begin() ? 0 : *std::prev(end));
    int64_t first = all.front();
    while (first <= through) {
      const RemovedBatch batch = MustRemove(connection.get(), first, through, 1 + random() % 10);
      if (batch.through == 0) break;
      ASSERT_EQ(ends.count(batch.through), 1) << batch.through;
      first = batch.through + 1;
      const std::vector<int64_t> left = Sequences(connection.get());
      ASSERT_EQ(left.front(), first);
      ASSERT_EQ(left.size(), all.size() - (first - all.front()));
      // Who is exactly there goes on, who is one transaction behind does not.
      LedgerReader reader(target_, options_);
      const auto read = reader.ReadAfter({batch.through, "the digest of what went"}, 1, 1);
      ASSERT_TRUE(read.ok()) << read.status();
      EXPECT_EQ(read->entries[0].sequence, first);
      EXPECT_TRUE(HasReason(reader.ReadAfter({batch.through - 1, ""}, 1, 1).status(),
                            reason::kLedgerPruned));
    }
    EXPECT_EQ(Sequences(connection.get()).front(),
              std::max(all.front(), std::min(through + 1, all.back())));
  }
}

TEST_P(LedgerPruningTest, WhatAnotherOneHasRemovedIsNoError) {
  std::unique_ptr<Connection> connection = OpenReady();
  PutMany(connection.get(), 1, 20);
  std::unique_ptr<Connection> other = Open();
  EXPECT_EQ(MustRemove(other.get(), 1, 12, 100).entries, 12);
  const RemovedBatch batch = MustRemove(connection.get(), 1, 15, 100);
  EXPECT_EQ(batch.through, 15);
  EXPECT_EQ(batch.entries, 3);
}

TEST_P(LedgerPruningTest, AppendingDoesNotWaitForARemovalUnderWay) {
  if (!is_mariadb()) GTEST_SKIP() << "SQLite has one writer at a time";
  std::unique_ptr<Connection> connection = OpenReady();
  PutMany(connection.get(), 1, 50);
  ASSERT_TRUE(connection->Execute(connection->dialect().LockOnlyRows()).ok());
  ASSERT_TRUE(connection->BeginWrite().ok());
  ASSERT_TRUE(
      connection->Execute("DELETE FROM ctlstore_dml_ledger WHERE seq >= ? AND seq <= ?", {1, 49})
          .ok());
  options_.lock_timeout = absl::Seconds(1);
  std::unique_ptr<Connection> writer = Open();
  const Rows isolation =
      MustQuery(writer.get(), "SELECT trx_isolation_level FROM information_schema.innodb_trx");
  ASSERT_EQ(isolation.size(), 1);
  EXPECT_EQ(isolation[0][0].data(), "READ COMMITTED");
  Append(writer.get(), {"while it is under way"});
  ASSERT_TRUE(connection->Commit().ok());
  EXPECT_THAT(Sequences(connection.get()), ElementsAre(50, 51));
  // It was for that transaction alone.
  ASSERT_TRUE(connection->BeginWrite().ok());
  ASSERT_TRUE(connection->Execute("UPDATE locks SET clock = clock + 1").ok());
  // The server looks again only when nobody has asked for 0.1 s.
  std::string shown;
  for (int i = 0; i < 50 && shown != "REPEATABLE READ"; ++i) {
    absl::SleepFor(absl::Milliseconds(150));
    const Rows rows =
        MustQuery(writer.get(), "SELECT trx_isolation_level FROM information_schema.innodb_trx");
    if (!rows.empty()) shown = std::string(rows[0][0].data());
  }
  EXPECT_EQ(shown, "REPEATABLE READ");
  connection->Rollback();
}

TEST_P(LedgerPruningTest, WritersAreNotDisturbed) {
  constexpr int64_t kEntries = 12000;
  std::unique_ptr<Connection> connection = OpenReady();
  PutMany(connection.get(), 1, kEntries);
  // Far longer than a batch takes, and far shorter than the whole.
  options_.lock_timeout = absl::Seconds(5);
  std::atomic<bool> stop{false};
  std::atomic<int64_t> committed{0};
  std::vector<std::string> failures;
  std::thread writer([&] {
    std::unique_ptr<Connection> mine = Open();
    while (!stop) {
      absl::StatusOr<LedgerTransaction> transaction = LedgerTransaction::Begin(mine.get());
      absl::Status status = transaction.status();
      if (status.ok()) {
        transaction->Append({"a", "b"});
        status = transaction->Commit();
      }
      if (!status.ok()) {
        failures.push_back(status.ToString());
        return;
      }
      ++committed;
    }
  });
  while (committed == 0) absl::SleepFor(absl::Milliseconds(1));
  int batches = 0;
  int64_t first = 1;
  int64_t written_meanwhile = 0;
  while (first <= kEntries) {
    const int64_t before = committed;
    const RemovedBatch batch = MustRemove(connection.get(), first, kEntries, 500);
    ASSERT_GT(batch.through, 0);
    EXPECT_LE(batch.entries, 500);
    first = batch.through + 1;
    ++batches;
    // Writers have their turn between any two batches.
    while (committed == before && failures.empty()) absl::SleepFor(absl::Microseconds(200));
    written_meanwhile += committed - before;
  }
  stop = true;
  writer.join();
  EXPECT_THAT(failures, IsEmpty());
  EXPECT_EQ(batches, kEntries / 500);
  EXPECT_GE(written_meanwhile, batches);
  const std::vector<int64_t> left = Sequences(connection.get());
  ASSERT_EQ(static_cast<int64_t>(left.size()), 4 * committed);
  EXPECT_EQ(left.front(), kEntries + 1);
  EXPECT_EQ(left.back(), kEntries + 4 * committed);
}

TEST_P(LedgerPruningTest, OnePrunesAtATime) {
  std::unique_ptr<Connection> connection = OpenReady();
  std::unique_ptr<Connection> other = Open();
  absl::StatusOr<std::unique_ptr<PruneLock>> lock = PruneLock::Take(target_, connection.get());
  ASSERT_TRUE(lock.ok()) << lock.status();
  absl::Status refused = PruneLock::Take(target_, other.get()).status();
  EXPECT_TRUE(absl::IsUnavailable(refused)) << refused;
  EXPECT_EQ(ErrorReason(refused), reason::kCtldbBusy);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("pruned already"));
  // It is in nobody's way.
  Append(other.get(), {"x"});
  lock->reset();
  ASSERT_TRUE(PruneLock::Take(target_, other.get()).ok());
  // Another ctldb has a lock of its own.
  const Target another = ctldb::testing::NewTarget(GetParam());
  std::unique_ptr<Connection> there = MustOpen(another, options_);
  lock = PruneLock::Take(target_, connection.get());
  ASSERT_TRUE(lock.ok());
  EXPECT_TRUE(PruneLock::Take(another, there.get()).ok());
  lock->reset();
  // It goes with the connection.
  if (!is_mariadb()) return;
  {
    lock = PruneLock::Take(target_, connection.get());
    ASSERT_TRUE(lock.ok());
    const int64_t id = MustQuery(connection.get(), "SELECT CONNECTION_ID()")[0][0].integer();
    ASSERT_TRUE(ctldb::testing::SharedMariadbServer()->RunSql(absl::StrCat("KILL ", id)).ok());
    EXPECT_FALSE(RemoveBatch(connection.get(), 1, 10, 10, 10).ok());
    EXPECT_TRUE(PruneLock::Take(target_, other.get()).ok());
  }
}

TEST_P(LedgerPruningTest, KilledAtAnyMomentASuffixIsLeftAndTheLockIsFree) {
  constexpr int64_t kEntries = 4000;
  std::mt19937 random(7);
  {
    std::unique_ptr<Connection> connection = OpenReady();
    PutMany(connection.get(), 1, kEntries);
  }
  int cut_short = 0;
  for (int round = 0; round < 5; ++round) {
    int pipe_fds[2];
    ASSERT_EQ(pipe(pipe_fds), 0);
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      close(pipe_fds[0]);
      std::unique_ptr<Connection> mine = MustOpen(target_, options_);
      absl::StatusOr<std::unique_ptr<PruneLock>> lock = PruneLock::Take(target_, mine.get());
      if (!lock.ok()) _exit(3);
      int64_t first = ReadLedgerBounds(mine.get())->first;
      while (true) {
        absl::StatusOr<RemovedBatch> batch = RemoveBatch(mine.get(), first, kEntries, 10, 10000);
        if (!batch.ok()) _exit(4);
        if (batch->through == 0) break;
        first = batch->through + 1;
        const char byte = 'b';
        if (write(pipe_fds[1], &byte, 1) != 1) _exit(5);
      }
      while (true) pause();
    }
    close(pipe_fds[1]);
    char byte = 0;
    const int batches = 1 + static_cast<int>(random() % 40);
    for (int i = 0; i < batches; ++i) ASSERT_EQ(read(pipe_fds[0], &byte, 1), 1);
    kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFSIGNALED(status)) << WEXITSTATUS(status);
    close(pipe_fds[0]);

    std::unique_ptr<Connection> connection = Open();
    // MariaDB takes a moment to see that the connection is gone.
    absl::StatusOr<std::unique_ptr<PruneLock>> lock = PruneLock::Take(target_, connection.get());
    while (absl::IsUnavailable(lock.status())) {
      absl::SleepFor(absl::Milliseconds(5));
      lock = PruneLock::Take(target_, connection.get());
    }
    ASSERT_TRUE(lock.ok()) << lock.status();
    const std::vector<int64_t> left = Sequences(connection.get());
    ASSERT_FALSE(left.empty());
    EXPECT_EQ(left.back(), kEntries);
    EXPECT_EQ(static_cast<int64_t>(left.size()), kEntries - left.front() + 1);
    EXPECT_GT(left.front(), 1);
    if (left.front() < kEntries) ++cut_short;
  }
  EXPECT_GT(cut_short, 0);
}

}  // namespace
}  // namespace ctlstore::ctldb
