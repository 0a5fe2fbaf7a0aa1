#include "cli/verify/verifier_test_base.h"

#include <glog/logging.h>
#include <stdlib.h>

#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "cli/verify/value_excerpt.h"
#include "common/ctldb/catalog.h"
#include "common/ctldb/clear_tables.h"
#include "common/ctldb/ledger_transaction.h"
#include "common/sql/ledger_statements.h"
#include "common/sqlite/database.h"

namespace ctlstore::cli {
namespace {

std::string NewFolder() {
  std::string pattern = testing::TempDir() + "/verify-XXXXXX";
  CHECK(mkdtemp(pattern.data()) != nullptr);
  return pattern;
}

std::vector<ValueView> Views(const TableRow& row) {
  return std::vector<ValueView>(row.begin(), row.end());
}

std::string KeyText(const RowDifference& difference) {
  std::vector<std::string> parts;
  for (size_t i = 0; i < difference.key.size(); ++i) {
    parts.push_back(absl::StrCat(difference.key_fields[i], "=", WholeText(difference.key[i])));
  }
  return absl::StrJoin(parts, ",");
}

}  // namespace

absl::Time Late() { return absl::Now() + absl::Minutes(2); }

TestExecutive::TestExecutive(std::unique_ptr<ctldb::ConnectionPool> pool)
    : pool_(std::move(pool)), changer_(pool_.get()) {}

void TestExecutive::Create(const TableSchema& schema) {
  {
    absl::StatusOr<ctldb::ConnectionPool::Lease> lease = pool_->Acquire(Late());
    CHECK(lease.ok()) << lease.status();
    CHECK(ctldb::CreateFamily(lease->get(), schema.name().family).ok());
  }
  const absl::Status status = changer_.CreateTables({schema}, Late()).status();
  CHECK(status.ok()) << status;
}

bool TestExecutive::Write(const TableSchema& schema, const std::vector<TableRow>& upserts,
                          const std::vector<TableRow>& deleted_keys) {
  absl::StatusOr<ctldb::ConnectionPool::Lease> lease = pool_->Acquire(Late());
  CHECK(lease.ok()) << lease.status();
  absl::StatusOr<ctldb::LedgerTransaction> transaction =
      ctldb::LedgerTransaction::Begin(lease->get());
  CHECK(transaction.ok()) << transaction.status();
  if (transaction->schema_change_pending()) return false;
  std::vector<std::string> statements;
  for (const TableRow& row : upserts) {
    transaction->Upsert(schema, Views(row));
    statements.push_back(sql::UpsertStatement(schema, Views(row)));
  }
  for (const TableRow& key : deleted_keys) {
    transaction->Delete(schema, Views(key));
    statements.push_back(sql::DeleteStatement(schema, Views(key)));
  }
  transaction->Append(statements);
  const absl::Status status = transaction->Commit();
  CHECK(status.ok()) << status;
  return true;
}

void TestExecutive::Clear(const TableName& name) {
  const absl::Status status = ctldb::ClearTable(pool_.get(), &changer_, name, Late()).status();
  CHECK(status.ok()) << status;
}

void TestExecutive::Drop(const TableName& name) {
  const absl::Status status = changer_.DropTable(name, Late()).status();
  CHECK(status.ok()) << status;
}

void TestExecutive::AddField(const TableName& name, const Field& field) {
  const absl::Status status = changer_.AddFields(name, {field}, Late()).status();
  CHECK(status.ok()) << status;
}

TestReflector::TestReflector(std::unique_ptr<ctldb::Connection> connection,
                             const std::string& ldb_path)
    : connection_(std::move(connection)) {
  ldb::LdbWriter::Options options;
  // It has keys, too, which are not what is compared.
  options.change_history_bytes = 0;
  absl::StatusOr<std::unique_ptr<ldb::LdbWriter>> writer = ldb::LdbWriter::Open(ldb_path, options);
  CHECK(writer.ok()) << writer.status();
  writer_ = *std::move(writer);
}

size_t TestReflector::Apply(size_t max_entries) {
  std::vector<LedgerEntry> entries;
  for (const auto& row : ctldb::testing::MustQuery(
           connection_.get(),
           "SELECT seq, leader_ts, statement FROM ctlstore_dml_ledger WHERE seq > ? ORDER BY seq "
           "LIMIT ?",
           {writer_->applied_sequence(), static_cast<int64_t>(max_entries)})) {
    entries.push_back({row[0].integer(), row[1].data(), row[2].data()});
  }
  // Ledger transactions are not cut.
  while (!entries.empty() && entries.size() == max_entries) {
    int open = 0;
    for (const LedgerEntry& entry : entries) {
      open += entry.statement == kBeginMarker ? 1 : entry.statement == kCommitMarker ? -1 : 0;
    }
    if (open == 0) break;
    return Apply(max_entries * 2);
  }
  const absl::Status status = writer_->Apply(entries);
  CHECK(status.ok()) << status;
  return entries.size();
}

void TestReflector::CatchUp() {
  while (Apply(1000) > 0) {
  }
}

void TestReflector::Checkpoint() { CHECK(writer_->Checkpoint().ok()); }

VerifierTest::VerifierTest()
    : folder_(NewFolder()),
      ldb_path_(folder_ + "/ldb.db"),
      connection_(OpenReady()),
      executive_(NewExecutive()) {}

VerifierTest::~VerifierTest() {
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

void VerifierTest::Reflect() {
  const std::unique_ptr<TestReflector> reflector = NewReflector();
  reflector->CatchUp();
  reflector->Checkpoint();
}

void VerifierTest::InLdb(absl::string_view sql, const std::vector<Value>& parameters) {
  auto database =
      *sqlite::Database::Open(ldb_path_, sqlite::Database::Mode::kReadWrite, absl::Seconds(10));
  auto statement = database->Prepare(sql);
  ASSERT_TRUE(statement.ok()) << sql << ": " << statement.status();
  for (size_t i = 0; i < parameters.size(); ++i) {
    ASSERT_TRUE((*statement)->Bind(static_cast<int>(i + 1), parameters[i]).ok());
  }
  const absl::Status status = (*statement)->Run();
  ASSERT_TRUE(status.ok()) << sql << ": " << status;
}

void VerifierTest::InCtldb(absl::string_view sql, const std::vector<Value>& parameters) {
  const absl::Status status = connection_->Execute(sql, Views(parameters)).status();
  ASSERT_TRUE(status.ok()) << sql << ": " << status;
}

Verifier::Options VerifierTest::VerifierOptions() const {
  Verifier::Options options;
  options.ldb_path = ldb_path_;
  options.ctldb = target_;
  options.connection = options_;
  return options;
}

Verifier::Options VerifierTest::HastyOptions() const {
  Verifier::Options options = VerifierOptions();
  options.max_wait = absl::ZeroDuration();
  options.max_rounds = 3;
  return options;
}

absl::StatusOr<Report> VerifierTest::Run(const Verifier::Options& options) {
  return Verifier(options).Run();
}

Report VerifierTest::Verify() const {
  absl::StatusOr<Report> report = Run(HastyOptions());
  CHECK(report.ok()) << report.status();
  return *std::move(report);
}

const TableReport& VerifierTest::TableOf(const Report& report, absl::string_view name) {
  for (const TableReport& table : report.tables) {
    if (table.name == name) return table;
  }
  LOG(FATAL) << "the report has no table " << name;
}

std::vector<std::string> Findings(const Report& report) {
  std::vector<std::string> lines;
  if (report.ledger_differs) lines.push_back("another ledger");
  for (const TableReport& table : report.tables) {
    for (const std::string& definition : table.definition) {
      lines.push_back(absl::StrCat(table.name, ": ", definition));
    }
    for (const RowDifference& difference : table.differences) {
      std::string line = absl::StrCat(table.name, ": ", KeyText(difference));
      switch (difference.kind) {
        case RowDifference::Kind::kMissingInLdb:
          line += ": not in the LDB";
          break;
        case RowDifference::Kind::kMissingInCtldb:
          line += ": not in the ctldb";
          break;
        case RowDifference::Kind::kValues:
          for (const RowDifference::Column& column : difference.columns) {
            absl::StrAppend(&line, ": ", column.name, " is ", column.ctldb, ", in the LDB ",
                            column.ldb);
          }
      }
      lines.push_back(line);
    }
    if (!table.undecided.empty()) {
      lines.push_back(absl::StrCat(table.name, "? ", table.undecided));
    }
  }
  return lines;
}

}  // namespace ctlstore::cli
