#include "common/ctldb/ledger_transaction.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/ctldb/connection_errors.h"
#include "common/ctldb/restore_mark.h"
#include "common/schema/ledger_entry.h"
#include "common/schema/names.h"
#include "common/sql/dml.h"

namespace ctlstore::ctldb {
namespace {

// The row of `locks` whose clock is the schema version.
constexpr absl::string_view kSchemaVersionRow = "schema";

constexpr absl::string_view kInsertEntry =
    "INSERT INTO ctlstore_dml_ledger (seq, statement) VALUES (?, ?)";

std::vector<absl::Span<const ValueView>> RowsOf(absl::Span<const ValueView> values,
                                                size_t row_size) {
  std::vector<absl::Span<const ValueView>> rows;
  rows.reserve(values.size() / row_size);
  for (size_t i = 0; i < values.size(); i += row_size) rows.push_back(values.subspan(i, row_size));
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

  bool being_restored = false;
  status = connection->Query(
      "SELECT COALESCE((SELECT MAX(seq) FROM ctlstore_dml_ledger), 0), "
      "EXISTS (SELECT 1 FROM ctlstore_schema_intents), "
      "COALESCE((SELECT clock FROM locks WHERE id = ?), 0), "
      "EXISTS (SELECT 1 FROM locks WHERE id = ?)",
      {kSchemaVersionRow, kRestoreMark}, [&](absl::Span<const ValueView> row) {
        transaction.state_.last_sequence = row[0].integer();
        transaction.schema_change_pending_ = row[1].integer() != 0;
        transaction.state_.schema_version = row[2].integer();
        being_restored = row[3].integer() != 0;
        return absl::OkStatus();
      });
  if (absl::IsNotFound(status)) {
    return absl::FailedPreconditionError("the ctldb is not set up: its own tables are missing");
  }
  if (!status.ok()) return status;
  if (being_restored) {
    return DatabaseUnavailable(
        "the ctldb is being restored from a snapshot; where nobody does so any more, complete it "
        "with ctlstore snapshot restore --resume");
  }
  return transaction;
}

LedgerTransaction::LedgerTransaction(LedgerTransaction&& other) noexcept
    : connection_(std::exchange(other.connection_, nullptr)),
      state_(other.state_),
      savepoint_(other.savepoint_),
      schema_change_pending_(other.schema_change_pending_),
      failed_(std::move(other.failed_)),
      changes_(std::move(other.changes_)),
      entries_(std::move(other.entries_)) {}

LedgerTransaction::~LedgerTransaction() {
  if (connection_ != nullptr) connection_->Rollback();
}

absl::Status LedgerTransaction::CountSchemaChange() {
  absl::StatusOr<int64_t> counted =
      connection_->Execute("UPDATE locks SET clock = clock + 1 WHERE id = ?", {kSchemaVersionRow});
  if (!counted.ok()) return counted.status();
  ++state_.schema_version;
  if (*counted > 0) return absl::OkStatus();
  return connection_->Execute("INSERT INTO locks (id, clock) VALUES (?, ?)", {kSchemaVersionRow, 1})
      .status();
}

void LedgerTransaction::Gather(const TableSchema& schema, std::string sql, size_t row_size,
                               absl::Span<const ValueView> row) {
  if (!failed_.ok()) return;
  if (row.size() != row_size) {
    failed_ = absl::InternalError(
        absl::StrCat("a statement with ", row_size, " parameters was given ", row.size()));
    return;
  }
  std::vector<Run>& runs = changes_[SqlTableName(schema.name())];
  if (runs.empty() || runs.back().sql != sql) {
    runs.push_back(Run{std::move(sql), row_size, {}});
  }
  std::vector<Value>& values = runs.back().values;
  for (const ValueView& value : row) values.emplace_back(value);
}

void LedgerTransaction::Upsert(const TableSchema& schema, absl::Span<const ValueView> row) {
  Gather(schema, sql::UpsertSql(schema), schema.fields().size(), row);
}

void LedgerTransaction::Delete(const TableSchema& schema, absl::Span<const ValueView> key) {
  Gather(schema, sql::DeleteSql(schema), schema.key_positions().size(), key);
}

int64_t LedgerTransaction::Append(absl::Span<const std::string> statements) {
  const size_t entries = statements.size() > 1 ? statements.size() + 2 : statements.size();
  if (!failed_.ok()) return state_.last_sequence;
  if (statements.size() > 1) entries_.emplace_back(kBeginMarker);
  entries_.insert(entries_.end(), statements.begin(), statements.end());
  if (statements.size() > 1) entries_.emplace_back(kCommitMarker);
  state_.last_sequence += static_cast<int64_t>(entries);
  return state_.last_sequence;
}

absl::Status LedgerTransaction::Flush() {
  if (failed_.ok()) failed_ = Send();
  ForgetGathered();
  return failed_;
}

absl::Status LedgerTransaction::Send() {
  // Outside a transaction each statement would be committed by itself.
  if (!connection_->in_transaction()) {
    return connection_->broken() ? DatabaseUnavailable("the connection to the ctldb is broken")
                                 : DatabaseBusy("the ctldb has ended the transaction");
  }
  for (const auto& [table, runs] : changes_) {
    for (const Run& run : runs) {
      absl::Status sent = SendRun(run);
      if (!sent.ok()) return sent;
    }
  }
  if (entries_.empty()) return absl::OkStatus();
  int64_t sequence = state_.last_sequence - static_cast<int64_t>(entries_.size());
  std::vector<ValueView> values;
  values.reserve(2 * entries_.size());
  for (const std::string& entry : entries_) {
    values.emplace_back(++sequence);
    values.emplace_back(entry);
  }
  return connection_->ExecuteMany(kInsertEntry, RowsOf(values, 2));
}

absl::Status LedgerTransaction::SendRun(const Run& run) {
  const std::vector<ValueView> values(run.values.begin(), run.values.end());
  return connection_->ExecuteMany(run.sql, RowsOf(values, run.row_size));
}

void LedgerTransaction::ForgetGathered() {
  changes_.clear();
  entries_.clear();
}

absl::Status LedgerTransaction::SetSavepoint() {
  absl::Status flushed = Flush();
  if (!flushed.ok()) return flushed;
  failed_ = connection_->SetSavepoint();
  if (failed_.ok()) savepoint_ = state_;
  return failed_;
}

absl::Status LedgerTransaction::RollbackToSavepoint() {
  ForgetGathered();
  state_ = savepoint_;
  failed_ = connection_->RollbackToSavepoint();
  return failed_;
}

absl::Status LedgerTransaction::Commit() {
  absl::Status flushed = Flush();
  if (!flushed.ok()) return flushed;
  return std::exchange(connection_, nullptr)->Commit();
}

}  // namespace ctlstore::ctldb
