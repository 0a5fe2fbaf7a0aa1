// How fast a ledger is caught up with: `//reflector:apply_benchmark`.
//
// Fills a ledger on a MariaDB server of its own, then plays it into local databases, from the query
// to the commit: once by a reflector, from its start, and once the plain way, each statement as
// text in a transaction of its own together with the position. Both ways take turns, and the
// medians are printed, one figure a line: name, value and unit, separated by tabs.

#include <sqlite3.h>
#include <stdlib.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <iostream>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/ctldb/connection.h"
#include "common/ctldb/ledger_reader.h"
#include "common/ctldb/ledger_transaction.h"
#include "common/ctldb/own_tables.h"
#include "common/ctldb/testing/mariadb_server.h"
#include "common/schema/ledger_position.h"
#include "common/schema/table_schema.h"
#include "common/sql/ledger_statements.h"
#include "reflector/reflector.h"
#include "reflector/reflector_runner.h"

namespace ctlstore {
namespace {

constexpr int64_t kStatements = 200000;
constexpr int64_t kNaiveStatements = 15000;
constexpr int kStatementsPerCtldbTransaction = 5000;
constexpr int kKeys = 40000;
constexpr int kRounds = 3;
constexpr absl::Duration kGiveUpAfter = absl::Minutes(2);

void Check(const absl::Status& status, absl::string_view what) {
  if (status.ok()) return;
  std::cerr << what << ": " << status << "\n";
  std::exit(1);
}

template <typename T>
T Check(absl::StatusOr<T> value, absl::string_view what) {
  Check(value.status(), what);
  return *std::move(value);
}

absl::Status FillLedger(ctldb::Connection* connection, const TableSchema& schema) {
  absl::Status status = ctldb::EnsureOwnTables(connection);
  if (!status.ok()) return status;
  std::mt19937 random(1);
  int64_t left = kStatements;
  bool created = false;
  while (left > 0) {
    absl::StatusOr<ctldb::LedgerTransaction> transaction =
        ctldb::LedgerTransaction::Begin(connection);
    if (!transaction.ok()) return transaction.status();
    if (!created) {
      transaction->Append({sql::CreateTableStatement(schema)});
      created = true;
    }
    for (int i = 0; i < kStatementsPerCtldbTransaction && left > 0; ++i, --left) {
      const std::string key = absl::StrFormat("key-%08d", random() % kKeys);
      const std::string text = absl::StrCat("the value of ", key, " is ", random());
      transaction->Append(
          {sql::UpsertStatement(schema, {key, text, static_cast<int64_t>(random())})});
    }
    status = transaction->Commit();
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

// Reads the ledger up to `last` and hands it on as it comes, with the reflector's query sizes.
absl::Status PlayLedger(const ctldb::Target& target, const ctldb::ConnectionOptions& connection,
                        int64_t last,
                        const std::function<absl::Status(const std::vector<LedgerEntry>&)>& apply) {
  const reflector::Reflector::Options options;
  ctldb::LedgerReader reader(target, connection);
  LedgerPosition position;
  while (position.sequence < last) {
    const auto read = reader.ReadAfter(
        position, std::min<size_t>(options.max_entries_per_query, last - position.sequence),
        options.max_bytes_per_query);
    if (!read.ok()) return read.status();
    if (read->entries.empty()) return absl::InternalError("the ledger ends too early");
    absl::Status status = apply(read->entries);
    if (!status.ok()) return status;
    position = PositionAfter(read->entries.back());
  }
  return absl::OkStatus();
}

// The plain way, over SQLite's own interface.
class NaiveWriter {
 public:
  explicit NaiveWriter(const std::string& path) {
    Run(sqlite3_open(path.c_str(), &db_));
    Execute("PRAGMA journal_mode = WAL");
    Execute("PRAGMA synchronous = NORMAL");
    Execute("CREATE TABLE _ldb_seq (id INTEGER PRIMARY KEY NOT NULL, seq BIGINT NOT NULL)");
    Execute(
        "CREATE TABLE _ldb_last_update "
        "(name STRING PRIMARY KEY NOT NULL, timestamp DATETIME NOT NULL)");
    write_sequence_ = Prepare("REPLACE INTO _ldb_seq (id, seq) VALUES (1, ?)");
    write_last_update_ =
        Prepare("REPLACE INTO _ldb_last_update (name, timestamp) VALUES ('ledger', ?)");
  }
  ~NaiveWriter() {
    sqlite3_finalize(write_sequence_);
    sqlite3_finalize(write_last_update_);
    sqlite3_close(db_);
  }
  NaiveWriter(const NaiveWriter&) = delete;
  NaiveWriter& operator=(const NaiveWriter&) = delete;

  void Apply(const LedgerEntry& entry) {
    Execute("BEGIN IMMEDIATE");
    Execute(entry.statement.c_str());
    sqlite3_bind_int64(write_sequence_, 1, entry.sequence);
    Step(write_sequence_);
    const std::string time = absl::StrCat(entry.leader_time, "+00:00");
    sqlite3_bind_text(write_last_update_, 1, time.data(), static_cast<int>(time.size()),
                      SQLITE_STATIC);
    Step(write_last_update_);
    Execute("COMMIT");
  }

 private:
  void Run(int code) {
    if (code == SQLITE_OK || code == SQLITE_DONE) return;
    Check(absl::InternalError(sqlite3_errmsg(db_)), "SQLite");
  }
  void Execute(const char* sql) { Run(sqlite3_exec(db_, sql, nullptr, nullptr, nullptr)); }
  sqlite3_stmt* Prepare(const char* sql) {
    sqlite3_stmt* statement = nullptr;
    Run(sqlite3_prepare_v2(db_, sql, -1, &statement, nullptr));
    return statement;
  }
  void Step(sqlite3_stmt* statement) {
    Run(sqlite3_step(statement));
    sqlite3_reset(statement);
  }

  sqlite3* db_ = nullptr;
  sqlite3_stmt* write_sequence_ = nullptr;
  sqlite3_stmt* write_last_update_ = nullptr;
};

double PerSecond(int64_t count, absl::Duration time) {
  return static_cast<double>(count) / absl::ToDoubleSeconds(time);
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

int Main() {
  const char* temp = std::getenv("TMPDIR");
  std::string folder = absl::StrCat(temp == nullptr ? "/tmp" : temp, "/apply_benchmark_XXXXXX");
  if (mkdtemp(&folder[0]) == nullptr) {
    std::cerr << "cannot make a folder at " << folder << "\n";
    return 1;
  }
  std::cerr << "filling a ledger of " << kStatements << " statements on MariaDB\n";
  const std::unique_ptr<ctldb::testing::MariadbServer> server =
      Check(ctldb::testing::MariadbServer::Start(), "cannot start MariaDB");
  const ctldb::Target target = server->NewDatabase();
  ctldb::ConnectionOptions connection_options;
  const TableSchema schema = Check(TableSchema::Create("bench", "rows",
                                                       {{"name", FieldType::kString},
                                                        {"text", FieldType::kString},
                                                        {"number", FieldType::kInteger}},
                                                       {"name"}),
                                   "schema");
  {
    const auto connection =
        Check(ctldb::Connection::Open(target, connection_options), "cannot connect");
    Check(FillLedger(connection.get(), schema), "cannot fill the ledger");
  }
  connection_options.read_only = true;

  std::vector<double> applied, naive;
  for (int round = 0; round < kRounds; ++round) {
    std::cerr << "round " << round + 1 << " of " << kRounds << "\n";
    {
      reflector::ReflectorRunner::Options options;
      options.ctldb = target;
      options.connection = connection_options;
      options.ldbs = {{absl::StrCat(folder, "/ldb-", round, ".db"), {}, ""}};
      const absl::Time begin = absl::Now();
      const auto runner = Check(reflector::ReflectorRunner::Start(options), "cannot start");
      // The first entry makes the table.
      while (runner->Status().front().applied_sequence < kStatements + 1) {
        if (absl::Now() - begin > kGiveUpAfter) {
          Check(runner->Status().front().error, "cannot apply");
          Check(absl::DeadlineExceededError("not all was applied"), "cannot apply");
        }
        absl::SleepFor(absl::Milliseconds(1));
      }
      applied.push_back(PerSecond(kStatements, absl::Now() - begin));
    }
    {
      NaiveWriter writer(absl::StrCat(folder, "/naive-", round, ".db"));
      const absl::Time begin = absl::Now();
      Check(PlayLedger(target, connection_options, kNaiveStatements + 1,
                       [&](const std::vector<LedgerEntry>& entries) {
                         for (const LedgerEntry& entry : entries) writer.Apply(entry);
                         return absl::OkStatus();
                       }),
            "cannot apply");
      naive.push_back(PerSecond(kNaiveStatements, absl::Now() - begin));
    }
  }
  absl::PrintF("apply.statements_per_s\t%.0f\t1/s\n", Median(applied));
  absl::PrintF("apply.naive.statements_per_s\t%.0f\t1/s\n", Median(naive));
  absl::PrintF("apply.ratio\t%.1f\tx\n", Median(applied) / Median(naive));
  std::filesystem::remove_all(folder);
  return 0;
}

}  // namespace
}  // namespace ctlstore

int main() { return ctlstore::Main(); }
