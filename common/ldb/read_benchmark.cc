// Measures reads of one row and of ten, beside plain prepared statements on the same data laid out
// as a Go reader sees it, and beside LMDB; with the reflector idle, and while it commits. Prints
// `figure<TAB>value<TAB>unit`.
//
// Programs that are named as arguments are run too, each with the path of the local database and
// the number of rows in its table bench.items as arguments.

#include <fcntl.h>
#include <lmdb.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <memory>
#include <new>
#include <numeric>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "common/ldb/ldb_writer.h"
#include "common/ldb/reader.h"
#include "common/schema/table_schema.h"
#include "common/sql/ledger_statements.h"

namespace {

// Counts what the calling thread allocates.
thread_local int64_t allocations = 0;

void* Allocate(size_t size, size_t alignment) {
  ++allocations;
  void* const memory =
      alignment == 0 ? std::malloc(size)
                     : std::aligned_alloc(alignment, (size + alignment - 1) & ~(alignment - 1));
  if (memory == nullptr) std::abort();
  return memory;
}

}  // namespace

void* operator new(size_t size) { return Allocate(size, 0); }
void* operator new(size_t size, std::align_val_t alignment) {
  return Allocate(size, static_cast<size_t>(alignment));
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, size_t, std::align_val_t) noexcept { std::free(memory); }

namespace ctlstore::ldb {
namespace {

constexpr int kRows = 100000;
constexpr int kRowsPerGroup = 10;
constexpr int kGroups = kRows / kRowsPerGroup;
constexpr int kRounds = 9;
constexpr int kCommitsPerSecond = 100;
// Long enough for some commits to fall into each.
constexpr absl::Duration kTimePerFigure = absl::Milliseconds(60);
constexpr absl::Duration kTimeWithThreads = absl::Milliseconds(100);

void Check(const absl::Status& status) {
  if (status.ok()) return;
  std::cerr << status << "\n";
  std::exit(1);
}

void Expect(bool condition, absl::string_view otherwise) {
  if (condition) return;
  std::cerr << otherwise << "\n";
  std::exit(1);
}

void CheckSqlite(int code, sqlite3* db) {
  if (code != SQLITE_OK && code != SQLITE_DONE) Expect(false, sqlite3_errmsg(db));
}

void CheckLmdb(int code) {
  if (code != MDB_SUCCESS) Expect(false, mdb_strerror(code));
}

std::string RowKey(int i) { return absl::StrFormat("key-%08d", i); }
std::string GroupKey(int i) { return absl::StrFormat("group-%08d", i); }

TableSchema Items() {
  return *TableSchema::Create(
      "bench", "items",
      {{"code", FieldType::kString}, {"name", FieldType::kString}, {"amount", FieldType::kInteger}},
      {"code"});
}

TableSchema Members() {
  return *TableSchema::Create(
      "bench", "members",
      {{"team", FieldType::kString}, {"code", FieldType::kString}, {"amount", FieldType::kInteger}},
      {"team", "code"});
}

std::string ItemName(int i) { return absl::StrCat("the name of item ", i); }

std::string UpsertItem(const TableSchema& items, int i, int64_t amount) {
  return sql::UpsertStatement(items, {RowKey(i), ItemName(i), amount});
}

std::string UpsertMember(const TableSchema& members, int i, int64_t amount) {
  return sql::UpsertStatement(members, {GroupKey(i / kRowsPerGroup), RowKey(i), amount});
}

std::vector<LedgerEntry> Ledger() {
  std::vector<LedgerEntry> ledger;
  const auto add = [&ledger](std::string statement) {
    ledger.push_back(
        {static_cast<int64_t>(ledger.size()) + 1, "2024-01-01 00:00:00", std::move(statement)});
  };
  const TableSchema items = Items(), members = Members();
  add(sql::CreateTableStatement(items));
  add(sql::CreateTableStatement(members));
  // In random order, as data that grew over time has it.
  std::vector<int> order(kRows);
  std::iota(order.begin(), order.end(), 0);
  std::shuffle(order.begin(), order.end(), std::mt19937(1));
  for (int i : order) {
    add(UpsertItem(items, i, i));
    add(UpsertMember(members, i, i));
  }
  return ledger;
}

// The file that running the ledger's text as it stands makes.
void RunAsText(const std::string& path, const std::vector<LedgerEntry>& ledger) {
  sqlite3* db = nullptr;
  CheckSqlite(sqlite3_open(path.c_str(), &db), db);
  CheckSqlite(sqlite3_exec(db, "PRAGMA journal_mode=WAL; BEGIN", nullptr, nullptr, nullptr), db);
  for (const LedgerEntry& entry : ledger) {
    CheckSqlite(sqlite3_exec(db, entry.statement.c_str(), nullptr, nullptr, nullptr), db);
  }
  CheckSqlite(
      sqlite3_exec(db, "COMMIT; PRAGMA wal_checkpoint(TRUNCATE)", nullptr, nullptr, nullptr), db);
  sqlite3_close(db);
}

// What a reflector's process does to the local database: at first nothing but what it does when
// there is nothing to do. Each byte on standard input turns commits on or off; its end is the end.
void RunWriter(const std::string& path) {
  absl::StatusOr<std::unique_ptr<LdbWriter>> writer = LdbWriter::Open(path, {});
  Check(writer.status());
  std::atomic<bool> commits{false};
  std::thread commands([&commits] {
    char command;
    while (read(STDIN_FILENO, &command, 1) == 1) commits = command == 'c';
    std::_Exit(0);
  });
  Expect(write(STDOUT_FILENO, "r", 1) == 1, "the benchmark has ended");

  const TableSchema items = Items(), members = Members();
  std::mt19937 random(3);
  int64_t sequence = (*writer)->applied_sequence();
  absl::Time next = absl::Now();
  for (int tick = 0;; ++tick) {
    if (tick % kCommitsPerSecond == 0) Check((*writer)->Idle());
    if (commits) {
      std::vector<LedgerEntry> entries;
      // One row of each table that is measured.
      for (std::string statement :
           {std::string(kBeginMarker), UpsertItem(items, random() % kRows, sequence),
            UpsertMember(members, random() % kRows, sequence), std::string(kCommitMarker)}) {
        entries.push_back({++sequence, "2024-01-01 00:00:00", std::move(statement)});
      }
      Check((*writer)->Apply(entries));
    }
    next = std::max(next + absl::Seconds(1) / kCommitsPerSecond, absl::Now());
    absl::SleepFor(next - absl::Now());
  }
}

// That process, which ends with this one.
class WriterProcess {
 public:
  explicit WriterProcess(const std::string& path) {
    int in[2], out[2];
    Expect(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0, "cannot make pipes");
    pid_ = fork();
    Expect(pid_ >= 0, "cannot start a process");
    if (pid_ == 0) {
      dup2(in[0], STDIN_FILENO);
      dup2(out[1], STDOUT_FILENO);
      execl("/proc/self/exe", "read_benchmark", "--writer", path.c_str(), nullptr);
      std::_Exit(127);
    }
    close(in[0]);
    close(out[1]);
    commands_ = in[1];
    char ready;
    Expect(read(out[0], &ready, 1) == 1, "the writer's process has failed");
    close(out[0]);
  }
  ~WriterProcess() {
    close(commands_);
    waitpid(pid_, nullptr, 0);
  }

