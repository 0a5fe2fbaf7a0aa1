#include "common/ctldb/clear_tables.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/ctldb/catalog.h"
#include "common/ctldb/ledger_transaction.h"
#include "common/sql/ledger_statements.h"
#include "common/sql/quote.h"

namespace ctlstore::ctldb {
namespace {

using List = absl::FunctionRef<absl::StatusOr<std::vector<TableName>>(Connection* connection)>;

absl::Status CheckTime(absl::Time deadline) {
  if (absl::Now() < deadline) return absl::OkStatus();
  return absl::DeadlineExceededError("the ctldb was not had in time; nothing was changed");
}

// Clears what `list` returns.
absl::StatusOr<int64_t> Clear(LedgerTransaction transaction, Connection* connection, List list,
                              absl::Time deadline) {
  // The tables are those that there are under the ledger lock.
  absl::StatusOr<std::vector<TableName>> tables = list(connection);
  if (!tables.ok()) return tables.status();
  if (tables->empty()) return 0;
  std::vector<std::string> statements;
  for (const TableName& table : *tables) {
    absl::Status in_time = CheckTime(deadline);
    if (!in_time.ok()) return in_time;
    std::string sql = "DELETE FROM ";
    sql::AppendIdentifier(SqlTableName(table), &sql);
    absl::StatusOr<int64_t> deleted = connection->Execute(sql);
    if (!deleted.ok()) return deleted.status();
    statements.push_back(sql::ClearTableStatement(table));
  }
  const int64_t sequence = transaction.Append(statements);
  absl::Status status = transaction.Commit();
  if (!status.ok()) return status;
  return sequence;
}

absl::StatusOr<int64_t> Clear(ConnectionPool* pool, SchemaChanger* changer, List list,
                              absl::Time deadline) {
  while (true) {
    {
      absl::StatusOr<ConnectionPool::Lease> lease = pool->Acquire(deadline);
      if (!lease.ok()) return lease.status();
      absl::Status in_time = CheckTime(deadline);
      if (!in_time.ok()) return in_time;
      absl::StatusOr<LedgerTransaction> transaction = LedgerTransaction::Begin(lease->get());
      if (!transaction.ok()) return transaction.status();
      if (!transaction->schema_change_pending()) {
        return Clear(*std::move(transaction), lease->get(), list, deadline);
      }
    }
    // The changer takes connections of its own.
    absl::Status completed = changer->CompletePending(deadline);
    if (!completed.ok()) return completed;
  }
}

}  // namespace

absl::StatusOr<int64_t> ClearTable(ConnectionPool* pool, SchemaChanger* changer,
                                   const TableName& table, absl::Time deadline) {
  return Clear(
      pool, changer,
      [&table](Connection* connection) -> absl::StatusOr<std::vector<TableName>> {
        absl::Status family = CheckFamilyExists(connection, table.family);
        if (!family.ok()) return family;
        absl::StatusOr<TableSchema> schema = ReadTable(connection, table);
        if (!schema.ok()) return schema.status();
        return std::vector<TableName>{table};
      },
      deadline);
}

absl::StatusOr<int64_t> ClearFamily(ConnectionPool* pool, SchemaChanger* changer,
                                    absl::string_view family, absl::Time deadline) {
  return Clear(
      pool, changer,
      [family](Connection* connection) -> absl::StatusOr<std::vector<TableName>> {
        absl::Status exists = CheckFamilyExists(connection, family);
        if (!exists.ok()) return exists;
        absl::StatusOr<std::vector<TableSchema>> schemas = ReadTables(connection, family);
        if (!schemas.ok()) return schemas.status();
        std::vector<TableName> tables;
        for (const TableSchema& schema : *schemas) tables.push_back(schema.name());
        return tables;
      },
      deadline);
}

}  // namespace ctlstore::ctldb
