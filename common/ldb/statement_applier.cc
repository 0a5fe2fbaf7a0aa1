#include "common/ldb/statement_applier.h"

#include <sqlite3.h>

#include <cstddef>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/schema/table_schema.h"
#include "common/sql/ledger_statements.h"

namespace ctlstore::ldb {
namespace {

constexpr size_t kCachedStatements = 500;

// Whether SQLite finds no statement in `sql`: white space, semicolons and comments only.
bool IsEmptySql(absl::string_view sql) {
  while (!sql.empty()) {
    if (absl::StartsWith(sql, "--")) {
      const size_t end = sql.find('\n');
      if (end == absl::string_view::npos) return true;
      sql.remove_prefix(end + 1);
    } else if (absl::StartsWith(sql, "/*")) {
      const size_t end = sql.find("*/", 2);
      if (end == absl::string_view::npos) return true;
      sql.remove_prefix(end + 2);
    } else if (absl::StrContains(" \t\n\f\r;", sql[0])) {
      sql.remove_prefix(1);
    } else {
      return false;
    }
  }
  return true;
}

bool IsDefinition(absl::string_view statement) {
  statement = absl::StripLeadingAsciiWhitespace(statement);
  return absl::StartsWithIgnoreCase(statement, "CREATE") ||
         absl::StartsWithIgnoreCase(statement, "ALTER") ||
         absl::StartsWithIgnoreCase(statement, "DROP");
}

// Whether the table is better kept in the order of its key, without a rowid. A single integer key
// is the rowid itself, and long values in the key's tree would make it deep.
bool IsBetterWithoutRowid(const TableSchema& schema) {
  for (const Field& field : schema.fields()) {
    if (field.type == FieldType::kText || field.type == FieldType::kBinary) return false;
  }
  return schema.key_positions().size() > 1 || schema.key_field(0).type != FieldType::kInteger;
}

// The statement as it is run here: tables get the layout that reads fastest.
std::string WithLayout(absl::string_view statement) {
  if (IsDefinition(statement)) {
    absl::StatusOr<TableSchema> schema = sql::ParseCreateTable(statement);
    if (schema.ok() && IsBetterWithoutRowid(*schema)) {
      const std::string create = sql::CreateTableStatement(*schema);
      return absl::StrCat(absl::StripSuffix(create, ";"), " WITHOUT ROWID");
    }
  }
  return std::string(statement);
}

bool IsOwnTable(const char* name) {
  return name != nullptr && absl::StartsWithIgnoreCase(name, "_ldb_");
}

}  // namespace

StatementApplier::StatementApplier(sqlite::Database* database)
    : database_(database), statements_(database, kCachedStatements) {
  sqlite3_set_authorizer(database_->handle(), &StatementApplier::Authorize, this);
}

StatementApplier::~StatementApplier() {
  sqlite3_set_authorizer(database_->handle(), nullptr, nullptr);
}

absl::Status StatementApplier::Run(const std::string& statement) {
  in_ledger_statement_ = true;
  refused_ = false;
  is_parameterized_ = sql::ParameterizeStatement(statement, &parameterized_);
  absl::Status status = is_parameterized_ ? RunParameterized() : RunText(statement);
  in_ledger_statement_ = false;
  if (status.ok()) {
    if (database_->in_transaction()) return status;
    return absl::FailedPreconditionError("it ended the transaction");
  }
  if (refused_) return absl::FailedPreconditionError("a ledger statement must not do this");
  // That code says something else here.
  if (absl::IsInvalidArgument(status)) return absl::FailedPreconditionError(status.message());
  return status;
}

absl::Status StatementApplier::RunParameterized() {
  absl::StatusOr<sqlite::Statement*> statement = statements_.Get(parameterized_.sql);
  if (!statement.ok()) return statement.status();
  absl::Status status;
  for (size_t i = 0; i < parameterized_.parameters.size() && status.ok(); ++i) {
    status = (*statement)->Bind(static_cast<int>(i + 1), parameterized_.parameters[i]);
  }
  if (status.ok()) return (*statement)->Run();
  (*statement)->Reset();
  return status;
}

absl::Status StatementApplier::RunText(const std::string& text) {
  if (absl::StrContains(text, '\0')) {
    return absl::FailedPreconditionError("the statement holds a NUL");
  }
  const std::string statement_text = WithLayout(text);
  absl::string_view tail;
  absl::StatusOr<std::unique_ptr<sqlite::Statement>> statement =
      database_->Prepare(statement_text, &tail);
  if (!statement.ok()) {
    // SQLite's message repeats what it does not understand, which may be a value; definitions have
    // none.
    if (IsDefinition(text)) return statement.status();
    return absl::Status(statement.status().code(), "SQLite does not take the statement");
  }
  if (!IsEmptySql(tail)) {
    return absl::FailedPreconditionError("there are several statements in it");
  }
  while (true) {
    absl::StatusOr<bool> row = (*statement)->Step();
    if (!row.ok()) return row.status();
    if (!*row) return absl::OkStatus();
  }
}

// The ledger's statements neither end our transaction nor touch our own tables.
int StatementApplier::Authorize(void* self, int action, const char* argument, const char* second,
                                const char* /*database*/, const char* /*trigger*/) {
  auto* applier = static_cast<StatementApplier*>(self);
  if (!applier->in_ledger_statement_) return SQLITE_OK;
  switch (action) {
    case SQLITE_FUNCTION:
    case SQLITE_READ:
    case SQLITE_RECURSIVE:
    case SQLITE_REINDEX:
    case SQLITE_SELECT:
      return SQLITE_OK;
    case SQLITE_CREATE_TABLE:
    case SQLITE_DELETE:
    case SQLITE_DROP_TABLE:
    case SQLITE_INSERT:
    case SQLITE_UPDATE:
      if (!IsOwnTable(argument)) return SQLITE_OK;
      break;
    case SQLITE_ALTER_TABLE:
    case SQLITE_CREATE_INDEX:
    case SQLITE_DROP_INDEX:
      if (!IsOwnTable(second)) return SQLITE_OK;
      break;
    default:
      break;
  }
  applier->refused_ = true;
  return SQLITE_DENY;
}

}  // namespace ctlstore::ldb
