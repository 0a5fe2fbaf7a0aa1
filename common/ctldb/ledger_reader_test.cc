#include "common/ctldb/ledger_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <string>
#include <vector>

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
    absl::StatusOr<std::vector<LedgerEntry>> entries =
        reader->ReadAfter(after, max_entries, max_bytes);
    EXPECT_TRUE(entries.ok()) << entries.status();
    return entries.ok() ? *entries : std::vector<LedgerEntry>{};
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
  EXPECT_EQ(ErrorReason(reader.ReadAfter(0, 1, 1).status()), reason::kCtldbUnavailable);
  std::unique_ptr<Connection> connection = Open();
  absl::Status status = reader.ReadAfter(0, 1, 1).status();
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
  EXPECT_EQ(reader.ReadAfter(0, 10, 10)->size(), 1u);
  ASSERT_TRUE(SharedMariadbServer()->Restart().ok());
  absl::Status lost = reader.ReadAfter(0, 10, 10).status();
  EXPECT_EQ(ErrorReason(lost), reason::kCtldbUnavailable) << lost;
  EXPECT_EQ(reader.ReadAfter(0, 10, 10)->size(), 1u);

  SharedMariadbServer()->Kill();
  EXPECT_EQ(ErrorReason(reader.ReadAfter(0, 10, 10).status()), reason::kCtldbUnavailable);
  EXPECT_EQ(ErrorReason(reader.ReadAfter(0, 10, 10).status()), reason::kCtldbUnavailable);
  ASSERT_TRUE(SharedMariadbServer()->Restart().ok());
  EXPECT_EQ(*reader.LastSequence(), 1);
}

}  // namespace
}  // namespace ctlstore::ctldb