  void Commit(bool on) {
    Expect(write(commands_, on ? "c" : "i", 1) == 1, "the writer's process has ended");
    absl::SleepFor(absl::Milliseconds(30));
  }

 private:
  pid_t pid_ = 0;
  int commands_ = -1;
};

// Keys to be read, each as often as any other, in an order of its own. They are next to each other
// in memory in that order, so that to get one costs next to nothing.
class Keys {
 public:
  Keys(int count, std::string (*key)(int), uint32_t seed) {
    for (int i = 0; i < count; ++i) keys_.push_back(key(i));
    std::shuffle(keys_.begin(), keys_.end(), std::mt19937(seed));
  }

  const std::string& Next() {
    if (next_ == keys_.size()) next_ = 0;
    return keys_[next_++];
  }

 private:
  std::vector<std::string> keys_;
  size_t next_ = 0;
};

// Keeps the compiler from leaving reads out.
thread_local int64_t checksum = 0;

void AddUp(const RowView& row) {
  checksum += row.value(0).data()[0] + row.value(1).data()[0] + row.value(2).integer();
}

void ReadRow(Reader* reader, const std::string& key) {
  const absl::StatusOr<Row> row = reader->GetRow("bench", "items", {key});
  Check(row.status());
  Expect(row->exists(), "a row was not found");
  AddUp(*row);
}

void ReadPrefix(Reader* reader, const std::string& key) {
  RowIterator rows = reader->ListRows("bench", "members", {key});
  int count = 0;
  while (rows.Next()) {
    AddUp(rows.row());
    ++count;
  }
  Expect(count == kRowsPerGroup, "a read did not find ten rows");
}

class RawStatement {
 public:
  RawStatement(const std::string& path, const char* sql) {
    CheckSqlite(sqlite3_open_v2(path.c_str(), &db_, SQLITE_OPEN_READONLY, nullptr), db_);
    CheckSqlite(sqlite3_prepare_v2(db_, sql, -1, &statement_, nullptr), db_);
  }
  ~RawStatement() {
    sqlite3_finalize(statement_);
    sqlite3_close(db_);
  }

