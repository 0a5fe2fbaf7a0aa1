#include "common/ctldb/ledger_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "common/ctldb/ledger_transaction.h"
#include "common/ctldb/own_tables.h"
#include "common/ctldb/testing/ctldb_test_base.h"
#include "common/schema/errors.h"

namespace ctlstore::ctldb {
namespace {

using ::ctlstore::ctldb::testing::CtldbTest;
using ::ctlstore::ctldb::testing::MustOpen;
using ::ctlstore::ctldb::testing::NewTarget;
using ::ctlstore::ctldb::testing::SharedMariadbServer;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;

constexpr size_t kManyEntries = 100000;
constexpr size_t kManyBytes = size_t{64} << 20;

class LedgerReaderTest : public CtldbTest {
 protected:
  static void Append(Connection* connection, const std::vector<std::string>& statements) {
    for (const std::string& statement : statements) {
      absl::StatusOr<LedgerTransaction> transaction = LedgerTransaction::Begin(connection);
      ASSERT_TRUE(transaction.ok()) << transaction.status();
      transaction->Append({statement});
      ASSERT_TRUE(transaction->Commit().ok());
    }
  }

  static std::vector<LedgerEntry> MustRead(LedgerReader* reader, int64_t after,
                                           size_t max_entries = kManyEntries,
                                           size_t max_bytes = kManyBytes) {
    return MustReadAll(reader, {after, ""}, max_entries, max_bytes).entries;
  }

  static LedgerReader::Result MustReadAll(LedgerReader* reader, const LedgerPosition& after,
                                          size_t max_entries = kManyEntries,
                                          size_t max_bytes = kManyBytes) {
    absl::StatusOr<LedgerReader::Result> result = reader->ReadAfter(after, max_entries, max_bytes);
    EXPECT_TRUE(result.ok()) << result.status();
    return result.ok() ? *result : LedgerReader::Result();
  }

  static std::string ReasonAt(LedgerReader* reader, const LedgerPosition& after,
                              absl::StatusCode code) {
    absl::Status status = reader->ReadAfter(after, kManyEntries, kManyBytes).status();
    EXPECT_EQ(status.code(), code) << status;
    return ErrorReason(status).value_or("none");
  }

  static void Run(Connection* connection, const std::string& sql) {
    absl::StatusOr<int64_t> result = connection->Execute(sql);
    ASSERT_TRUE(result.ok()) << result.status();
  }

