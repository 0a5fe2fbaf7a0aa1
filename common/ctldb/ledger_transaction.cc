#include "common/ctldb/ledger_transaction.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/schema/ledger_entry.h"
#include "common/sql/dml.h"

namespace ctlstore::ctldb {
namespace {

// Rows of one INSERT into the ledger. They are powers of two, so that few different statements are
// prepared, and small enough together for a server's smallest usual packet limit.
constexpr size_t kMaxRowsPerInsert = 64;
constexpr size_t kMaxBytesPerInsert = size_t{4} << 20;

// The row of `locks` whose clock is the schema version.
constexpr absl::string_view kSchemaVersionRow = "schema";

std::string InsertSql(size_t rows) {
  std::string sql = "INSERT INTO ctlstore_dml_ledger (seq, statement) VALUES (?, ?)";
  for (size_t i = 1; i < rows; ++i) sql.append(", (?, ?)");
  return sql;
}

// How many of the first entries go into one INSERT; `entries` is not empty.
size_t RowsOfNextInsert(absl::Span<const absl::string_view> entries) {
  const size_t limit = std::min(kMaxRowsPerInsert, entries.size());
  size_t fitting = 0;
  size_t bytes = 0;
  while (fitting < limit) {
    bytes += entries[fitting].size();
    if (bytes > kMaxBytesPerInsert && fitting > 0) break;
    ++fitting;
  }
  size_t rows = 1;
  while (rows * 2 <= fitting) rows *= 2;
  return rows;
}

}  // namespace

absl::StatusOr<LedgerTransaction> LedgerTransaction::Begin(Connection* connection) {
  absl::Status status = connection->BeginWrite();
  if (!status.ok()) return status;
  LedgerTransaction transaction(connection);

  // The lock is taken before the first read: the state that a REPEATABLE READ transaction sees is
  // chosen at its first read, and must hold what the lock's last holder has committed.
  absl::StatusOr<int64_t> locked =
      connection->Execute("UPDATE locks SET clock = clock + 1 WHERE id = ?", {"ledger"});
  if (absl::IsNotFound(locked.status()) || (locked.ok() && *locked == 0)) {
    return absl::FailedPreconditionError(
        "the ctldb is not set up: it has no row `ledger` in its table locks");
  }
  if (!locked.ok()) return locked.status();

  status = connection->Query(
      "SELECT COALESCE((SELECT MAX(seq) FROM ctlstore_dml_ledger), 0), "
      "EXISTS (SELECT 1 FROM ctlstore_schema_intents), "
      "COALESCE((SELECT clock FROM locks WHERE id = ?), 0)",
      {kSchemaVersionRow}, [&transaction](absl::Span<const ValueView> row) {
        transaction.last_sequence_ = row[0].integer();
        transaction.schema_change_pending_ = row[1].integer() != 0;
        transaction.schema_version_ = row[2].integer();
        return absl::OkStatus();
      });
  if (absl::IsNotFound(status)) {
    return absl::FailedPreconditionError("the ctldb is not set up: its own tables are missing");
  }
  if (!status.ok()) return status;
  return transaction;
}

LedgerTransaction::LedgerTransaction(LedgerTransaction&& other) noexcept
    : connection_(std::exchange(other.connection_, nullptr)),
      last_sequence_(other.last_sequence_),
      schema_version_(other.schema_version_),
      savepoint_sequence_(other.savepoint_sequence_),
      schema_change_pending_(other.schema_change_pending_),
      failed_(std::move(other.failed_)) {}

LedgerTransaction::~LedgerTransaction() {
  if (connection_ != nullptr) connection_->Rollback();
}

void LedgerTransaction::Note(const absl::Status& status) {
  if (failed_.ok()) failed_ = status;
}

absl::Status LedgerTransaction::CountSchemaChange() {
  absl::StatusOr<int64_t> counted =
      connection_->Execute("UPDATE locks SET clock = clock + 1 WHERE id = ?", {kSchemaVersionRow});
  if (!counted.ok()) return counted.status();
  ++schema_version_;
  if (*counted > 0) return absl::OkStatus();
  return connection_->Execute("INSERT INTO locks (id, clock) VALUES (?, ?)", {kSchemaVersionRow, 1})
      .status();
}

void LedgerTransaction::Upsert(const TableSchema& schema, absl::Span<const ValueView> row) {
  Note(connection_->Execute(sql::UpsertSql(schema), row).status());
}

void LedgerTransaction::Delete(const TableSchema& schema, absl::Span<const ValueView> key) {
  Note(connection_->Execute(sql::DeleteSql(schema), key).status());
}

int64_t LedgerTransaction::Append(absl::Span<const std::string> statements) {
  std::vector<absl::string_view> entries;
  entries.reserve(statements.size() + 2);
  if (statements.size() > 1) entries.push_back(kBeginMarker);
  entries.insert(entries.end(), statements.begin(), statements.end());
  if (statements.size() > 1) entries.push_back(kCommitMarker);

  int64_t sequence = last_sequence_;
  std::vector<ValueView> parameters;
  absl::Span<const absl::string_view> rest = entries;
  while (!rest.empty()) {
    const size_t rows = RowsOfNextInsert(rest);
    parameters.clear();
    for (const absl::string_view entry : rest.first(rows)) {
      parameters.push_back(++sequence);
      parameters.push_back(entry);
    }
    Note(connection_->Execute(InsertSql(rows), parameters).status());
    rest.remove_prefix(rows);
  }
  last_sequence_ = sequence;
  return sequence;
}

absl::Status LedgerTransaction::Flush() { return failed_; }

absl::Status LedgerTransaction::SetSavepoint() {
  absl::Status flushed = Flush();
  if (!flushed.ok()) return flushed;
  savepoint_sequence_ = last_sequence_;
  return connection_->SetSavepoint();
}

absl::Status LedgerTransaction::RollbackToSavepoint() {
  failed_ = absl::OkStatus();
  last_sequence_ = savepoint_sequence_;
  return connection_->RollbackToSavepoint();
}

absl::Status LedgerTransaction::Commit() {
  absl::Status flushed = Flush();
  if (!flushed.ok()) return flushed;
  return std::exchange(connection_, nullptr)->Commit();
}

}  // namespace ctlstore::ctldb