  // Reads all columns of all rows.
  void Read(const std::string& key, int expected_rows) {
    sqlite3_bind_text(statement_, 1, key.data(), static_cast<int>(key.size()), SQLITE_STATIC);
    int rows = 0;
    while (sqlite3_step(statement_) == SQLITE_ROW) {
      checksum += sqlite3_column_text(statement_, 0)[0] + sqlite3_column_text(statement_, 1)[0] +
                  sqlite3_column_int64(statement_, 2);
      ++rows;
    }
    sqlite3_reset(statement_);
    Expect(rows == expected_rows, "a statement did not find its rows");
  }

 private:
  sqlite3* db_ = nullptr;
  sqlite3_stmt* statement_ = nullptr;
};

// The same rows, each with all its columns as the value of its key; the newest state at each read.
class Lmdb {
 public:
  explicit Lmdb(const std::string& folder) {
    std::filesystem::create_directory(folder);
    CheckLmdb(mdb_env_create(&env_));
    CheckLmdb(mdb_env_set_mapsize(env_, size_t{64} << 20));
    CheckLmdb(mdb_env_open(env_, folder.c_str(), MDB_NOSYNC, 0644));
    MDB_txn* txn = nullptr;
    CheckLmdb(mdb_txn_begin(env_, nullptr, 0, &txn));
    CheckLmdb(mdb_dbi_open(txn, nullptr, 0, &dbi_));
    for (int i = 0; i < kRows; ++i) {
      const std::string key = RowKey(i);
      const int64_t amount = i;
      std::string data(reinterpret_cast<const char*>(&amount), sizeof(amount));
      absl::StrAppend(&data, key, ItemName(i));
      MDB_val k = Val(key), v = Val(data);
      CheckLmdb(mdb_put(txn, dbi_, &k, &v, 0));
    }
    CheckLmdb(mdb_txn_commit(txn));
    CheckLmdb(mdb_txn_begin(env_, nullptr, MDB_RDONLY, &read_));
    mdb_txn_reset(read_);
  }
  ~Lmdb() {
    mdb_txn_abort(read_);
    mdb_env_close(env_);
  }

  void Read(const std::string& key) {
    CheckLmdb(mdb_txn_renew(read_));
    MDB_val k = Val(key), v;
    CheckLmdb(mdb_get(read_, dbi_, &k, &v));
    const char* const data = static_cast<const char*>(v.mv_data);
    int64_t amount;
    std::memcpy(&amount, data, sizeof(amount));
    checksum += amount + data[sizeof(amount)] + data[sizeof(amount) + key.size()];
    mdb_txn_reset(read_);
  }

 private:
  static MDB_val Val(const std::string& text) {
    return {text.size(), const_cast<char*>(text.data())};
  }

