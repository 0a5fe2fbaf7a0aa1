#include "common/ctldb/schema_changer.h"

#include <glog/logging.h>

#include <algorithm>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/types/optional.h"
#include "common/base/backoff.h"
#include "common/ctldb/catalog.h"
#include "common/ctldb/connection_errors.h"
#include "common/ctldb/ledger_transaction.h"
#include "common/ctldb/schema_intents.h"
#include "common/schema/errors.h"
#include "common/sql/ledger_statements.h"
#include "common/sql/quote.h"

namespace ctlstore::ctldb {
namespace {

// The pauses before it is looked again how a change ended that was begun.
constexpr absl::Duration kFirstWait = absl::Milliseconds(20);
constexpr absl::Duration kMaxWait = absl::Seconds(1);

// How often a change is begun again after others undid it, and a table looked at again after others
// changed it.
constexpr int kMaxAttempts = 3;

// One table's part of a change.
struct TableChange {
  TableName table;
  // A new table, or new fields, or no table any more.
  absl::optional<TableSchema> create;
  std::vector<Field> add;
  bool drop = false;
};

absl::Status UnknownIntent() {
  return absl::FailedPreconditionError(
      "the ctldb has a schema change under way that this version does not know");
}

absl::StatusOr<std::vector<TableChange>> ParseChanges(absl::Span<const std::string> statements) {
  std::vector<TableChange> changes;
  for (const std::string& statement : statements) {
    absl::StatusOr<TableSchema> create = sql::ParseCreateTable(statement);
    if (create.ok()) {
      const TableName table = create->name();
      changes.push_back(TableChange{table, *std::move(create), {}});
      continue;
    }
    absl::StatusOr<TableName> dropped = sql::ParseDropTable(statement);
    if (dropped.ok()) {
      // Always alone: what comes with it could be refused when the table is gone already.
      if (statements.size() != 1) return UnknownIntent();
      changes.push_back(TableChange{*std::move(dropped), absl::nullopt, {}, /*drop=*/true});
      continue;
    }
    absl::StatusOr<sql::AddedField> added = sql::ParseAddField(statement);
    if (!added.ok()) return UnknownIntent();
    const bool goes_on = !changes.empty() && !changes.back().create.has_value() &&
                         changes.back().table == added->table;
    if (!goes_on) changes.push_back(TableChange{added->table, absl::nullopt, {}});
    changes.back().add.push_back(std::move(added->field));
  }
  return changes;
}

std::string Named(const TableName& table) {
  return absl::StrCat("the table ", table.table, " of the family ", table.family);
}

absl::Status Differs(const TableSchema& existing, const TableSchema& wanted) {
  return ErrorWithReason(absl::StatusCode::kAlreadyExists, reason::kTableDiffers,
                         absl::StrCat(Named(existing.name()), " exists with another definition: ",
                                      DescribeDifference(existing, wanted)));
}

// The DDL that is still missing for `change`; nothing where the table is as wanted already.
absl::StatusOr<std::vector<std::string>> MissingDdl(Connection* connection,
                                                    const TableChange& change) {
  absl::StatusOr<TableSchema> existing = ReadTable(connection, change.table);
  if (change.drop) {
    if (absl::IsNotFound(existing.status())) return std::vector<std::string>{};
    if (!existing.ok()) return existing.status();
    std::string table;
    sql::AppendIdentifier(SqlTableName(change.table), &table);
    return std::vector<std::string>{absl::StrCat("DROP TABLE ", table)};
  }
  if (change.create.has_value()) {
    if (absl::IsNotFound(existing.status())) {
      return std::vector<std::string>{connection->dialect().CreateTable(*change.create)};
    }
    if (!existing.ok()) return existing.status();
    if (*existing != *change.create) return Differs(*existing, *change.create);
    return std::vector<std::string>{};
  }
  if (!existing.ok()) return existing.status();
  std::vector<Field> missing;
  absl::StatusOr<TableSchema> extended = existing->WithFields(change.add, &missing);
  if (!extended.ok()) return extended.status();
  return connection->dialect().AddFields(change.table, missing);
}

absl::StatusOr<bool> HasRows(Connection* connection, const std::string& table_and_condition) {
  bool found = false;
  absl::Status status =
      connection->Query(absl::StrCat("SELECT 1 FROM ", table_and_condition, " LIMIT 1"), {},
                        [&found](absl::Span<const ValueView>) {
                          found = true;
                          return absl::OkStatus();
                        });
  if (!status.ok()) return status;
  return found;
}

// Runs `statement` unless `table_and_condition` selects rows. A change whose intent was never
// completed has none, so whatever has some was made by others meanwhile and is theirs.
absl::Status DropUnlessUsed(Connection* connection, const std::string& statement,
                            const std::string& table_and_condition) {
  absl::StatusOr<bool> used = HasRows(connection, table_and_condition);
  if (!used.ok()) return used.status();
  if (!*used) return connection->Execute(statement).status();
  LOG(ERROR) << "event=schema_change_not_undone statement=\"" << statement
             << "\" reason=\"there are rows\"";
  return absl::OkStatus();
}

// Takes back what is there of `change`, which was not there when its intent was written.
absl::Status UndoTable(Connection* connection, const TableChange& change) {
  // A drop that was refused has left the table.
  if (change.drop) return absl::OkStatus();
  absl::StatusOr<TableSchema> existing = ReadTable(connection, change.table);
  if (absl::IsNotFound(existing.status())) return absl::OkStatus();
  if (!existing.ok()) {
    // Not of ctlstore's making, so not of this change's either.
    return absl::IsFailedPrecondition(existing.status()) ? absl::OkStatus() : existing.status();
  }
  std::string table;
  sql::AppendIdentifier(SqlTableName(change.table), &table);
  if (change.create.has_value()) {
    if (*existing != *change.create) return absl::OkStatus();
    return DropUnlessUsed(connection, absl::StrCat("DROP TABLE ", table), table);
  }
  for (const Field& field : change.add) {
    const absl::optional<size_t> position = existing->FindField(field.name);
    if (!position.has_value() || !(existing->fields()[*position] == field)) continue;
    std::string column;
    sql::AppendIdentifier(field.name, &column);
    absl::Status status =
        DropUnlessUsed(connection, absl::StrCat("ALTER TABLE ", table, " DROP COLUMN ", column),
                       absl::StrCat(table, " WHERE ", column, " IS NOT NULL"));
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status Undo(Connection* connection, absl::Span<const TableChange> changes) {
  for (size_t i = changes.size(); i > 0; --i) {
    absl::Status status = UndoTable(connection, changes[i - 1]);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

// Whether the database has answered that it does not do it: for good, or because others use the
// table. They may do so for hours, and as long as there is an intent, nobody can write.
bool IsRefusal(const absl::Status& status) {
  return IsDatabaseBusy(status) ||
         (!absl::IsUnavailable(status) && !absl::IsDeadlineExceeded(status) &&
          !absl::IsCancelled(status));
}

// A refusal of the database in terms of the caller's table.
absl::Status Refusal(const TableName& table, const absl::Status& status) {
  if (ErrorReason(status).has_value()) return status;
  const std::string message =
      absl::StrCat("the ctldb refuses ", Named(table), ": ", status.message());
  if (!absl::IsInvalidArgument(status)) return absl::Status(status.code(), message);
  return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kInvalidSchema, message);
}

// Holds the DDL lock. On a server that has no such locks, as some clusters, it holds nothing.
class DdlLock {
 public:
  static absl::StatusOr<DdlLock> Take(Connection* connection) {
    const std::string sql = connection->dialect().TakeDdlLock();
    if (sql.empty()) return DdlLock(nullptr);
    int64_t taken = 0;
    absl::Status status = connection->Query(sql, {}, [&taken](absl::Span<const ValueView> row) {
      taken = row[0].integer();
      return absl::OkStatus();
    });
    if (absl::IsUnavailable(status)) return status;
    if (!status.ok()) {
      LOG_FIRST_N(WARNING, 10) << "event=ddl_lock_not_supported error=\"" << status << "\"";
      return DdlLock(nullptr);
    }
    if (taken == 0) return DatabaseBusy("another executive changes tables");
    return DdlLock(connection);
  }
  DdlLock(DdlLock&& other) noexcept : connection_(std::exchange(other.connection_, nullptr)) {}
  DdlLock& operator=(DdlLock&&) = delete;
  ~DdlLock() {
    if (connection_ == nullptr || connection_->broken()) return;
    connection_
        ->Query(connection_->dialect().GiveDdlLock(), {},
                [](absl::Span<const ValueView>) { return absl::OkStatus(); })
        .IgnoreError();
  }

 private:
  explicit DdlLock(Connection* connection) : connection_(connection) {}
  Connection* connection_;
};

}  // namespace

// How far one call has come, over all the connections that it needed.
struct SchemaChanger::Progress {
  // The intent that was written down and is not known to have ended.
  absl::optional<int64_t> intent;
  std::vector<std::string> statements;
  // The ledger's last sequence before it.
  int64_t sequence_before = 0;
  int attempts = 0;
};

// The connections of one change and what is done over them.
class SchemaChanger::Change {
 public:
  // Where `ddl` is another connection than `ledger`, DDL commits by itself.
  Change(Connection* ledger, Connection* ddl, const FaultPoint& fault_point)
      : ledger_(ledger), ddl_(ddl), fault_point_(fault_point) {}

  absl::StatusOr<int64_t> Carry(Plan plan, Progress* progress);
  absl::Status CompletePending();

 private:
  // How an intent ended.
  struct Completed {
    int64_t id = 0;
    int64_t sequence = 0;
    // Not OK where the database refused the change, which was undone then.
    absl::Status refusal;
  };
  // How DDL ended; both OK where it was done.
  struct DdlResult {
    // It ended in the middle; it may be taken up again.
    absl::Status interrupted;
    // The database does not do it.
    absl::Status refused;
  };

  absl::Status Reach(absl::string_view point) const {
    return fault_point_ == nullptr ? absl::OkStatus() : fault_point_(point);
  }
  // Takes the transaction to the end of the oldest intent.
  absl::StatusOr<Completed> CompleteOldest(LedgerTransaction transaction);
  // The ledger sequence of a change that someone else may have completed, 0 where it was undone.
  absl::StatusOr<int64_t> FindCompleted(const Progress& progress);
  // Carries out the whole change in the transaction.
  absl::StatusOr<int64_t> CarryInOne(LedgerTransaction transaction,
                                     const std::vector<std::string>& statements);
  DdlResult RunDdl(absl::Span<const TableChange> changes);
  DdlResult RunDdl(const TableChange& change);

  Connection* const ledger_;
  Connection* const ddl_;
  const FaultPoint& fault_point_;
};

SchemaChanger::Change::DdlResult SchemaChanger::Change::RunDdl(
    absl::Span<const TableChange> changes) {
  for (const TableChange& change : changes) {
    DdlResult result = RunDdl(change);
    if (!result.interrupted.ok() || !result.refused.ok()) return result;
  }
  return DdlResult{};
}

SchemaChanger::Change::DdlResult SchemaChanger::Change::RunDdl(const TableChange& change) {
  const auto failed = [&change](const absl::Status& status) {
    if (IsRefusal(status)) return DdlResult{absl::OkStatus(), Refusal(change.table, status)};
    return DdlResult{status, absl::OkStatus()};
  };
  absl::Status last;
  for (int attempt = 0; attempt < kMaxAttempts; ++attempt) {
    absl::StatusOr<std::vector<std::string>> missing = MissingDdl(ddl_, change);
    if (!missing.ok()) return failed(missing.status());
    last = absl::OkStatus();
    for (const std::string& statement : *missing) {
      absl::Status point = Reach("before_ddl");
      if (!point.ok()) return DdlResult{point, absl::OkStatus()};
      last = ddl_->Execute(statement).status();
      if (!last.ok()) break;
      point = Reach("after_ddl");
      if (!point.ok()) return DdlResult{point, absl::OkStatus()};
    }
    if (last.ok()) return DdlResult{};
    // Others than this version's executives may have done it meanwhile: look again.
    if (!absl::IsAlreadyExists(last) && !(change.drop && absl::IsNotFound(last))) {
      return failed(last);
    }
  }
  return failed(last);
}

absl::StatusOr<SchemaChanger::Change::Completed> SchemaChanger::Change::CompleteOldest(
    LedgerTransaction transaction) {
  absl::StatusOr<SchemaIntent> intent = ReadOldestIntent(ledger_);
  if (!intent.ok()) return intent.status();
  absl::StatusOr<std::vector<TableChange>> changes = ParseChanges(intent->statements);
  if (!changes.ok()) return changes.status();

  // Held to the end of the transaction: what was undone must not be done by another after all.
  absl::StatusOr<DdlLock> ddl_lock = DdlLock::Take(ddl_);
  if (!ddl_lock.ok()) return ddl_lock.status();
  absl::StatusOr<bool> exists = IntentExists(ddl_, intent->id);
  if (!exists.ok()) return exists.status();
  if (!*exists) return DatabaseUnavailable("the ledger lock was lost with its connection");

  DdlResult result = RunDdl(*changes);
  if (!result.interrupted.ok()) return result.interrupted;
  // The intent is removed first: that is a sign of life of the connection that holds the ledger
  // lock. Without the lock someone else may have completed this very change, and nothing of it may
  // be undone.
  absl::Status status = RemoveIntent(ledger_, intent->id);
  if (!status.ok()) return status;
  Completed completed;
  completed.id = intent->id;
  if (!result.refused.ok()) {
    LOG(WARNING) << "event=schema_change_refused intent=" << intent->id << " error=\""
                 << result.refused << "\"";
    status = Undo(ddl_, *changes);
    if (!status.ok()) return status;
    completed.refusal = result.refused;
  } else {
    completed.sequence = transaction.Append(intent->statements);
    status = transaction.CountSchemaChange();
    if (!status.ok()) return status;
  }
  status = Reach("before_commit");
  if (!status.ok()) return status;
  status = transaction.Commit();
  if (!status.ok()) return status;
  status = Reach("after_commit");
  if (!status.ok()) return status;
  return completed;
}

absl::StatusOr<int64_t> SchemaChanger::Change::CarryInOne(
    LedgerTransaction transaction, const std::vector<std::string>& statements) {
  absl::StatusOr<std::vector<TableChange>> changes = ParseChanges(statements);
  if (!changes.ok()) return changes.status();
  DdlResult result = RunDdl(*changes);
  if (!result.interrupted.ok()) return result.interrupted;
  if (!result.refused.ok()) return result.refused;
  const int64_t sequence = transaction.Append(statements);
  absl::Status status = transaction.CountSchemaChange();
  if (!status.ok()) return status;
  status = Reach("before_commit");
  if (!status.ok()) return status;
  status = transaction.Commit();
  if (!status.ok()) return status;
  status = Reach("after_commit");
  if (!status.ok()) return status;
  return sequence;
}

absl::StatusOr<int64_t> SchemaChanger::Change::FindCompleted(const Progress& progress) {
  int64_t sequence = 0;
  for (const std::string& statement : progress.statements) {
    int64_t first = 0;
    absl::Status status = ledger_->Query(
        "SELECT COALESCE(MIN(seq), 0) FROM ctlstore_dml_ledger WHERE seq > ? AND statement = ?",
        {progress.sequence_before, statement}, [&first](absl::Span<const ValueView> row) {
          first = row[0].integer();
          return absl::OkStatus();
        });
    if (!status.ok()) return status;
    if (first == 0) return 0;
    sequence = std::max(sequence, first);
  }
  // The marker at the end comes after the last statement.
  return progress.statements.size() > 1 ? sequence + 1 : sequence;
}

absl::StatusOr<int64_t> SchemaChanger::Change::Carry(Plan plan, Progress* progress) {
  while (true) {
    absl::StatusOr<LedgerTransaction> transaction = LedgerTransaction::Begin(ledger_);
    if (!transaction.ok()) return transaction.status();
    if (transaction->schema_change_pending()) {
      absl::StatusOr<Completed> completed = CompleteOldest(*std::move(transaction));
      if (!completed.ok()) return completed.status();
      if (completed->id != progress->intent) continue;
      progress->intent.reset();
      if (!completed->refusal.ok()) return completed->refusal;
      return completed->sequence;
    }
    if (progress->intent.has_value()) {
      // Where it was completed, the tables may be others' by now, and are not looked at again.
      absl::StatusOr<int64_t> sequence = FindCompleted(*progress);
      if (!sequence.ok()) return sequence;
      progress->intent.reset();
      if (*sequence != 0) return *sequence;
    }

    absl::StatusOr<std::vector<std::string>> statements = plan(ddl_);
    if (!statements.ok()) return statements.status();
    if (statements->empty()) return 0;
    if (++progress->attempts > kMaxAttempts) {
      return DatabaseBusy("other executives undid this change of the schema each time");
    }
    absl::Status status = Reach("before_intent");
    if (!status.ok()) return status;
    if (ddl_ == ledger_) {
      status = Reach("after_intent");
      if (!status.ok()) return status;
      return CarryInOne(*std::move(transaction), *statements);
    }
    absl::StatusOr<int64_t> id = AddIntent(ledger_, *statements);
    if (!id.ok()) return id.status();
    progress->sequence_before = transaction->last_sequence();
    progress->statements = *std::move(statements);
    status = transaction->Commit();
    // With an unknown outcome it may be there.
    if (status.ok() || ErrorReason(status) == reason::kOutcomeUnknown) progress->intent = *id;
    if (!status.ok()) return status;
    status = Reach("after_intent");
    if (!status.ok()) return status;
  }
}

absl::Status SchemaChanger::Change::CompletePending() {
  while (true) {
    absl::StatusOr<LedgerTransaction> transaction = LedgerTransaction::Begin(ledger_);
    if (!transaction.ok()) return transaction.status();
    if (!transaction->schema_change_pending()) return absl::OkStatus();
    absl::StatusOr<Completed> completed = CompleteOldest(*std::move(transaction));
    if (!completed.ok()) return completed.status();
    if (!completed->refusal.ok()) continue;
    LOG(INFO) << "event=schema_change_completed intent=" << completed->id
              << " sequence=" << completed->sequence;
  }
}

SchemaChanger::SchemaChanger(ConnectionPool* pool, FaultPoint fault_point)
    : pool_(pool), fault_point_(std::move(fault_point)) {}

absl::Status SchemaChanger::TakeTurn(absl::Time deadline) {
  absl::MutexLock lock(&mutex_);
  const auto is_free = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return !changing_; };
  if (!mutex_.AwaitWithDeadline(absl::Condition(&is_free), deadline)) {
    return DatabaseBusy("other changes of the schema did not end in time");
  }
  changing_ = true;
  return absl::OkStatus();
}

void SchemaChanger::GiveTurn() {
  absl::MutexLock lock(&mutex_);
  changing_ = false;
}

absl::Status SchemaChanger::WithChange(absl::Time deadline,
                                       absl::FunctionRef<absl::Status(Change&)> work) {
  absl::Status turn = TakeTurn(deadline);
  if (!turn.ok()) return turn;
  const absl::Cleanup give_turn = [this] { GiveTurn(); };
  {
    absl::StatusOr<ConnectionPool::Lease> one = pool_->Acquire(deadline);
    if (!one.ok()) return one.status();
    if ((*one)->dialect().transactional_ddl()) {
      Change change(one->get(), one->get(), fault_point_);
      return work(change);
    }
  }
  absl::StatusOr<std::pair<ConnectionPool::Lease, ConnectionPool::Lease>> two =
      pool_->AcquireTwo(deadline);
  if (!two.ok()) return two.status();
  Change change(two->first.get(), two->second.get(), fault_point_);
  return work(change);
}

absl::StatusOr<int64_t> SchemaChanger::Carry(Plan plan, absl::Time deadline) {
  Progress progress;
  Backoff backoff(kFirstWait, kMaxWait);
  while (true) {
    int64_t sequence = 0;
    absl::Status status = WithChange(deadline, [&](Change& change) {
      absl::StatusOr<int64_t> result = change.Carry(plan, &progress);
      if (result.ok()) sequence = *result;
      return result.status();
    });
    if (status.ok()) return sequence;
    if (!progress.intent.has_value() || !absl::IsUnavailable(status)) return status;
    // The intent will be completed, perhaps by others. A caller that tried it all again would take
    // what this call has done for something that was there before.
    const absl::Duration wait = backoff.Next();
    if (absl::Now() + wait >= deadline) {
      return OutcomeUnknown(absl::StrCat("the change was begun, and it is not known how it ended: ",
                                         status.message()));
    }
    absl::SleepFor(wait);
  }
}

absl::StatusOr<int64_t> SchemaChanger::CreateTables(absl::Span<const TableSchema> tables,
                                                    absl::Time deadline) {
  absl::flat_hash_map<TableName, const TableSchema*> wanted;
  for (const TableSchema& table : tables) {
    const auto [entry, is_new] = wanted.emplace(table.name(), &table);
    if (!is_new && *entry->second != table) {
      return ErrorWithReason(
          absl::StatusCode::kInvalidArgument, reason::kInvalidSchema,
          absl::StrCat(Named(table.name()), " is asked for with two different definitions"));
    }
  }
  return Carry(
      [&](Connection* connection) -> absl::StatusOr<std::vector<std::string>> {
        std::vector<std::string> statements;
        absl::flat_hash_map<std::string, bool> families;
        for (const TableSchema& table : tables) {
          if (wanted[table.name()] != &table) continue;
          const std::string& family = table.name().family;
          if (!families.contains(family)) {
            absl::Status status = CheckFamilyExists(connection, family);
            if (!status.ok()) return status;
            families[family] = true;
          }
          absl::StatusOr<TableSchema> existing = ReadTable(connection, table.name());
          if (absl::IsNotFound(existing.status())) {
            statements.push_back(sql::CreateTableStatement(table));
          } else if (!existing.ok()) {
            return existing.status();
          } else if (*existing != table) {
            return Differs(*existing, table);
          }
        }
        return statements;
      },
      deadline);
}

absl::StatusOr<int64_t> SchemaChanger::AddFields(const TableName& table,
                                                 absl::Span<const Field> fields,
                                                 absl::Time deadline) {
  return Carry(
      [&](Connection* connection) -> absl::StatusOr<std::vector<std::string>> {
        absl::StatusOr<TableSchema> existing = ReadTable(connection, table);
        if (!existing.ok()) return existing.status();
        std::vector<Field> added;
        absl::StatusOr<TableSchema> extended = existing->WithFields(fields, &added);
        if (!extended.ok()) return extended.status();
        std::vector<std::string> statements;
        for (const Field& field : added) {
          statements.push_back(sql::AddFieldStatement(table, field));
        }
        return statements;
      },
      deadline);
}

absl::StatusOr<int64_t> SchemaChanger::DropTable(const TableName& table, absl::Time deadline) {
  return Carry(
      [&](Connection* connection) -> absl::StatusOr<std::vector<std::string>> {
        absl::Status status = CheckFamilyExists(connection, table.family);
        if (!status.ok()) return status;
        absl::StatusOr<TableSchema> existing = ReadTable(connection, table);
        if (!existing.ok()) return existing.status();
        return std::vector<std::string>{sql::DropTableStatement(table)};
      },
      deadline);
}

absl::Status SchemaChanger::CompletePending(absl::Time deadline) {
  return WithChange(deadline, [](Change& change) { return change.CompletePending(); });
}

}  // namespace ctlstore::ctldb
