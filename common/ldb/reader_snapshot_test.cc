// One state of the database for several reads, and for how long.

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/ldb/ldb_test_util.h"
#include "common/ldb/ldb_writer.h"
#include "common/ldb/reader.h"
#include "common/schema/errors.h"

namespace ctlstore::ldb {
namespace {

constexpr int kRows = 5;

class ReaderSnapshotTest : public testing::Test {
 protected:
  ReaderSnapshotTest() : path_(folder_.Path("ldb.db")), writer_(OpenWriter(path_)) {
    Apply("CREATE TABLE fam___tbl (\"a\" INTEGER, \"b\" INTEGER, PRIMARY KEY(\"a\"));");
    for (int i = 0; i < kRows; ++i) Write(i, 0);
  }

  void Apply(const std::string& statement) {
    ledger_.Add(statement);
    ASSERT_TRUE(writer_->Apply(ledger_.Take()).ok());
  }
  void Write(int key, int value) {
    Apply(absl::StrCat("REPLACE INTO fam___tbl (\"a\",\"b\") VALUES(", key, ",", value, ")"));
  }

  static int64_t ValueOf(const absl::StatusOr<Row>& row) {
    EXPECT_TRUE(row.ok()) << row.status();
    return row.ok() && row->exists() ? *row->GetInteger("b") : -1;
  }

  // Waits until `read` fails because the state is let go of.
  static absl::Status WaitUntilItFails(const std::function<absl::Status()>& read) {
    const absl::Time deadline = absl::Now() + absl::Seconds(60);
    absl::Status status;
    while ((status = read()).ok() && absl::Now() < deadline) absl::SleepFor(absl::Milliseconds(5));
    return status;
  }

  TestFolder folder_;
  const std::string path_;
  std::unique_ptr<LdbWriter> writer_;
  TestLedger ledger_;
};

TEST_F(ReaderSnapshotTest, CommitsAndWhatIsCachedSinceDoNotShowInIt) {
  for (size_t cache_bytes : {size_t{0}, size_t{1} << 20}) {
    ReaderOptions options;
    options.cache_bytes = cache_bytes;
    Reader reader(path_, options);
    for (int i = 0; i < kRows; ++i) Write(i, 1);
    // Some rows are cached before it.
    EXPECT_EQ(ValueOf(reader.GetRow("fam", "tbl", {0})), 1);
    absl::StatusOr<Snapshot> before = reader.GetSnapshot();
    ASSERT_TRUE(before.ok()) << before.status();
    EXPECT_EQ(ValueOf(before->GetRow("fam", "tbl", {1})), 1);
    for (int i = 0; i < kRows; ++i) Write(i, 2);
    Apply("DELETE FROM fam___tbl WHERE \"a\" = 4");
    for (int round = 0; round < 2; ++round) {
      for (int i = 0; i < kRows; ++i) {
        EXPECT_EQ(ValueOf(reader.GetRow("fam", "tbl", {i})), i == 4 ? -1 : 2) << i;
        EXPECT_EQ(ValueOf(before->GetRow("fam", "tbl", {i})), 1) << i;
        EXPECT_EQ(ValueOf(reader.GetRow("fam", "tbl", {i})), i == 4 ? -1 : 2) << i;
      }
    }
    EXPECT_EQ(before->sequence() + kRows + 1, *reader.GetSequence());
    Write(4, 0);
  }
}

TEST_F(ReaderSnapshotTest, ATableThatIsDroppedIsStillThere) {
  Reader reader(path_);
  absl::StatusOr<Snapshot> before = reader.GetSnapshot();
  ASSERT_TRUE(before.ok()) << before.status();
  EXPECT_EQ(ValueOf(before->GetRow("fam", "tbl", {0})), 0);
  Apply("DROP TABLE IF EXISTS fam___tbl");
  EXPECT_TRUE(absl::IsNotFound(reader.GetRow("fam", "tbl", {0}).status()));
  EXPECT_EQ(ValueOf(before->GetRow("fam", "tbl", {0})), 0);
  EXPECT_EQ(before->ListTables()->size(), 1u);
  EXPECT_TRUE(reader.ListTables()->empty());
}

TEST_F(ReaderSnapshotTest, ListsInItAreOfItsState) {
  Reader reader(path_);
  absl::StatusOr<Snapshot> before = reader.GetSnapshot();
  ASSERT_TRUE(before.ok()) << before.status();
  RowIterator first = before->ListRows("fam", "tbl", {});
  ASSERT_TRUE(first.Next());
  for (int i = 0; i < kRows; ++i) Write(i, 1);
  // Two lists of one kind at a time.
  RowIterator second = before->ListRows("fam", "tbl", {});
  int rows = 1;
  while (first.Next()) {
    ASSERT_TRUE(second.Next());
    EXPECT_EQ(*first.row().GetInteger("b"), 0);
    EXPECT_EQ(*second.row().GetInteger("b"), 0);
    ++rows;
  }
  EXPECT_EQ(rows, kRows);
  EXPECT_TRUE(first.status().ok()) << first.status();
}

TEST_F(ReaderSnapshotTest, IsLetGoOfWhenItsTimeIsUp) {
  ReaderOptions options;
  options.max_hold = absl::Milliseconds(10);
  Reader reader(path_, options);
  // Also where nothing changes, and all that is read is cached.
  absl::StatusOr<Snapshot> snapshot = reader.GetSnapshot();
  ASSERT_TRUE(snapshot.ok()) << snapshot.status();
  const absl::Status failed =
      WaitUntilItFails([&] { return snapshot->GetRow("fam", "tbl", {1}).status(); });
  EXPECT_TRUE(absl::IsAborted(failed)) << failed;
  EXPECT_EQ(ErrorReason(failed), std::string(reason::kSnapshotExpired));

  RowIterator rows = reader.ListRows("fam", "tbl", {});
  ASSERT_TRUE(rows.Next());
  const std::vector<Value> last = rows.key();
  // The writer can empty its log although the list is not at its end.
  Write(1, 1);
  const absl::Time deadline = absl::Now() + absl::Seconds(60);
  while (writer_->wal().checkpoints == 0 && absl::Now() < deadline) {
    ASSERT_TRUE(writer_->Checkpoint().ok());
  }
  EXPECT_GT(writer_->wal().checkpoints, 0);
  EXPECT_FALSE(rows.Next());
  EXPECT_EQ(ErrorReason(rows.status()), std::string(reason::kSnapshotExpired));
  // It goes on from where it was.
  const std::vector<ValueView> after(last.begin(), last.end());
  ListOptions rest;
  rest.after = after;
  RowIterator more = reader.ListRows("fam", "tbl", {}, rest);
  int count = 0;
  while (more.Next()) ++count;
  EXPECT_EQ(count, kRows - 1);
}

TEST_F(ReaderSnapshotTest, AnIdleReaderDoesNotKeepTheLogFromBeingEmptied) {
  Reader reader(path_);
  EXPECT_EQ(ValueOf(reader.GetRow("fam", "tbl", {1})), 0);
  Write(1, 1);
  const absl::Time deadline = absl::Now() + absl::Seconds(60);
  while (writer_->wal().checkpoints == 0 && absl::Now() < deadline) {
    ASSERT_TRUE(writer_->Checkpoint().ok());
  }
  EXPECT_GT(writer_->wal().checkpoints, 0);
  EXPECT_EQ(ValueOf(reader.GetRow("fam", "tbl", {1})), 1);
}

}  // namespace
}  // namespace ctlstore::ldb
