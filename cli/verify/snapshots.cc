#include "cli/verify/snapshots.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/ldb/ldb_tables.h"
#include "common/schema/errors.h"
#include "common/schema/ledger_position.h"
#include "common/sql/quote.h"

namespace ctlstore::cli {
namespace {

// How long the LDB's file may be locked by who makes it.
constexpr absl::Duration kBusyTimeout = absl::Seconds(5);
constexpr absl::Duration kFirstPause = absl::Milliseconds(1);
constexpr absl::Duration kLastPause = absl::Milliseconds(50);

absl::Status IgnoreRow(absl::Span<const ValueView>) { return absl::OkStatus(); }

ctldb::ConnectionOptions ReadOnly(ctldb::ConnectionOptions options) {
  options.read_only = true;
  return options;
}

}  // namespace

Snapshots::Snapshots(Options options)
    : options_(std::move(options)),
      ldb_wait_left_(options_.max_wait),
      ctldb_wait_left_(options_.max_wait) {}

Snapshots::~Snapshots() { End(); }

void Snapshots::End() {
  // A transaction ends with its connection.
  ldb_.reset();
  if (rows_ != nullptr) rows_->Rollback();
  if (ledger_ != nullptr) ledger_->Rollback();
  tables_.clear();
  pending_ = PendingSchemaChanges();
}

void Snapshots::Sleep(absl::Duration* pause, absl::Duration* left) {
  const absl::Time before = options_.clock->Now();
  options_.clock->SleepOrStop(std::min(*pause, *left), &never_);
  *left -= std::max(options_.clock->Now() - before, *pause);
  *pause = std::min(*pause * 2, kLastPause);
}

absl::Status Snapshots::Connect() {
  for (std::unique_ptr<ctldb::Connection>* connection : {&rows_, &ledger_}) {
    if (*connection != nullptr) continue;
    absl::StatusOr<std::unique_ptr<ctldb::Connection>> opened =
        ctldb::Connection::Open(options_.ctldb, ReadOnly(options_.connection));
    if (!opened.ok()) return opened.status();
    *connection = *std::move(opened);
  }
  return absl::OkStatus();
}

absl::Status Snapshots::Begin(absl::Span<const std::string> sql_tables, bool wait) {
  End();
  absl::Status status = Connect();
  if (status.ok()) status = rows_->BeginRead();
  if (!status.ok()) return status;
  absl::StatusOr<int64_t> sequence = LastSequence(rows_.get());
  if (!sequence.ok()) return sequence.status();
  ctldb_sequence_ = *sequence;

  status = wait ? WaitForLdb() : BeginLdb();
  if (!status.ok()) return status;
  for (const std::string& sql_table : sql_tables) {
    status = Pin(sql_table, &tables_[sql_table]);
    if (!status.ok()) return status;
  }
  status = BeginLedger();
  if (!status.ok()) return status;
  return ReadBetween();
}

absl::Status Snapshots::BeginLdb() {
  const std::string& path = options_.ldb_path;
  std::error_code error;
  if (!std::filesystem::exists(path, error)) {
    return absl::NotFoundError(absl::StrCat("there is no local database at ", path));
  }
  // Opened anew each time, because another file may have been put in its place.
  absl::StatusOr<std::unique_ptr<sqlite::Database>> opened =
      sqlite::Database::Open(path, sqlite::Database::Mode::kReadOnly, kBusyTimeout);
  if (!opened.ok()) return opened.status();
  ldb_ = *std::move(opened);
  // A name in double quotes is a column, never a text.
  sqlite3_db_config(ldb_->handle(), SQLITE_DBCONFIG_DQS_DML, 0, nullptr);
  absl::Status status = ldb_->Execute("BEGIN");
  if (!status.ok()) return status;
  absl::StatusOr<std::unique_ptr<sqlite::Statement>> read = ldb_->Prepare(ldb::kReadSequence);
  if (read.status().code() == absl::StatusCode::kInternal) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, " is no local database: it has no table _ldb_seq"));
  }
  if (!read.ok()) return read.status();
  absl::StatusOr<bool> row = (*read)->Step();
  if (!row.ok()) return row.status();
  ldb_sequence_ = *row ? (*read)->Column(0).integer() : 0;
  return absl::OkStatus();
}

