// Kills processes that write a local database, at any moment, and looks at what they leave.

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <map>
#include <random>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/ldb/ldb_test_util.h"
#include "common/ldb/ldb_writer.h"
#include "common/ldb/reader.h"

namespace ctlstore::ldb {
namespace {

constexpr int kKeys = 40;
constexpr int kKills = 30;

// A ledger of transactions of 1 to 8 statements over few keys. The state after each whole ledger
// transaction is known.
class KnownLedger {
 public:
  explicit KnownLedger(int transactions) {
    std::mt19937 random(1);
    ledger_.Add(
        "CREATE TABLE fam___tbl (\"a\" INTEGER, \"b\" VARCHAR(191), \"c\" INTEGER, PRIMARY "
        "KEY(\"a\",\"b\"));");
    Record();
    for (int i = 0; i < transactions; ++i) {
      const int statements = 1 + random() % 8;
      if (statements > 1) ledger_.Begin();
      for (int j = 0; j < statements; ++j) {
        const int64_t key = random() % kKeys;
        if (random() % 4 == 0) {
          ledger_.Add(
              absl::StrCat("DELETE FROM fam___tbl WHERE \"a\" = ", key, " AND \"b\" = 'k'"));
          state_.erase(key);
        } else {
          ledger_.Add(absl::StrCat("REPLACE INTO fam___tbl (\"a\",\"b\",\"c\") VALUES(", key,
                                   ",'k',", i, ")"));
          state_[key] = i;
        }
      }
      if (statements > 1) ledger_.Commit();
      Record();
    }
  }

  const TestLedger& ledger() const { return ledger_; }
  int64_t size() const { return static_cast<int64_t>(ledger_.entries().size()); }

  // The rows after the ledger transaction that ends with `sequence`, or null where none does.
  const Rows* StateAt(int64_t sequence) const {
    const auto found = states_.find(sequence);
    return found == states_.end() ? nullptr : &found->second;
  }

 private:
  void Record() {
    Rows rows;
    for (const auto& [key, value] : state_) {
      rows.push_back({Value::Integer(key), Value::Text("k"), Value::Integer(value)});
    }
    states_[size()] = std::move(rows);
  }

  TestLedger ledger_;
  std::map<int64_t, int64_t> state_;
  std::map<int64_t, Rows> states_;
};

// Applies the ledger from where the LDB is, in pieces of random size. For a process of its own.
[[noreturn]] void WriteUntilKilled(const std::string& path, const KnownLedger& known,
                                   uint32_t seed) {
  std::mt19937 random(seed);
  LdbWriter::Options options;
  // Checkpoints are to be hit too.
  options.checkpoint_wal_bytes = 100000;
  absl::StatusOr<std::unique_ptr<LdbWriter>> writer = LdbWriter::Open(path, options);
  if (!writer.ok()) _exit(2);
  while ((*writer)->received_sequence() < known.size()) {
    if (!(*writer)
             ->Apply(known.ledger().After((*writer)->received_sequence(), 1 + random() % 12))
             .ok()) {
      _exit(3);
    }
  }
  _exit(0);
}

// `*last_sequence` is what was applied when this was looked at last; a process that dies loses
// nothing of that.
void ExpectKnownState(const std::string& path, const KnownLedger& known, int64_t* last_sequence) {
  const absl::StatusOr<Position> position = Reader(path).GetPosition();
  if (absl::IsUnavailable(position.status())) {
    EXPECT_EQ(*last_sequence, 0) << position.status();
    return;
  }
  ASSERT_TRUE(position.ok()) << position.status();
  EXPECT_GE(position->applied_sequence, *last_sequence);
  *last_sequence = position->applied_sequence;
  std::unique_ptr<sqlite::Database> database = OpenPlain(path);
  if (*last_sequence == 0) {
    EXPECT_TRUE(Contents(database.get()).empty());
    return;
  }
  const Rows* expected = known.StateAt(*last_sequence);
  ASSERT_NE(expected, nullptr) << *last_sequence << " is inside a ledger transaction";
  EXPECT_EQ(Query(database.get(), "SELECT * FROM fam___tbl ORDER BY a"), *expected)
      << "at sequence " << *last_sequence;
  EXPECT_EQ(Query(database.get(), "PRAGMA integrity_check"), (Rows{{Value::Text("ok")}}));
}

TEST(LdbWriterCrashTest, AKilledWriterLeavesAWholeLedgerPositionAndTheNextOneGoesOn) {
  TestFolder folder;
  const std::string path = folder.Path("ldb.db");
  const KnownLedger known(6000);
  std::mt19937 random(2);
  int kills = 0;
  int64_t last_sequence = 0;
  bool finished = false;
  for (uint32_t run = 0; !finished; ++run) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) WriteUntilKilled(path, known, run);
    if (kills < kKills) {
      // The moment of the kill is what is random here; nothing waits for anything.
      absl::SleepFor(absl::Microseconds(random() % 20000));
      kill(child, SIGKILL);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    if (WIFSIGNALED(status)) {
      ASSERT_EQ(WTERMSIG(status), SIGKILL);
      ++kills;
    } else {
      ASSERT_EQ(WEXITSTATUS(status), 0) << "the writer failed after " << kills << " kills";
      finished = true;
    }
    ASSERT_NO_FATAL_FAILURE(ExpectKnownState(path, known, &last_sequence));
  }
  EXPECT_GE(kills, kKills / 2) << "the writer was too fast to be killed";
  EXPECT_EQ(last_sequence, known.size());
}

}  // namespace
}  // namespace ctlstore::ldb
