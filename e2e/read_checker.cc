// Reads a host's local database in all ways that the reader library has, while a test writes to the
// system, and compares each read with what the test has written. read_checker_test.py runs several.
//
//   read_checker LDB FOLDER SEED THREADS
//
// FOLDER has
//   tables   a line for each table: WORLD FAMILY TABLE NUMBER GROUPS MEMBERS. A world is what one
//            writer writes, one transaction after the other; they are its positions, from 1 on.
//   world<N> the history, in which a transaction stands before it is sent: its position, the number
//            of its facts, and for each a subject and its state; all of them 8 bytes,
//            little-endian.
//   shared   4 numbers of 8 bytes for each world, and 4 before them. The first one is not 0 when
//   all
//            end. A world's: a position that the local database has; the last that any process has
//            seen; the last that was acknowledged, times 2^32, and its sequence.
// What one process has seen is what another one's next read must have, too.

#include "common/ldb/read_checker.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "common/ldb/read_history.h"
#include "common/ldb/reader.h"

namespace ctlstore::ldb {
namespace {

constexpr size_t kNumbers = 4;

// A history that another process writes.
class WrittenHistory {
 public:
  explicit WrittenHistory(const std::string& path)
      : file_(open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
    if (file_ < 0) {
      std::cerr << "cannot open " << path << std::endl;
      std::exit(2);
    }
  }

  const ReadHistory& history() const { return history_; }

  void Refresh() {
    absl::MutexLock lock(&mutex_);
    struct stat status;
    if (fstat(file_, &status) != 0) std::abort();
    std::vector<int64_t> numbers((static_cast<size_t>(status.st_size) - offset_) / sizeof(int64_t));
    const ssize_t bytes =
        pread(file_, numbers.data(), numbers.size() * sizeof(int64_t), static_cast<off_t>(offset_));
    if (bytes < 0) std::abort();
    numbers.resize(static_cast<size_t>(bytes) / sizeof(int64_t));
    size_t begin = 0;
    while (numbers.size() >= begin + 2) {
      const size_t end = begin + 2 + 2 * static_cast<size_t>(numbers[begin + 1]);
      if (numbers.size() < end) break;
      std::vector<ReadHistory::Fact> facts;
      for (size_t i = begin + 2; i < end; i += 2) facts.push_back({numbers[i], numbers[i + 1]});
      history_.Record(numbers[begin], facts);
      begin = end;
    }
    offset_ += begin * sizeof(int64_t);
  }

 private:
  const int file_;
  absl::Mutex mutex_;
  size_t offset_ ABSL_GUARDED_BY(mutex_) = 0;
  ReadHistory history_;
};

std::atomic<int64_t>* MapShared(const std::string& path, size_t numbers) {
  const int file = open(path.c_str(), O_RDWR | O_CLOEXEC);
  void* const mapped =
      mmap(nullptr, numbers * sizeof(int64_t), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (file < 0 || mapped == MAP_FAILED) {
    std::cerr << "cannot map " << path << std::endl;
    std::exit(2);
  }
  return static_cast<std::atomic<int64_t>*>(mapped);
}

int Run(const std::string& ldb, const std::string& folder, uint32_t seed, int threads) {
  std::vector<CheckedWorld> worlds;
  std::ifstream tables(folder + "/tables");
  ProvenTable table;
  for (size_t world = 0; tables >> world >> table.family >> table.name >> table.number >>
                         table.groups >> table.members;) {
    if (worlds.size() <= world) worlds.resize(world + 1);
    worlds[world].tables.push_back(table);
  }
  std::atomic<int64_t>* const shared =
      MapShared(folder + "/shared", kNumbers * (worlds.size() + 1));
  std::vector<std::unique_ptr<WrittenHistory>> histories;
  for (size_t i = 0; i < worlds.size(); ++i) {
    histories.push_back(std::make_unique<WrittenHistory>(absl::StrCat(folder, "/world", i)));
    worlds[i].history = &histories[i]->history();
    worlds[i].refresh = [history = histories[i].get()] { history->Refresh(); };
    worlds[i].committed = &shared[kNumbers * (i + 1)];
    worlds[i].seen = &shared[kNumbers * (i + 1) + 1];
    worlds[i].acknowledged = &shared[kNumbers * (i + 1) + 2];
  }

  ReaderOptions without_cache;
  without_cache.cache_bytes = 0;
  // Holds a few rows at most.
  ReaderOptions small;
  small.cache_bytes = 20 << 10;
  small.page_cache_bytes = 32 << 10;
  Reader cached(ldb);
  Reader plain(ldb, without_cache);
  Reader evicting(ldb, small);

  std::atomic<int64_t> looks{0};
  std::atomic<int64_t> rows{0};
  std::atomic<bool> failed{false};
  std::vector<std::thread> running;
  for (int i = 0; i < threads; ++i) {
    running.emplace_back([&, i] {
      std::mt19937 random(seed + static_cast<uint32_t>(i));
      std::vector<std::unique_ptr<ReadChecker>> checkers;
      for (const CheckedWorld& world : worlds) {
        checkers.push_back(std::make_unique<ReadChecker>(&world, random()));
      }
      while (shared[0] == 0) {
        ReadChecker* const checker = checkers[random() % checkers.size()].get();
        const uint32_t which = random() % 1000;
        std::string error;
        if (which == 0) {
          // Programs come and go.
          Reader fresh(ldb);
          for (int look = 0; look < 20 && error.empty(); ++look) error = checker->Look(&fresh);
          checker->LetGo();
        } else {
          error = checker->Look(which < 500 ? &cached : which < 700 ? &plain : &evicting);
        }
        if (error.empty()) continue;
        std::cerr << absl::StrCat("FINDING ", error, "\n") << std::flush;
        failed = true;
        break;
      }
      for (const std::unique_ptr<ReadChecker>& checker : checkers) {
        looks += checker->looks();
        rows += checker->rows();
      }
    });
  }
  for (std::thread& thread : running) thread.join();
  const ReaderStats stats = cached.stats();
  std::cerr << looks << " looks, " << rows << " rows; cache_hits=" << stats.cache_hits
            << " misses=" << stats.cache_misses << " invalidated=" << stats.cache_invalidated
            << " rows and " << stats.cache_tables_invalidated << " tables, " << stats.files_replaced
            << " files replaced" << std::endl;
  return failed ? 1 : 0;
}

}  // namespace
}  // namespace ctlstore::ldb

int main(int argc, char** argv) {
  uint32_t seed = 0;
  int threads = 0;
  if (argc != 5 || !absl::SimpleAtoi(argv[3], &seed) || !absl::SimpleAtoi(argv[4], &threads)) {
    std::cerr << "usage: read_checker LDB FOLDER SEED THREADS" << std::endl;
    return 2;
  }
  return ctlstore::ldb::Run(argv[1], argv[2], seed, threads);
}