  static std::vector<int64_t> Sequences(const std::vector<LedgerEntry>& entries) {
    std::vector<int64_t> sequences;
    for (const LedgerEntry& entry : entries) sequences.push_back(entry.sequence);
    return sequences;
  }
};

CTLSTORE_FOR_BOTH_KINDS(LedgerReaderTest);

TEST_P(LedgerReaderTest, ReadsWhatWasAppended) {
  std::unique_ptr<Connection> connection = OpenReady();
  LedgerReader reader(target_, options_);
  EXPECT_THAT(MustRead(&reader, 0), IsEmpty());
  EXPECT_EQ(*reader.LastSequence(), 0);
  const std::string odd = "REPLACE INTO x VALUES('it''s \\ \xF0\x9F\x98\x80 \n')";
  Append(connection.get(), {"one", odd, "three"});
  const std::vector<LedgerEntry> entries = MustRead(&reader, 0);
  ASSERT_THAT(Sequences(entries), ElementsAre(1, 2, 3));
  EXPECT_EQ(entries[1].statement, odd);
  EXPECT_THAT(entries[0].leader_time,
              MatchesRegex("[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3,6}"));
  EXPECT_THAT(Sequences(MustRead(&reader, 2)), ElementsAre(3));
  EXPECT_THAT(MustRead(&reader, 3), IsEmpty());
  EXPECT_EQ(*reader.LastSequence(), 3);
  EXPECT_EQ(reader.gaps(), 0);
}

TEST_P(LedgerReaderTest, StopsAtTheGivenNumberOfEntries) {
  std::unique_ptr<Connection> connection = OpenReady();
  Append(connection.get(), std::vector<std::string>(40, "x"));
  LedgerReader reader(target_, options_);
  for (size_t max_entries : {1, 15, 16, 17, 39, 40}) {
    EXPECT_EQ(MustRead(&reader, 0, max_entries).size(), max_entries);
  }
  EXPECT_EQ(MustRead(&reader, 0, 41).size(), 40u);
  int64_t position = 0;
  while (true) {
    const std::vector<LedgerEntry> entries = MustRead(&reader, position, 7);
    if (entries.empty()) break;
    for (const LedgerEntry& entry : entries) ASSERT_EQ(entry.sequence, ++position);
  }
  EXPECT_EQ(position, 40);
}

TEST_P(LedgerReaderTest, StopsBehindTheGivenNumberOfBytes) {
  std::unique_ptr<Connection> connection = OpenReady();
  Append(connection.get(), std::vector<std::string>(100, std::string(1000, 'x')));
  LedgerReader reader(target_, options_);
  EXPECT_EQ(MustRead(&reader, 0, kManyEntries, 1).size(), 1u);
  EXPECT_EQ(MustRead(&reader, 0, kManyEntries, 0).size(), 1u);
  EXPECT_EQ(MustRead(&reader, 0, kManyEntries, 1000).size(), 1u);
  EXPECT_EQ(MustRead(&reader, 0, kManyEntries, 1001).size(), 2u);
  EXPECT_EQ(MustRead(&reader, 0, kManyEntries, 55500).size(), 56u);
  EXPECT_EQ(MustRead(&reader, 0, kManyEntries, 200000).size(), 100u);
  // What was left out comes next.
  EXPECT_THAT(Sequences(MustRead(&reader, 2, kManyEntries, 1001)), ElementsAre(3, 4));
}

TEST_P(LedgerReaderTest, ReadsTheLargestStatements) {
  std::unique_ptr<Connection> connection = OpenReady();
  std::vector<std::string> statements;
  for (int i = 0; i < 20; ++i) statements.push_back(std::string(768 * 1024 - i, 'a' + i));
  Append(connection.get(), statements);
  LedgerReader reader(target_, options_);
  const std::vector<LedgerEntry> entries = MustRead(&reader, 0);
  ASSERT_EQ(entries.size(), statements.size());
  for (size_t i = 0; i < entries.size(); ++i) EXPECT_EQ(entries[i].statement, statements[i]);
}

TEST_P(LedgerReaderTest, AcceptsAndCountsAGapThatStays) {
  std::unique_ptr<Connection> connection = OpenReady();
  Append(connection.get(), std::vector<std::string>(50, "x"));
  ASSERT_TRUE(connection->Execute("DELETE FROM ctlstore_dml_ledger WHERE seq IN (5, 6, 20)").ok());
  LedgerReader reader(target_, options_);
  const std::vector<LedgerEntry> entries = MustRead(&reader, 0);
  EXPECT_EQ(entries.size(), 47u);
  EXPECT_EQ(entries[3].sequence, 4);
  EXPECT_EQ(entries[4].sequence, 7);
  EXPECT_EQ(entries.back().sequence, 50);
  EXPECT_EQ(reader.gaps(), 2);
  // A gap at the very beginning of a read is one as well.
  EXPECT_THAT(Sequences(MustRead(&reader, 19, 2)), ElementsAre(21, 22));
  EXPECT_EQ(reader.gaps(), 3);
  EXPECT_THAT(Sequences(MustRead(&reader, 21, 2)), ElementsAre(22, 23));
  EXPECT_EQ(reader.gaps(), 3);
}

TEST_P(LedgerReaderTest, KnowsTheEndOfTheLedger) {
  std::unique_ptr<Connection> connection = OpenReady();
  LedgerReader reader(target_, options_);
  LedgerReader::Result empty = MustReadAll(&reader, {});
  EXPECT_TRUE(empty.at_end);
  EXPECT_EQ(empty.last_sequence, 0);
  Append(connection.get(), std::vector<std::string>(40, "x"));

  LedgerReader::Result all = MustReadAll(&reader, {});
  EXPECT_TRUE(all.at_end);
  EXPECT_EQ(all.last_sequence, 40);
  LedgerReader::Result none = MustReadAll(&reader, {40, ""});
  EXPECT_TRUE(none.at_end);
  EXPECT_EQ(none.last_sequence, 40);
  EXPECT_THAT(none.entries, IsEmpty());

  LedgerReader::Result some = MustReadAll(&reader, {10, ""}, 20);
  EXPECT_EQ(some.entries.size(), 20u);
  EXPECT_FALSE(some.at_end);
  EXPECT_EQ(some.last_sequence, 40);
  some = MustReadAll(&reader, {10, ""}, kManyEntries, 5);
  EXPECT_EQ(some.entries.size(), 5u);
  EXPECT_FALSE(some.at_end);
  // Of those that are in one query's reach, the last one too is known to be the last.
  EXPECT_TRUE(MustReadAll(&reader, {10, ""}, 31).at_end);
  EXPECT_TRUE(MustReadAll(&reader, {39, ""}, 2).at_end);
}

TEST_P(LedgerReaderTest, AsksForTheLastSequenceAtOnceAndThenSeldom) {
  std::unique_ptr<Connection> connection = OpenReady();
  Append(connection.get(), std::vector<std::string>(30, "x"));
  LedgerReader reader(target_, options_);
  EXPECT_EQ(MustReadAll(&reader, {}, 5).last_sequence, 30);
  Append(connection.get(), std::vector<std::string>(5, "x"));
  int64_t last = 0;
  // Never less than what is known, and in the end what is there.
  while (last != 35) {
    const LedgerReader::Result some = MustReadAll(&reader, {}, 5);
    ASSERT_GE(some.last_sequence, last);
    last = some.last_sequence;
  }
}

TEST_P(LedgerReaderTest, TellsItsPositionFromAnotherOne) {
  std::unique_ptr<Connection> connection = OpenReady();
  Append(connection.get(), {"one", "two", "three"});
  LedgerReader reader(target_, options_);
  const std::vector<LedgerEntry> entries = MustRead(&reader, 0);
  for (const LedgerEntry& entry : entries) {
    const LedgerReader::Result rest = MustReadAll(&reader, PositionAfter(entry));
    EXPECT_EQ(rest.entries.size(), static_cast<size_t>(3 - entry.sequence));
    LedgerPosition other = PositionAfter(entry);
    other.digest[15] ^= 1;
    EXPECT_EQ(ReasonAt(&reader, other, absl::StatusCode::kFailedPrecondition),
              reason::kLedgerDiverged);
  }
  EXPECT_EQ(reader.gaps(), 0);
}

TEST_P(LedgerReaderTest, GoesOnBehindAPositionWhoseEntryIsGone) {
  std::unique_ptr<Connection> connection = OpenReady();
  Append(connection.get(), std::vector<std::string>(10, "x"));
  LedgerReader reader(target_, options_);
  const LedgerPosition fifth = PositionAfter(MustRead(&reader, 4, 1).front());
  Run(connection.get(), "DELETE FROM ctlstore_dml_ledger WHERE seq <= 5");
  EXPECT_THAT(Sequences(MustReadAll(&reader, fifth).entries), ElementsAre(6, 7, 8, 9, 10));
  EXPECT_THAT(Sequences(MustReadAll(&reader, fifth, 1).entries), ElementsAre(6));
  EXPECT_FALSE(MustReadAll(&reader, fifth, 1).at_end);
  EXPECT_THAT(Sequences(MustReadAll(&reader, fifth, 4).entries), ElementsAre(6, 7, 8, 9));
  EXPECT_EQ(reader.gaps(), 0);
}

TEST_P(LedgerReaderTest, SaysThatALedgerIsPruned) {
  std::unique_ptr<Connection> connection = OpenReady();
  Append(connection.get(), std::vector<std::string>(10, "x"));
  Run(connection.get(), "DELETE FROM ctlstore_dml_ledger WHERE seq <= 5");
  LedgerReader reader(target_, options_);
  for (const LedgerPosition& position :
       {LedgerPosition{}, LedgerPosition{1, ""}, LedgerPosition{4, "some digest"}}) {
    EXPECT_EQ(ReasonAt(&reader, position, absl::StatusCode::kFailedPrecondition),
              reason::kLedgerPruned);
  }
  EXPECT_EQ(reader.gaps(), 0);
  // The same reader goes on where it can.
  EXPECT_EQ(MustRead(&reader, 5).size(), 5u);
}

TEST_P(LedgerReaderTest, SaysThatALedgerIsBehind) {
  std::unique_ptr<Connection> connection = OpenReady();
  LedgerReader reader(target_, options_);
  EXPECT_EQ(ReasonAt(&reader, {1, ""}, absl::StatusCode::kUnavailable), reason::kLedgerBehind);
  Append(connection.get(), std::vector<std::string>(3, "x"));
  EXPECT_EQ(ReasonAt(&reader, {4, ""}, absl::StatusCode::kUnavailable), reason::kLedgerBehind);
  EXPECT_EQ(ReasonAt(&reader, {1000, ""}, absl::StatusCode::kUnavailable), reason::kLedgerBehind);
  EXPECT_THAT(MustRead(&reader, 3), IsEmpty());
}

TEST_P(LedgerReaderTest, BeginsWhereItIsToldThatTheLedgerBegins) {
  std::unique_ptr<Connection> connection = OpenReady();
  Append(connection.get(), std::vector<std::string>(5, "x"));
  LedgerReader::Options from_third;
  from_third.first_sequence = 3;
  LedgerReader reader(target_, options_, from_third);
  // What is there in addition is not left out.
  EXPECT_EQ(MustRead(&reader, 0).size(), 5u);
  Run(connection.get(), "DELETE FROM ctlstore_dml_ledger WHERE seq < 3");
  EXPECT_THAT(Sequences(MustRead(&reader, 0)), ElementsAre(3, 4, 5));
  EXPECT_EQ(reader.gaps(), 0);
  Run(connection.get(), "DELETE FROM ctlstore_dml_ledger WHERE seq = 3");
  EXPECT_EQ(ReasonAt(&reader, {}, absl::StatusCode::kFailedPrecondition), reason::kLedgerPruned);
}

TEST_P(LedgerReaderTest, RecognisesALedgerThatWasRestoredUnderIt) {
  std::unique_ptr<Connection> connection = OpenReady();
  Append(connection.get(), {"a", "b", "c", "d"});
  LedgerReader reader(target_, options_);
  const std::vector<LedgerEntry> entries = MustRead(&reader, 0);
  const LedgerPosition second = PositionAfter(entries[1]);
  const LedgerPosition fourth = PositionAfter(entries[3]);
  Run(connection.get(), "DELETE FROM ctlstore_dml_ledger WHERE seq > 2");
  EXPECT_EQ(ReasonAt(&reader, fourth, absl::StatusCode::kUnavailable), reason::kLedgerBehind);
  Append(connection.get(), {"other c"});
  EXPECT_EQ(ReasonAt(&reader, fourth, absl::StatusCode::kUnavailable), reason::kLedgerBehind);
  Append(connection.get(), {"other d"});
  EXPECT_EQ(ReasonAt(&reader, fourth, absl::StatusCode::kFailedPrecondition),
            reason::kLedgerDiverged);
  Append(connection.get(), {"other e"});
  EXPECT_EQ(ReasonAt(&reader, fourth, absl::StatusCode::kFailedPrecondition),
            reason::kLedgerDiverged);
  EXPECT_THAT(Sequences(MustReadAll(&reader, second).entries), ElementsAre(3, 4, 5));
  EXPECT_EQ(MustReadAll(&reader, second, 1).last_sequence, 5);
}

TEST_P(LedgerReaderTest, EndsWhenItIsCancelled) {
  std::unique_ptr<Connection> connection = OpenReady();
  Append(connection.get(), {"x"});
  LedgerReader reader(target_, options_);
  EXPECT_EQ(MustRead(&reader, 0).size(), 1u);
  reader.Cancel();
  EXPECT_EQ(reader.ReadAfter({}, 1, 1).status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(reader.LastSequence().status().code(), absl::StatusCode::kCancelled);
  LedgerReader never_connected(target_, options_);
  never_connected.Cancel();
  EXPECT_EQ(never_connected.LastSequence().status().code(), absl::StatusCode::kCancelled);
}

TEST_P(LedgerReaderTest, ReadsTimesWithoutAFraction) {
  std::unique_ptr<Connection> connection = OpenReady();
  if (is_mariadb()) {
    ASSERT_TRUE(
        connection->Execute("ALTER TABLE ctlstore_dml_ledger MODIFY leader_ts DATETIME").ok());
  }
  ASSERT_TRUE(connection
                  ->Execute("INSERT INTO ctlstore_dml_ledger (seq, leader_ts, statement) "
                            "VALUES (1, '2024-02-29 01:02:03', 'x')")
                  .ok());
  LedgerReader reader(target_, options_);
  const std::vector<LedgerEntry> entries = MustRead(&reader, 0);
  ASSERT_EQ(entries.size(), 1u);
  EXPECT_EQ(entries[0].leader_time, "2024-02-29 01:02:03");
}

TEST_P(LedgerReaderTest, WaitsForAnExecutiveToSetTheCtldbUp) {
  LedgerReader reader(target_, options_);
  EXPECT_EQ(ErrorReason(reader.ReadAfter({}, 1, 1).status()), reason::kCtldbUnavailable);
  std::unique_ptr<Connection> connection = Open();
  absl::Status status = reader.ReadAfter({}, 1, 1).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
  EXPECT_EQ(ErrorReason(status), reason::kCtldbUnavailable);
  EXPECT_EQ(ErrorReason(reader.LastSequence().status()), reason::kCtldbUnavailable);
  connection = OpenReady();
  Append(connection.get(), {"x"});
  EXPECT_EQ(MustRead(&reader, 0).size(), 1u);
}

TEST_P(LedgerReaderTest, ChangesNothing) {
  // A file that is not there is not made.
  if (is_mariadb()) GTEST_SKIP() << "there is no file";
  LedgerReader reader(target_, options_);
  EXPECT_FALSE(reader.LastSequence().ok());
  EXPECT_NE(access(target_.path.c_str(), F_OK), 0);
}

TEST(LedgerReaderMariadbTest, ComesBackWithTheServer) {
  const Target target = NewTarget(Target::Kind::kMariadb);
  std::unique_ptr<Connection> connection = MustOpen(target);
  ASSERT_TRUE(EnsureOwnTables(connection.get()).ok());
  ASSERT_TRUE(connection->Execute("INSERT INTO ctlstore_dml_ledger (statement) VALUES ('x')").ok());
  LedgerReader reader(target, {});
  EXPECT_EQ(reader.ReadAfter({}, 10, 10)->entries.size(), 1u);
  ASSERT_TRUE(SharedMariadbServer()->Restart().ok());
  absl::Status lost = reader.ReadAfter({}, 10, 10).status();
  EXPECT_EQ(ErrorReason(lost), reason::kCtldbUnavailable) << lost;
  EXPECT_EQ(reader.ReadAfter({}, 10, 10)->entries.size(), 1u);

  SharedMariadbServer()->Kill();
  EXPECT_EQ(ErrorReason(reader.ReadAfter({}, 10, 10).status()), reason::kCtldbUnavailable);
  EXPECT_EQ(ErrorReason(reader.ReadAfter({}, 10, 10).status()), reason::kCtldbUnavailable);
  ASSERT_TRUE(SharedMariadbServer()->Restart().ok());
  EXPECT_EQ(*reader.LastSequence(), 1);
}

TEST(LedgerReaderMariadbTest, EndsAQueryThatHangsWhenItIsCancelled) {
  const Target target = NewTarget(Target::Kind::kMariadb);
  std::unique_ptr<Connection> connection = MustOpen(target);
  ASSERT_TRUE(EnsureOwnTables(connection.get()).ok());
  ConnectionOptions options;
  options.io_timeout = absl::Hours(1);
  LedgerReader reader(target, options);
  ASSERT_TRUE(reader.LastSequence().ok());
  // The server takes what it is sent and says nothing.
  ASSERT_EQ(kill(SharedMariadbServer()->pid(), SIGSTOP), 0);
  absl::Notification asks;
  std::thread thread([&] {
    asks.Notify();
    EXPECT_EQ(reader.ReadAfter({}, 10, 10).status().code(), absl::StatusCode::kCancelled);
  });
  asks.WaitForNotification();
  absl::SleepFor(absl::Milliseconds(100));
  reader.Cancel();
  thread.join();
  ASSERT_EQ(kill(SharedMariadbServer()->pid(), SIGCONT), 0);
}

TEST(ConnectionInterruptTest, EndsALongQueryOfSqlite) {
  const Target target = NewTarget(Target::Kind::kSqlite);
  std::unique_ptr<Connection> connection = MustOpen(target);
  absl::Notification runs;
  std::thread thread([&] {
    runs.WaitForNotification();
    connection->Interrupt();
  });
  // Without an end.
  absl::Status status = connection->Query(
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n "
      "WHERE i = 1 OR i < 0",
      {}, [&](absl::Span<const ValueView>) {
        runs.Notify();
        return absl::OkStatus();
      });
  thread.join();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
  EXPECT_TRUE(connection->broken());
  EXPECT_FALSE(connection->Alive());
}

}  // namespace
}  // namespace ctlstore::ctldb