absl::Status Snapshots::WaitForLdb() {
  absl::Duration pause = kFirstPause;
  while (true) {
    absl::Status status = BeginLdb();
    if (!status.ok() || ldb_sequence_ >= ctldb_sequence_ || waited_enough()) return status;
    ldb_.reset();
    Sleep(&pause, &ldb_wait_left_);
  }
}

absl::Status Snapshots::Pin(const std::string& sql_table, Table* table) {
  std::string pin = "SELECT 1 FROM ";
  sql::AppendIdentifier(sql_table, &pin);
  pin += " LIMIT 1";
  absl::Status status = rows_->Query(pin, {}, IgnoreRow);
  if (status.ok()) {
    absl::StatusOr<absl::optional<TableDefinition>> definition =
        ReadCtldbDefinition(rows_.get(), sql_table);
    if (!definition.ok()) return definition.status();
    table->ctldb = *std::move(definition);
  } else if (!absl::IsNotFound(status)) {
    return status;
  }
  absl::StatusOr<absl::optional<TableDefinition>> definition =
      ldb::ReadTableDefinition(ldb_.get(), sql_table);
  if (!definition.ok()) return definition.status();
  table->ldb = *std::move(definition);
  return absl::OkStatus();
}

absl::Status Snapshots::BeginLedger() {
  const int64_t wanted = std::max(ldb_sequence_, ctldb_sequence_);
  absl::Duration pause = kFirstPause;
  while (true) {
    absl::Status status = ledger_->BeginRead();
    if (!status.ok()) return status;
    absl::StatusOr<int64_t> last = LastSequence(ledger_.get());
    if (!last.ok()) return last.status();
    if (*last >= wanted) return absl::OkStatus();
    ledger_->Rollback();
    if (ctldb_wait_left_ <= absl::ZeroDuration()) {
      return ErrorWithReason(
          absl::StatusCode::kUnavailable, reason::kLedgerBehind,
          absl::StrCat("the local database is at sequence ", wanted, ", and ",
                       options_.ctldb.ToString(), " has a ledger up to ", *last,
                       " only: it lags behind, or is not where this local database comes from"));
    }
    Sleep(&pause, &ctldb_wait_left_);
  }
}

absl::Status Snapshots::ReadBetween() {
  absl::StatusOr<PendingSchemaChanges> pending = ReadPendingSchemaChanges(ledger_.get());
  if (!pending.ok()) return pending.status();
  pending_ = *std::move(pending);
  if (tables_.empty()) return absl::OkStatus();

  LedgerChanges changes;
  std::map<std::string, const TableDefinition*> definitions;
  for (const auto& [name, table] : tables_) {
    changes[name];
    definitions[name] = table.ldb.has_value()     ? &*table.ldb
                        : table.ctldb.has_value() ? &*table.ctldb
                                                  : nullptr;
  }
  const LedgerRange range{std::min(ldb_sequence_, ctldb_sequence_),
                          std::max(ldb_sequence_, ctldb_sequence_)};
  absl::Status status =
      ReadLedgerChanges(ledger_.get(), range, definitions, options_.max_keys, &changes);
  if (!status.ok()) return status;
  for (auto& [name, table] : tables_) table.changes = std::move(changes[name]);
  return absl::OkStatus();
}

absl::StatusOr<absl::flat_hash_map<std::string, LedgerRow>> Snapshots::LedgerRows(
    const std::string& sql_table, const LedgerRange& range, const Keys& keys) {
  return ReadLedgerRows(ledger_.get(), range, sql_table, *table(sql_table).ldb, keys,
                        options_.max_statement_bytes);
}

absl::StatusOr<bool> Snapshots::LedgerHas(int64_t sequence, absl::string_view digest) {
  // An entry that is not there any more tells nothing.
  bool same = true;
  absl::Status status =
      ledger_->Query("SELECT seq, leader_ts, statement FROM ctlstore_dml_ledger WHERE seq = ?",
                     {sequence}, [&](absl::Span<const ValueView> row) {
                       const LedgerEntry entry{row[0].integer(), std::string(row[1].data()),
                                               std::string(row[2].data())};
                       same = DigestOf(entry) == digest;
                       return absl::OkStatus();
                     });
  if (!status.ok()) return status;
  return same;
}

}  // namespace ctlstore::cli
