// The guardian of the system of record.

#ifndef CTLSTORE_EXECUTIVE_EXECUTIVE_H_
#define CTLSTORE_EXECUTIVE_EXECUTIVE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "absl/types/span.h"
#include "common/ctldb/connection.h"
#include "common/ctldb/connection_pool.h"
#include "common/ctldb/ledger_transaction.h"
#include "common/ctldb/schema_changer.h"
#include "common/ctldb/target.h"
#include "common/ctldb/writers.h"
#include "common/schema/table_schema.h"
#include "executive/credentials.h"
#include "executive/mutation_plan.h"
#include "executive/table_cache.h"

namespace ctlstore::executive {

// Everything that may change a ctldb passes through here: requests are checked as a whole before
// anything is written, and what is written goes to the tables and to the ledger in one transaction.
// Knows nothing of how it is called; ExecutiveService is its gRPC face.
//
// Each method answers by `deadline`, or soon after it: a wait for a lock of the ctldb ends with the
// connections' lock timeout at the latest. What the ctldb refuses for the moment (a
// lock not had in time, a broken connection) is tried again a few times. Errors, besides those
// named at each method:
//   INVALID_ARGUMENT     names the field in the request (ErrorField) and has a reason.
//   DEADLINE_EXCEEDED    the deadline came first.
//   UNAVAILABLE          with a retry delay.
// After the last two a Mutate has changed nothing, unless the reason is OUTCOME_UNKNOWN; the other
// methods can be called again without harm.
//
// Any number of executives may work on one ctldb. Thread-safe. The pool and the changer must
// outlive it.
class Executive {
 public:
  struct Options {
    // To look at the ledger over a connection of its own when a commit's outcome is not known.
    ctldb::Target ctldb;
    ctldb::ConnectionOptions connection;
    // How long to look, at most.
    absl::Duration outcome_timeout = absl::Seconds(10);
  };

  Executive(Options options, ctldb::ConnectionPool* pool, ctldb::SchemaChanger* changer);
  Executive(const Executive&) = delete;
  Executive& operator=(const Executive&) = delete;

  // INVALID_ARGUMENT (TOO_LARGE) where a request's bytes, in whatever form it came, are too many.
  static absl::Status CheckRequestSize(size_t bytes);

  // Succeeds where the family exists already.
  absl::Status CreateFamily(absl::string_view family, absl::Time deadline);

  // Creates the tables, 1 to 100, all of them or none. Those that exist with the same definition
  // are left as they are. Returns the ledger sequence, 0 where all existed. The paths in errors
  // begin with "tables".
  //   NOT_FOUND (FAMILY_NOT_FOUND), ALREADY_EXISTS (TABLE_DIFFERS).
  absl::StatusOr<int64_t> CreateTables(absl::Span<const TableSchema> tables, absl::Time deadline);

  // Adds the fields, at least one, all of them or none. Returns the ledger sequence, 0 where all
  // existed.
  //   NOT_FOUND (FAMILY_NOT_FOUND, TABLE_NOT_FOUND), ALREADY_EXISTS (FIELD_DIFFERS).
  absl::StatusOr<int64_t> AddFields(absl::string_view family, absl::string_view table,
                                    absl::Span<const Field> fields, absl::Time deadline);

  //   NOT_FOUND (FAMILY_NOT_FOUND, TABLE_NOT_FOUND).
  absl::StatusOr<TableSchema> GetTable(absl::string_view family, absl::string_view table,
                                       absl::Time deadline);

  // Of all families where `family` is empty; by name.
  //   NOT_FOUND (FAMILY_NOT_FOUND).
  absl::StatusOr<std::vector<TableSchema>> ListTables(absl::string_view family,
                                                      absl::Time deadline);

  // In order.
  absl::StatusOr<std::vector<std::string>> ListFamilies(absl::Time deadline);

  // Succeeds where the writer exists with the same secret.
  //   ALREADY_EXISTS (WRITER_DIFFERS).
  absl::Status RegisterWriter(absl::string_view writer, absl::string_view secret,
                              absl::Time deadline);

  //   UNAUTHENTICATED (BAD_CREDENTIALS), with the same words for an unknown writer and for a wrong
  //   secret.
  absl::StatusOr<std::string> GetCookie(const Credentials& credentials, absl::Time deadline);

  // Errors as GetCookie().
  absl::Status SetCookie(const Credentials& credentials, absl::string_view cookie,
                         absl::Time deadline);

  // Applies the mutations in their order, all of them or none, and returns the ledger sequence.
  //   UNAUTHENTICATED (BAD_CREDENTIALS), NOT_FOUND (FAMILY_NOT_FOUND, TABLE_NOT_FOUND), ABORTED
  //   (COOKIE_MISMATCH), UNAVAILABLE (OUTCOME_UNKNOWN) where the connection was lost at the commit
  //   and the ledger could not be asked afterwards.
  absl::StatusOr<int64_t> Mutate(const Credentials& credentials, const MutateRequest& request,
                                 absl::Time deadline);

 private:
  using Lease = ctldb::ConnectionPool::Lease;

  absl::StatusOr<ctldb::Writer> Authenticate(const Credentials& credentials,
                                             ctldb::Connection* connection);

  // From the cache, or, where it is not there or `reload` is set, from the ctldb.
  absl::StatusOr<std::shared_ptr<const TableSchema>> FindTable(const TableName& name, bool reload,
                                                               ctldb::Connection* connection);
  absl::StatusOr<MutationPlan> Plan(const MutateRequest& request, bool reload,
                                    ctldb::Connection* connection);

  absl::StatusOr<int64_t> TryMutate(const Credentials& credentials, const MutateRequest& request,
                                    absl::Time deadline);
  // One ledger transaction with the plan in it.
  absl::StatusOr<int64_t> Commit(const MutationPlan& plan, absl::string_view writer,
                                 absl::Time deadline);

  // Takes the ledger lock over a connection that it puts into `*lease`, completing first what an
  // executive that died has left.
  absl::StatusOr<ctldb::LedgerTransaction> BeginLedger(absl::Time deadline,
                                                       absl::optional<Lease>* lease);

  // After a commit whose outcome is not known: whether the ledger has the plan's entries behind
  // `before`. An error where that cannot be found out.
  absl::StatusOr<bool> IsCommitted(const MutationPlan& plan, int64_t before, absl::Time deadline);

  const Options options_;
  ctldb::ConnectionPool* const pool_;
  ctldb::SchemaChanger* const changer_;
  TableCache tables_;
};

}  // namespace ctlstore::executive

#endif  // CTLSTORE_EXECUTIVE_EXECUTIVE_H_
