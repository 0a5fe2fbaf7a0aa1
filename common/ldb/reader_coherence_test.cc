// Many threads read while all happens that can happen to a local database, and each read is
// compared with all that was ever written.
//
// CTLSTORE_CHECK_SECONDS in the environment says for how long; E2E_SEED repeats a run's random
// choices, though not the threads' order.

#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <iostream>
#include <random>
#include <thread>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/ldb/ldb_files.h"
#include "common/ldb/ldb_test_util.h"
#include "common/ldb/ldb_writer.h"
#include "common/ldb/proven_ledger.h"
#include "common/ldb/read_checker.h"
#include "common/ldb/read_history.h"
#include "common/ldb/reader.h"

namespace ctlstore::ldb {
namespace {

int64_t FromEnvironment(const char* name, int64_t otherwise) {
  const char* const text = std::getenv(name);
  int64_t number = otherwise;
  if (text != nullptr && !absl::SimpleAtoi(text, &number)) ADD_FAILURE() << name << "=" << text;
  return number;
}

// The reflector's side: applies the ledger, is restarted, checkpoints, and builds the file anew.
class Reflector {
 public:
  Reflector(std::string path, ProvenLedger* ledger, std::atomic<int64_t>* committed, uint32_t seed)
      : path_(std::move(path)),
        ledger_(*ledger),
        committed_(*committed),
        files_(path_, Clock::Real()),
        random_(seed) {
    options_.checkpoint_wal_bytes = 300000;
    writer_ = OpenWriter(path_, options_);
    // The tables are there from the beginning.
    for (int i = 0; i < 100; ++i) Step();
  }

  // Something happens.
  void Step() {
    const uint32_t kind = random_() % 1000;
    if (kind < 700) {
      Apply(1);
    } else if (kind < 940) {
      // Commits of many, and transactions that wait for their end.
      Apply(1 + random_() % 20);
    } else if (kind < 960) {
      EXPECT_TRUE(writer_->Checkpoint().ok());
    } else if (kind < 970) {
      EXPECT_TRUE(writer_->Idle().ok());
    } else if (kind < 985) {
      Restart();
    } else if (kind < 995) {
      BuildAnew();
    } else {
      Pause(20000);
    }
    if (random_() % 2 == 0) Pause(2000);
  }

  int restarts() const { return restarts_; }
  int built() const { return built_; }

 private:
  void Apply(int transactions) {
    std::vector<LedgerEntry> entries;
    for (int i = 0; i < transactions; ++i) {
      for (LedgerEntry& entry : ledger_.Next()) entries.push_back(std::move(entry));
    }
    const absl::Span<const LedgerEntry> all(entries);
    const size_t first = random_() % 3 == 0 ? random_() % entries.size() : 0;
    for (const absl::Span<const LedgerEntry>& part : {all.subspan(0, first), all.subspan(first)}) {
      const absl::Status status = writer_->Apply(part);
      ASSERT_TRUE(status.ok()) << status;
    }
    ASSERT_EQ(writer_->applied_sequence(), ledger_.last_sequence());
    committed_ = ledger_.last_sequence();
  }

  void Restart() {
    writer_.reset();
    Pause(20000);
    writer_ = OpenWriter(path_, options_);
    ++restarts_;
  }

  // As a reflector does: nobody writes the old file from the beginning on, and the new one is
  // closed when it is put in place, at the old one's sequence or later.
  void BuildAnew() {
    writer_.reset();
    absl::StatusOr<std::string> file = files_.NewGeneration();
    ASSERT_TRUE(file.ok()) << file.status();
    writer_ = OpenWriter(*file, options_);
    absl::Status status = writer_->Apply(ledger_.Whole());
    ASSERT_TRUE(status.ok()) << status;
    for (int further = static_cast<int>(random_() % 3); further > 0; --further) {
      status = writer_->Apply(ledger_.Next());
      ASSERT_TRUE(status.ok()) << status;
    }
    if (random_() % 2 == 0) {
      ASSERT_TRUE(writer_->Checkpoint().ok());
    }
    writer_.reset();
    status = files_.Publish(*file);
    ASSERT_TRUE(status.ok()) << status;
    committed_ = ledger_.last_sequence();
    status = files_.RemoveOld(random_() % 2 == 0 ? absl::ZeroDuration() : LdbFiles::kKeepOld);
    ASSERT_TRUE(status.ok()) << status;
    Pause(5000);
    writer_ = OpenWriter(path_, options_);
    ++built_;
  }