  MDB_env* env_ = nullptr;
  MDB_dbi dbi_ = 0;
  MDB_txn* read_ = nullptr;
};

// Calls `call` for about `time`; nanoseconds for each call.
template <typename Call>
double NanosPerCall(absl::Duration time, Call call) {
  const auto begin = std::chrono::steady_clock::now();
  const auto end = begin + absl::ToChronoNanoseconds(time);
  int64_t calls = 0;
  auto now = begin;
  do {
    for (int i = 0; i < 256; ++i) call();
    calls += 256;
    now = std::chrono::steady_clock::now();
  } while (now < end);
  return std::chrono::duration<double, std::nano>(now - begin).count() / calls;
}

// Reads in a second by so many threads.
double ReadsPerSecond(Reader* reader, int threads) {
  std::atomic<int> ready{0};
  std::vector<double> rates(threads * 16);
  std::vector<std::thread> running;
  for (int t = 0; t < threads; ++t) {
    running.emplace_back([&, t] {
      Keys keys(kRows, RowKey, 100 + t);
      // With what it has of its own filled.
      for (int i = 0; i < kRows / 2; ++i) ReadRow(reader, keys.Next());
      ++ready;
      while (ready < threads) {
      }
      const double nanos = NanosPerCall(kTimeWithThreads, [&] { ReadRow(reader, keys.Next()); });
      rates[t * 16] = 1e9 / nanos;
    });
  }
  for (std::thread& thread : running) thread.join();
  return std::accumulate(rates.begin(), rates.end(), 0.0);
}

class Figure {
 public:
  void Add(double value) { values_.push_back(value); }
  double Median() {
    std::sort(values_.begin(), values_.end());
    return values_[values_.size() / 2];
  }

