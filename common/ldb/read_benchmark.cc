// Measures reads of one row and of ten, beside plain prepared statements on the same data laid out
// as a Go reader sees it. Prints `figure<TAB>value<TAB>unit`.

#include <sqlite3.h>
#include <stdlib.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <iostream>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/ldb/ldb_writer.h"
#include "common/ldb/reader.h"
#include "common/schema/table_schema.h"
#include "common/sql/ledger_statements.h"

namespace ctlstore::ldb {
namespace {

constexpr int kRows = 100000;
constexpr int kRowsPerGroup = 10;
constexpr int kRounds = 9;
constexpr int kReadsPerRound = 30000;
constexpr int kPrefixReadsPerRound = 10000;

void Check(const absl::Status& status) {
  if (status.ok()) return;
  std::cerr << status << "\n";
  std::exit(1);
}

void CheckSqlite(int code, sqlite3* db) {
  if (code == SQLITE_OK || code == SQLITE_DONE) return;
  std::cerr << sqlite3_errmsg(db) << "\n";
  std::exit(1);
}

std::string RowKey(int i) { return absl::StrFormat("key-%08d", i); }
std::string GroupKey(int i) { return absl::StrFormat("group-%08d", i); }

std::vector<LedgerEntry> Ledger() {
  const TableSchema rows = *TableSchema::Create(
      "bench", "items",
      {{"code", FieldType::kString}, {"name", FieldType::kString}, {"amount", FieldType::kInteger}},
      {"code"});
  const TableSchema groups = *TableSchema::Create(
      "bench", "members",
      {{"team", FieldType::kString}, {"code", FieldType::kString}, {"amount", FieldType::kInteger}},
      {"team", "code"});
  std::vector<LedgerEntry> ledger;
  const auto add = [&ledger](std::string statement) {
    ledger.push_back(
        {static_cast<int64_t>(ledger.size()) + 1, "2024-01-01 00:00:00", std::move(statement)});
  };
  add(sql::CreateTableStatement(rows));
  add(sql::CreateTableStatement(groups));
  // In random order, as data that grew over time has it.
  std::vector<int> order(kRows);
  for (int i = 0; i < kRows; ++i) order[i] = i;
  std::shuffle(order.begin(), order.end(), std::mt19937(1));
  for (int i : order) {
    add(sql::UpsertStatement(rows, {RowKey(i), absl::StrCat("the name of item ", i), i}));
    add(sql::UpsertStatement(groups, {GroupKey(i / kRowsPerGroup), RowKey(i), i}));
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

// Keeps the compiler from leaving reads out.
int64_t checksum = 0;

double NanosPerCall(int calls, const std::function<void()>& call) {
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < calls; ++i) call();
  const std::chrono::duration<double, std::nano> time = std::chrono::steady_clock::now() - begin;
  return time.count() / calls;
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
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
  int Read(const std::string& key) {
    sqlite3_bind_text(statement_, 1, key.data(), static_cast<int>(key.size()), SQLITE_STATIC);
    int rows = 0;
    while (sqlite3_step(statement_) == SQLITE_ROW) {
      checksum += sqlite3_column_text(statement_, 0)[0] + sqlite3_column_text(statement_, 1)[0] +
                  sqlite3_column_int64(statement_, 2);
      ++rows;
    }
    sqlite3_reset(statement_);
    return rows;
  }

 private:
  sqlite3* db_ = nullptr;
  sqlite3_stmt* statement_ = nullptr;
};

void AddUp(const Row& row) {
  checksum += row.value(0).data()[0] + row.value(1).data()[0] + row.value(2).integer();
}

void Expect(int rows, int expected) {
  if (rows == expected) return;
  std::cerr << "a read found " << rows << " rows instead of " << expected << "\n";
  std::exit(1);
}

void Run(const std::string& folder) {
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
  Reader reader(ldb_path);
  RawStatement raw_row(plain_path, "SELECT * FROM bench___items WHERE code = ?");
  RawStatement raw_prefix(plain_path, "SELECT * FROM bench___members WHERE team = ? ORDER BY code");

  std::mt19937 random(2);
  const auto read_row = [&] {
    const std::string key = RowKey(random() % kRows);
    absl::StatusOr<Row> row = reader.GetRow("bench", "items", {key});
    Check(row.status());
    Expect(row->exists(), 1);
    AddUp(*row);
  };
  const auto read_raw_row = [&] { Expect(raw_row.Read(RowKey(random() % kRows)), 1); };
  const auto read_prefix = [&] {
    const std::string key = GroupKey(random() % (kRows / kRowsPerGroup));
    RowIterator rows = reader.ListRows("bench", "members", {key});
    int count = 0;
    while (rows.Next()) {
      AddUp(rows.row());
      ++count;
    }
    Expect(count, kRowsPerGroup);
  };
  const auto read_raw_prefix = [&] {
    Expect(raw_prefix.Read(GroupKey(random() % (kRows / kRowsPerGroup))), kRowsPerGroup);
  };

  std::vector<double> row, raw, prefix, raw_prefixes;
  for (int round = -1; round < kRounds; ++round) {
    const double times[] = {NanosPerCall(kReadsPerRound, read_row),
                            NanosPerCall(kReadsPerRound, read_raw_row),
                            NanosPerCall(kPrefixReadsPerRound, read_prefix),
                            NanosPerCall(kPrefixReadsPerRound, read_raw_prefix)};
    // The first round is for warming up.
    if (round < 0) continue;
    row.push_back(times[0]);
    raw.push_back(times[1]);
    prefix.push_back(times[2]);
    raw_prefixes.push_back(times[3]);
  }
  std::printf("read.row.ns\t%.0f\tns\n", Median(row));
  std::printf("read.raw_sqlite.ns\t%.0f\tns\n", Median(raw));
  std::printf("read.prefix10.ns\t%.0f\tns\n", Median(prefix));
  std::printf("read.raw_sqlite_prefix10.ns\t%.0f\tns\n", Median(raw_prefixes));
  if (checksum == 0) std::printf("\n");
}

}  // namespace
}  // namespace ctlstore::ldb

int main() {
  std::string folder = (std::filesystem::temp_directory_path() / "ctlstore-bench-XXXXXX").string();
  if (mkdtemp(folder.data()) == nullptr) {
    std::perror("cannot create a folder");
    return 1;
  }
  ctlstore::ldb::Run(folder);
  std::filesystem::remove_all(folder);
  return 0;
}
