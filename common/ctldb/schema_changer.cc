#include "common/ctldb/schema_changer.h"

#include <glog/logging.h>

#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/types/optional.h"
#include "common/ctldb/catalog.h"
#include "common/ctldb/connection_errors.h"
#include "common/ctldb/ledger_transaction.h"
#include "common/ctldb/schema_intents.h"
#include "common/schema/errors.h"
#include "common/sql/ledger_statements.h"
#include "common/sql/quote.h"

namespace ctlstore::ctldb {
namespace {

// How often a change is begun again after others undid it, and a table looked at again after others
// changed it.
constexpr int kMaxAttempts = 3;

// One table's part of a change.
struct TableChange {
  TableName table;
  // Either a new table, or new fields.
  absl::optional<TableSchema> create;
  std::vector<Field> add;
};

absl::StatusOr<std::vector<TableChange>> ParseChanges(absl::Span<const std::string> statements) {
  std::vector<TableChange> changes;
  for (const std::string& statement : statements) {
    absl::StatusOr<TableSchema> create = sql::ParseCreateTable(statement);
    if (create.ok()) {
      const TableName table = create->name();
      changes.push_back(TableChange{table, *std::move(create), {}});
      continue;
    }
    absl::StatusOr<sql::AddedField> added = sql::ParseAddField(statement);
    if (!added.ok()) {
      return absl::FailedPreconditionError(
          "the ctldb has a schema change under way that this version does not know");
    }
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

// Whether the same would be refused again however often it is tried.
bool IsPermanent(const absl::Status& status) {
  return !absl::IsUnavailable(status) && !absl::IsDeadlineExceeded(status) &&
         !absl::IsCancelled(status);
}

// A refusal of the database in terms of the caller's table.
absl::Status Refusal(const TableName& table, const absl::Status& status) {
  if (ErrorReason(status).has_value()) return status;
  const std::string message =
      absl::StrCat("the ctldb refuses ", Named(table), ": ", status.message());
  if (!absl::IsInvalidArgument(status)) return absl::Status(status.code(), message);
  return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kInvalidSchema, message);
}

}  // namespace

// The connections of one change and what is done over them.
class SchemaChanger::Change {
 public:
  // Where `ddl` is another connection than `ledger`, DDL commits by itself.
  Change(Connection* ledger, Connection* ddl, const FaultPoint& fault_point)
      : ledger_(ledger), ddl_(ddl), fault_point_(fault_point) {}

  absl::StatusOr<int64_t> Carry(Plan plan);
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
    // It will never be done.
    absl::Status refused;
  };

  absl::Status Reach(absl::string_view point) const {
    return fault_point_ == nullptr ? absl::OkStatus() : fault_point_(point);
  }
  // Takes the transaction to the end of the oldest intent.
  absl::StatusOr<Completed> CompleteOldest(LedgerTransaction transaction);
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
    if (IsPermanent(status)) return DdlResult{absl::OkStatus(), Refusal(change.table, status)};
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
    // A statement of an executive that is gone may still have been under way: look again.
    if (!absl::IsAlreadyExists(last)) return failed(last);
  }
  return failed(last);
}

absl::StatusOr<SchemaChanger::Change::Completed> SchemaChanger::Change::CompleteOldest(
    LedgerTransaction transaction) {
  absl::StatusOr<SchemaIntent> intent = ReadOldestIntent(ledger_);
  if (!intent.ok()) return intent.status();
  absl::StatusOr<std::vector<TableChange>> changes = ParseChanges(intent->statements);
  if (!changes.ok()) return changes.status();

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

absl::StatusOr<int64_t> SchemaChanger::Change::Carry(Plan plan) {
  absl::optional<int64_t> own_intent;
  int attempts = 0;
  while (true) {
    absl::StatusOr<LedgerTransaction> transaction = LedgerTransaction::Begin(ledger_);
    if (!transaction.ok()) return transaction.status();
    if (transaction->schema_change_pending()) {
      absl::StatusOr<Completed> completed = CompleteOldest(*std::move(transaction));
      if (!completed.ok()) return completed.status();
      if (completed->id != own_intent) continue;
      if (!completed->refusal.ok()) return completed->refusal;
      return completed->sequence;
    }

    absl::StatusOr<std::vector<std::string>> statements = plan(ddl_);
    if (!statements.ok()) return statements.status();
    if (statements->empty()) {
      // Where an intent of ours is gone, someone else has completed it.
      return own_intent.has_value() ? transaction->last_sequence() : 0;
    }
    if (++attempts > kMaxAttempts) {
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
    status = transaction->Commit();
    if (!status.ok()) return status;
    own_intent = *id;
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
  int64_t sequence = 0;
  absl::Status status = WithChange(deadline, [&](Change& change) {
    absl::StatusOr<int64_t> result = change.Carry(plan);
    if (result.ok()) sequence = *result;
    return result.status();
  });
  if (!status.ok()) return status;
  return sequence;
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
            absl::StatusOr<bool> exists = FamilyExists(connection, family);
            if (!exists.ok()) return exists.status();
            if (!*exists) {
              return ErrorWithReason(absl::StatusCode::kNotFound, reason::kFamilyNotFound,
                                     absl::StrCat("there is no family ", family));
            }
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

absl::StatusOr<int64_t> SchemaChanger::DropTable(const TableName&, absl::Time) {
  return absl::UnimplementedError("DropTable");
}

absl::Status SchemaChanger::CompletePending(absl::Time deadline) {
  return WithChange(deadline, [](Change& change) { return change.CompletePending(); });
}

}  // namespace ctlstore::ctldb
