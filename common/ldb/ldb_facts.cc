#include "common/ldb/ldb_facts.h"

#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "common/ldb/ldb_tables.h"
#include "common/schema/value.h"

namespace ctlstore::ldb {
namespace {

constexpr char kHasTable[] =
    "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ?1";
constexpr char kCountSkipped[] = "SELECT count(*) FROM _ldb_skipped";

// The first value of a query with a parameter or none; NULL where there is no row, or not the
// table.
absl::StatusOr<Value> QueryValue(sqlite::Database* database, const char* table, const char* sql,
                                 const char* parameter = nullptr) {
  if (table != nullptr) {
    absl::StatusOr<Value> there = QueryValue(database, nullptr, kHasTable, table);
    if (!there.ok()) return there.status();
    if (*there != Value::Integer(1)) return Value();
  }
  absl::StatusOr<std::unique_ptr<sqlite::Statement>> statement = database->Prepare(sql);
  if (!statement.ok()) return statement.status();
  if (parameter != nullptr) {
    absl::Status status = (*statement)->Bind(1, absl::string_view(parameter));
    if (!status.ok()) return status;
  }
  absl::StatusOr<bool> row = (*statement)->Step();
  if (!row.ok()) return row.status();
  return *row ? Value((*statement)->Column(0)) : Value();
}

absl::StatusOr<LdbFacts> Read(sqlite::Database* database) {
  const absl::StatusOr<Value> is_ldb = QueryValue(database, nullptr, kHasTable, "_ldb_seq");
  if (!is_ldb.ok()) return is_ldb.status();
  if (*is_ldb != Value::Integer(1)) {
    return absl::FailedPreconditionError("it is no local database: there is no table _ldb_seq");
  }
  LdbFacts facts;
  Value state_sequence, digest, last_update, families, skipped, sequence;
  const struct {
    Value* value;
    const char* table;
    const char* sql;
    const char* parameter;
  } queries[] = {
      {&sequence, nullptr, kReadSequence, nullptr},
      {&state_sequence, "_ldb_state", kReadState, kStateSequence},
      {&digest, "_ldb_state", kReadState, kStateDigest},
      {&families, "_ldb_state", kReadState, kStateFamilies},
      {&last_update, "_ldb_last_update", kReadLastUpdate, nullptr},
      {&skipped, "_ldb_skipped", kCountSkipped, nullptr},
  };
  for (const auto& query : queries) {
    absl::StatusOr<Value> value = QueryValue(database, query.table, query.sql, query.parameter);
    if (!value.ok()) return value.status();
    *query.value = *std::move(value);
  }
  if (sequence.kind() == ValueKind::kInteger) facts.position.sequence = sequence.integer();
  if (facts.position.sequence > 0 && state_sequence == sequence &&
      digest.kind() == ValueKind::kBytes) {
    facts.position.digest = digest.data();
  }
  if (last_update.kind() == ValueKind::kText) facts.last_update = last_update.data();
  if (families.kind() == ValueKind::kText) {
    facts.families = absl::StrSplit(families.data(), ',', absl::SkipEmpty());
  }
  if (skipped.kind() == ValueKind::kInteger) facts.skipped_entries = skipped.integer();
  return facts;
}

}  // namespace

absl::StatusOr<LdbFacts> ReadLdbFacts(sqlite::Database* database) {
  if (database->in_transaction()) return Read(database);
  absl::Status status = database->Execute("BEGIN");
  if (!status.ok()) return status;
  absl::StatusOr<LdbFacts> facts = Read(database);
  if (database->in_transaction()) database->Execute("ROLLBACK").IgnoreError();
  return facts;
}

}  // namespace ctlstore::ldb