 private:
  std::vector<double> values_;
};

void Print(const std::string& name, double value, const char* unit) {
  std::printf(unit[0] == 'n' ? "%s\t%.0f\t%s\n" : "%s\t%.3f\t%s\n", name.c_str(), value, unit);
  std::fflush(stdout);
}

// What is measured with the writer idle, and with it busy.
struct ReaderFigures {
  Figure hot, cold, prefix, hot_threads, cold_threads;
};

void Run(const std::string& folder, const std::vector<std::string>& programs) {
  const std::string ldb_path = folder + "/ldb.db";
  const std::string plain_path = folder + "/plain.db";
  {
    const std::vector<LedgerEntry> ledger = Ledger();
    absl::StatusOr<std::unique_ptr<LdbWriter>> writer = LdbWriter::Open(ldb_path, {});
    Check(writer.status());
    Check((*writer)->Apply(ledger));
    Check((*writer)->Checkpoint());
    RunAsText(plain_path, ledger);
  }
  WriterProcess writer(ldb_path);
  Reader hot_reader(ldb_path);
  ReaderOptions uncached;
  uncached.cache_bytes = 0;
  Reader cold_reader(ldb_path, uncached);
  RawStatement raw_row(plain_path, "SELECT * FROM bench___items WHERE code = ?");
  RawStatement raw_prefix(plain_path, "SELECT * FROM bench___members WHERE team = ? ORDER BY code");
  Lmdb lmdb(folder + "/lmdb");

  Keys keys(kRows, RowKey, 2);
  Keys groups(kGroups, GroupKey, 3);
  const auto read_hot = [&] { ReadRow(&hot_reader, keys.Next()); };
  const auto read_cold = [&] { ReadRow(&cold_reader, keys.Next()); };
  const auto read_prefix = [&] { ReadPrefix(&hot_reader, groups.Next()); };
  const auto read_raw = [&] { raw_row.Read(keys.Next(), 1); };
  const auto read_raw_prefix = [&] { raw_prefix.Read(groups.Next(), kRowsPerGroup); };
  const auto read_lmdb = [&] { lmdb.Read(keys.Next()); };

  // Until all caches have what they can have.
  const auto repeat = [](int times, const auto& read) {
    for (int i = 0; i < times; ++i) read();
  };
  repeat(kRows, read_hot);
  repeat(kRows, read_cold);
  repeat(kRows, read_raw);
  repeat(kRows, read_lmdb);
  repeat(kGroups, read_prefix);
  repeat(kGroups, read_raw_prefix);
  Expect(hot_reader.stats().has_freshness_page, "the reader has no freshness page");

  const int64_t allocations_before = allocations;
  repeat(kRows, read_hot);
  const double allocations_per_read = static_cast<double>(allocations - allocations_before) / kRows;

  Figure raw, raw_prefixes, lmdb_figure, commits_per_s;
  ReaderFigures figures[2];
  for (int round = 0; round < kRounds; ++round) {
    raw.Add(NanosPerCall(kTimePerFigure, read_raw));
    raw_prefixes.Add(NanosPerCall(kTimePerFigure, read_raw_prefix));
    lmdb_figure.Add(NanosPerCall(kTimePerFigure, read_lmdb));
    for (const bool busy : {false, true}) {
      writer.Commit(busy);
      const absl::StatusOr<int64_t> sequence = cold_reader.GetSequence();
      Check(sequence.status());
      const absl::Time begin = absl::Now();
      ReaderFigures& figure = figures[busy];
      figure.hot.Add(NanosPerCall(kTimePerFigure, read_hot));
      figure.cold.Add(NanosPerCall(kTimePerFigure, read_cold));
      figure.prefix.Add(NanosPerCall(kTimePerFigure, read_prefix));
      // In turn, so that one does not always come first.
      double rates[2][2];
      for (int i = 0; i < 4; ++i) {
        const int threads = 1 + (i / 2 + round) % 2;
        rates[i % 2][threads - 1] =
            ReadsPerSecond(i % 2 == 0 ? &hot_reader : &cold_reader, threads);
      }
      figure.hot_threads.Add(rates[0][1] / rates[0][0]);
      figure.cold_threads.Add(rates[1][1] / rates[1][0]);
      const absl::StatusOr<int64_t> after = cold_reader.GetSequence();
      Check(after.status());
      const double commits = (*after - *sequence) / 4;
      if (busy) commits_per_s.Add(commits / absl::ToDoubleSeconds(absl::Now() - begin));
    }
    writer.Commit(false);
  }

  Print("read.hot.ns", figures[0].hot.Median(), "ns");
  Print("read.cold.ns", figures[0].cold.Median(), "ns");
  Print("read.prefix10.ns", figures[0].prefix.Median(), "ns");
  Print("read.raw_sqlite.ns", raw.Median(), "ns");
  Print("read.raw_sqlite_prefix10.ns", raw_prefixes.Median(), "ns");
  Print("read.lmdb.ns", lmdb_figure.Median(), "ns");
  Print("read.hot_per_raw", figures[0].hot.Median() / raw.Median(), "ratio");
  Print("read.hot_per_lmdb", figures[0].hot.Median() / lmdb_figure.Median(), "ratio");
  Print("read.cold_per_raw", figures[0].cold.Median() / raw.Median(), "ratio");
  Print("read.prefix10_per_raw", figures[0].prefix.Median() / raw_prefixes.Median(), "ratio");
  Print("read.hot.allocations", allocations_per_read, "per read");
  Print("read.hot.2threads_per_1thread", figures[0].hot_threads.Median(), "ratio");
  Print("read.cold.2threads_per_1thread", figures[0].cold_threads.Median(), "ratio");
  Print("read.busy.commits_per_s", commits_per_s.Median(), "per second");
  Print("read.hot.busy.ns", figures[1].hot.Median(), "ns");
  Print("read.cold.busy.ns", figures[1].cold.Median(), "ns");
  Print("read.prefix10.busy.ns", figures[1].prefix.Median(), "ns");
  Print("read.hot.busy_per_idle", figures[1].hot.Median() / figures[0].hot.Median(), "ratio");
  Print("read.cold.busy_per_idle", figures[1].cold.Median() / figures[0].cold.Median(), "ratio");
  Print("read.prefix10.busy_per_idle", figures[1].prefix.Median() / figures[0].prefix.Median(),
        "ratio");
  Print("read.hot.busy.2threads_per_1thread", figures[1].hot_threads.Median(), "ratio");
  Print("read.cold.busy.2threads_per_1thread", figures[1].cold_threads.Median(), "ratio");
  // Never so; makes the sum needed.
  Expect(checksum != 0, "nothing was read");

  for (const std::string& program : programs) {
    const pid_t pid = fork();
    Expect(pid >= 0, "cannot start a process");
    if (pid == 0) {
      execl(program.c_str(), program.c_str(), ldb_path.c_str(), absl::StrCat(kRows).c_str(),
            nullptr);
      std::cerr << "cannot run " << program << "\n";
      std::_Exit(127);
    }
    int status = 0;
    Expect(waitpid(pid, &status, 0) == pid && status == 0, absl::StrCat(program, " has failed"));
  }
}

}  // namespace
}  // namespace ctlstore::ldb

int main(int argc, char** argv) {
  if (argc == 3 && std::string(argv[1]) == "--writer") {
    ctlstore::ldb::RunWriter(argv[2]);
    return 0;
  }
  std::string folder = (std::filesystem::temp_directory_path() / "ctlstore-bench-XXXXXX").string();
  if (mkdtemp(folder.data()) == nullptr) {
    std::perror("cannot create a folder");
    return 1;
  }
  ctlstore::ldb::Run(folder, std::vector<std::string>(argv + 1, argv + argc));
  std::filesystem::remove_all(folder);
  return 0;
}
