// Runs the ledger's statements.

#ifndef CTLSTORE_COMMON_LDB_STATEMENT_APPLIER_H_
#define CTLSTORE_COMMON_LDB_STATEMENT_APPLIER_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "common/ldb/statement_cache.h"
#include "common/sql/parameterized_statement.h"
#include "common/sqlite/database.h"

namespace ctlstore::ldb {

// Runs statements over one connection, which must outlive it: those of the usual form with their
// literals bound to a prepared statement, all others as text, with the same result. From its
// construction on the connection's authorizer is its own. Not thread-safe.
class StatementApplier {
 public:
  explicit StatementApplier(sqlite::Database* database);
  ~StatementApplier();
  StatementApplier(const StatementApplier&) = delete;
  StatementApplier& operator=(const StatementApplier&) = delete;

  // To be called in a transaction. A statement changes tables and their rows and nothing else, and
  // our own tables never: FAILED_PRECONDITION where it would. Errors show none of its values.
  absl::Status Run(const std::string& statement);

  // The last statement without its literals; null where it was run as text. Valid as long as the
  // statement, and until the next one is run.
  const sql::ParameterizedStatement* parameterized() const {
    return is_parameterized_ ? &parameterized_ : nullptr;
  }

 private:
  absl::Status RunParameterized();
  absl::Status RunText(const std::string& text);
  // Asked by SQLite for each thing that a statement does, when it is prepared.
  static int Authorize(void* self, int action, const char* argument, const char* second,
                       const char* database, const char* trigger);

  sqlite::Database* const database_;
  StatementCache statements_;
  sql::ParameterizedStatement parameterized_;
  bool is_parameterized_ = false;
  bool in_ledger_statement_ = false;
  bool refused_ = false;
};

}  // namespace ctlstore::ldb

#endif  // CTLSTORE_COMMON_LDB_STATEMENT_APPLIER_H_
