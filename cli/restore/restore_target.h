// The ctldb that is restored.

#ifndef CTLSTORE_CLI_RESTORE_RESTORE_TARGET_H_
#define CTLSTORE_CLI_RESTORE_RESTORE_TARGET_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "common/ctldb/connection.h"
#include "common/ctldb/target.h"
#include "common/schema/table_schema.h"
#include "common/schema/value.h"

namespace ctlstore::cli {

// One connection to a ctldb that gets its rows and then its ledger. From Claim() to Finish() a mark
// is in the ctldb (common/ctldb/restore_mark.h), so that executives leave it alone and nobody takes
// a part for the whole. Each transaction in between makes sure that the mark is still this
// restore's: one that was taken up again by another process writes no more. Not thread-safe.
class RestoreTarget {
 public:
  // UNAVAILABLE where it cannot be reached.
  static absl::StatusOr<std::unique_ptr<RestoreTarget>> Open(
      const ctldb::Target& target, const ctldb::ConnectionOptions& options);

  // Only reads. FAILED_PRECONDITION where Claim() would refuse the ctldb as it is now.
  absl::Status Check(bool resume);

  // Makes the ctldb's own tables and leaves the mark. FAILED_PRECONDITION where there are families,
  // families' tables, ledger entries or schema changes under way; with `resume`, what is there
  // beside the mark of a restore that did not end is not looked at.
  absl::Status Claim(bool resume);

  // The largest sequence that the ledger can hold.
  absl::StatusOr<int64_t> MaxSequence();

  // The names in the database of what may be families' tables, in order.
  absl::StatusOr<std::vector<std::string>> ListTables();

  absl::Status DropTable(const std::string& sql_table);
  absl::Status CreateTable(const TableSchema& schema);

  // The families will be these.
  absl::Status SetFamilies(const std::vector<std::string>& families);

  // In one transaction.
  absl::Status Insert(const TableSchema& schema,
                      absl::Span<const absl::Span<const ValueView>> rows);

  // One transaction: takes the mark away, and has the ledger begin with `statement` at `first` and
  // again at `last`.
  absl::Status Finish(int64_t first, int64_t last, const std::string& statement);

  ctldb::Connection* connection() const { return connection_.get(); }

 private:
  RestoreTarget(const ctldb::Target& target, const ctldb::ConnectionOptions& options,
                std::unique_ptr<ctldb::Connection> connection);

  // Within a transaction or not.
  absl::Status CheckEmpty(bool resume, bool* marked);
  absl::StatusOr<bool> HasRows(const std::string& table);
  // `work` in a transaction in which the mark is locked and this restore's.
  absl::Status InTransaction(absl::FunctionRef<absl::Status()> work);
  absl::Status CheckMark();
  // Whether a transaction that may have been committed was.
  absl::StatusOr<bool> LedgerHas(int64_t sequence);

  const ctldb::Target target_;
  const ctldb::ConnectionOptions options_;
  std::unique_ptr<ctldb::Connection> connection_;
  // This restore's number in the mark.
  const int64_t number_;
};

}  // namespace ctlstore::cli

#endif  // CTLSTORE_CLI_RESTORE_RESTORE_TARGET_H_