  // The moments at which things happen are random; nothing waits for anything.
  void Pause(uint32_t most_us) { absl::SleepFor(absl::Microseconds(random_() % most_us)); }

  const std::string path_;
  ProvenLedger& ledger_;
  std::atomic<int64_t>& committed_;
  LdbFiles files_;
  std::mt19937 random_;
  LdbWriter::Options options_;
  std::unique_ptr<LdbWriter> writer_;
  int restarts_ = 0;
  int built_ = 0;
};

TEST(ReaderCoherenceTest, NoReadIsOlderThanWhatWasKnownOrMixesTransactions) {
  const int64_t seconds = FromEnvironment("CTLSTORE_CHECK_SECONDS", 5);
  const uint32_t seed = static_cast<uint32_t>(
      FromEnvironment("E2E_SEED", static_cast<int64_t>(std::random_device()())));
  std::cout << "E2E_SEED=" << seed << " CTLSTORE_CHECK_SECONDS=" << seconds << std::endl;
  std::mt19937 random(seed);

  TestFolder folder;
  const std::string path = folder.Path("ldb.db");
  ReadHistory history;
  std::atomic<int64_t> committed{0};
  std::atomic<int64_t> seen{0};
  CheckedWorld world;
  world.tables = {{"fam", "hot", 1, 6, 6}, {"fam", "warm", 2, 8, 20}, {"fam", "large", 3, 2, 400}};
  world.history = &history;
  world.in_sequences = true;
  world.committed = &committed;
  world.seen = &seen;
  ProvenLedger ledger(world.tables, &history, random());
  Reflector reflector(path, &ledger, &committed, random());

  ReaderOptions usual;
  ReaderOptions without_cache;
  without_cache.cache_bytes = 0;
  without_cache.page_cache_bytes = 64 << 10;
  // Holds a few rows at most.
  ReaderOptions small;
  small.cache_bytes = 20 << 10;
  small.page_cache_bytes = 32 << 10;
  Reader cached(path, usual);
  Reader plain(path, without_cache);
  Reader evicting(path, small);
  // Used so seldom that much has changed each time.
  Reader idle(path, usual);

  std::atomic<bool> stop{false};
  std::atomic<int64_t> looks{0};
  std::atomic<int64_t> rows{0};
  absl::Mutex mutex;
  std::vector<std::string> errors;
  std::vector<std::thread> threads;
  for (int i = 0; i < 6; ++i) {
    threads.emplace_back([&, thread_seed = static_cast<uint32_t>(random())] {
      ReadChecker checker(&world, thread_seed);
      std::mt19937 choice(thread_seed + 1);
      while (!stop) {
        const uint32_t which = choice() % 1000;
        Reader* const reader = which < 450   ? &cached
                               : which < 650 ? &plain
                               : which < 999 ? &evicting
                                             : &idle;
        const std::string error = checker.Look(reader);
        if (error.empty()) continue;
        absl::MutexLock lock(&mutex);
        errors.push_back(error);
        stop = true;
      }
      looks += checker.looks();
      rows += checker.rows();
    });
  }
  const absl::Time end = absl::Now() + absl::Seconds(seconds);
  while (!stop && absl::Now() < end && !HasFatalFailure()) reflector.Step();
  stop = true;
  for (std::thread& thread : threads) thread.join();
  for (const std::string& error : errors) ADD_FAILURE() << error;

  // Something was checked, and the cache has answered.
  EXPECT_GT(rows, 0);
  const ReaderStats stats = cached.stats();
  EXPECT_GT(stats.cache_hits, 0);
  EXPECT_EQ(plain.stats().cache_hits, 0);
  std::cout << looks << " looks, " << rows << " rows, up to sequence " << ledger.last_sequence()
            << "; " << reflector.restarts() << " restarts, " << reflector.built()
            << " files; cache hits " << stats.cache_hits << ", misses " << stats.cache_misses
            << ", invalidated " << stats.cache_invalidated << " rows, "
            << stats.cache_tables_invalidated << " tables; evicted "
            << evicting.stats().cache_evicted << std::endl;
}

}  // namespace
}  // namespace ctlstore::ldb
