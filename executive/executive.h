// The guardian of the system of record.

#ifndef CTLSTORE_EXECUTIVE_EXECUTIVE_H_
#define CTLSTORE_EXECUTIVE_EXECUTIVE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "common/base/clock.h"
#include "common/base/worker_pool.h"
#include "common/ctldb/connection_pool.h"
#include "common/ctldb/limits.h"
#include "common/ctldb/schema_changer.h"
#include "common/rpc/caller.h"
#include "common/schema/table_schema.h"
#include "executive/credentials.h"
#include "executive/executive_metrics.h"
#include "executive/group_committer.h"
#include "executive/limit_admin.h"
#include "executive/limit_book.h"
#include "executive/mutation_plan.h"
#include "executive/writer_authenticator.h"

namespace ctlstore::executive {

// Everything that may change a ctldb passes through here: requests are checked as a whole before
// anything is written, and what is written goes to the tables and to the ledger in one transaction.
// Knows nothing of how it is called; ExecutiveService is its gRPC face, HttpApi its HTTP face.
//
// Each method answers by `deadline`, or soon after it: a wait for a lock of the ctldb ends with the
// connections' lock timeout at the latest, and a Mutate that has begun is waited for. What the
// ctldb refuses for the moment (a lock not had in time, a broken connection) is tried again a few
// times. Errors, besides those named at each method:
//   INVALID_ARGUMENT     names the field in the request (ErrorField) and has a reason.
//   UNAUTHENTICATED, PERMISSION_DENIED   the caller lacks the role: admin for what changes
//                        something, reader for what does not.
//   DEADLINE_EXCEEDED    the deadline came first.
//   UNAVAILABLE          with a retry delay.
// After the last two a Mutate has changed nothing, unless the reason is OUTCOME_UNKNOWN; the other
// methods can be called again without harm.
//
// Each change of a schema, a limit or a writer that was asked for, done or not, is a line
// `event=audit` in the log.
//
// Any number of executives may work on one ctldb. Thread-safe. All methods but StartMutate block.
class Executive {
 public:
  struct Options {
    // Whether tables may be dropped and cleared.
    bool destructive_changes = false;
    LimitBook::Options limits;
    WriterAuthenticator::Options writers;
    // Its `committed` is told of changes of schemas too.
    GroupCommitter::Options commits;
  };

  // What it works with; all of it must outlive it.
  struct Parts {
    ctldb::ConnectionPool* pool = nullptr;
    ctldb::SchemaChanger* changer = nullptr;
    // For what of a Mutate blocks.
    WorkerPool* workers = nullptr;
    ExecutiveMetrics* metrics = nullptr;
    Clock* clock = Clock::Real();
  };

  Executive(const Options& options, const Parts& parts);
  // Answers the Mutates that it has.
  ~Executive();
  Executive(const Executive&) = delete;
  Executive& operator=(const Executive&) = delete;

  // Reads the limits and the tables' sizes. Without it they are had when they are first refreshed.
  absl::Status LoadLimits(absl::Time deadline);

  // INVALID_ARGUMENT (TOO_LARGE) where a request's bytes, in whatever form it came, are too many.
  static absl::Status CheckRequestSize(size_t bytes);

  // Succeeds where the family exists already.
  absl::Status CreateFamily(const rpc::Caller& caller, absl::string_view family,
                            absl::Time deadline);

  // Creates the tables, 1 to 100, all of them or none. Those that exist with the same definition
  // are left as they are. Returns the ledger sequence, 0 where all existed. The paths in errors
  // begin with "tables".
  //   NOT_FOUND (FAMILY_NOT_FOUND), ALREADY_EXISTS (TABLE_DIFFERS).
  absl::StatusOr<int64_t> CreateTables(const rpc::Caller& caller,
                                       absl::Span<const TableSchema> tables, absl::Time deadline);

  // Adds the fields, at least one, all of them or none. Returns the ledger sequence, 0 where all
  // existed.
  //   NOT_FOUND (FAMILY_NOT_FOUND, TABLE_NOT_FOUND), ALREADY_EXISTS (FIELD_DIFFERS).
  absl::StatusOr<int64_t> AddFields(const rpc::Caller& caller, absl::string_view family,
                                    absl::string_view table, absl::Span<const Field> fields,
                                    absl::Time deadline);

  // These remove rows for good, here and on every host. Return the ledger sequence; ClearFamily 0
  // where the family has no tables.
  //   FAILED_PRECONDITION (DESTRUCTIVE_DISABLED), NOT_FOUND (FAMILY_NOT_FOUND, TABLE_NOT_FOUND).
  absl::StatusOr<int64_t> DropTable(const rpc::Caller& caller, absl::string_view family,
                                    absl::string_view table, absl::Time deadline);
  absl::StatusOr<int64_t> ClearTable(const rpc::Caller& caller, absl::string_view family,
                                     absl::string_view table, absl::Time deadline);
  absl::StatusOr<int64_t> ClearFamily(const rpc::Caller& caller, absl::string_view family,
                                      absl::Time deadline);

  //   NOT_FOUND (FAMILY_NOT_FOUND, TABLE_NOT_FOUND).
  absl::StatusOr<TableSchema> GetTable(const rpc::Caller& caller, absl::string_view family,
                                       absl::string_view table, absl::Time deadline);

  // Of all families where `family` is empty; by name.
  //   NOT_FOUND (FAMILY_NOT_FOUND).
  absl::StatusOr<std::vector<TableSchema>> ListTables(const rpc::Caller& caller,
                                                      absl::string_view family,
                                                      absl::Time deadline);

  // In order.
  absl::StatusOr<std::vector<std::string>> ListFamilies(const rpc::Caller& caller,
                                                        absl::Time deadline);

  // Setting and deleting is known to this executive at once, to others when they look again
  // (limit_admin.h has the fields in errors).
  absl::StatusOr<TableLimits> ListTableLimits(const rpc::Caller& caller, absl::Time deadline);
  absl::Status SetTableLimit(const rpc::Caller& caller, absl::string_view family,
                             absl::string_view table, const ctldb::TableSizeLimit& limit,
                             absl::Time deadline);
  //   NOT_FOUND (LIMIT_NOT_FOUND).
  absl::Status DeleteTableLimit(const rpc::Caller& caller, absl::string_view family,
                                absl::string_view table, absl::Time deadline);
  absl::StatusOr<WriterLimits> ListWriterLimits(const rpc::Caller& caller, absl::Time deadline);
  absl::Status SetWriterLimit(const rpc::Caller& caller, absl::string_view writer,
                              const RateLimit& limit, absl::Time deadline);
  //   NOT_FOUND (LIMIT_NOT_FOUND).
  absl::Status DeleteWriterLimit(const rpc::Caller& caller, absl::string_view writer,
                                 absl::Time deadline);

  // Succeeds where the writer exists with the same secret.
  //   ALREADY_EXISTS (WRITER_DIFFERS).
  absl::Status RegisterWriter(const rpc::Caller& caller, const Credentials& writer,
                              absl::Time deadline);

  // The state of the ctldb and of what waits for it.
  struct State {
    // Not OK where the ctldb does not answer; what is known of the ledger is old then.
    absl::Status ctldb;
    int64_t last_sequence = 0;
    int64_t ledger_rows = 0;
    size_t queue_length = 0;
    size_t queue_capacity = 0;
    size_t open_connections = 0;
    size_t max_connections = 0;
    absl::Time started_at;
    bool destructive_changes = false;
  };
  absl::StatusOr<State> GetState(const rpc::Caller& caller, absl::Time deadline);

  // Whether the ctldb answers.
  absl::Status CheckCtldb(absl::Time deadline);

  //   UNAUTHENTICATED (BAD_CREDENTIALS), with the same words for an unknown writer and for a wrong
  //   secret; RESOURCE_EXHAUSTED (TOO_MANY_FAILURES) after repeated wrong ones from `peer`.
  absl::StatusOr<std::string> GetCookie(const Credentials& credentials, absl::string_view peer,
                                        absl::Time deadline);

  // Errors as GetCookie().
  absl::Status SetCookie(const Credentials& credentials, absl::string_view peer,
                         absl::string_view cookie, absl::Time deadline);

  // A Mutate on its way.
  struct MutateCall {
    Credentials credentials;
    // The host that it came from.
    std::string peer;
    // What it views lives until `done` was called.
    MutateRequest request;
    absl::Time deadline;
    // Whether the caller has gone away; may be null. Called from any thread.
    std::function<bool()> cancelled;
    // Called once, with the ledger sequence or the error, from any thread, also during
    // StartMutate(). Must not block.
    std::function<void(absl::StatusOr<int64_t>)> done;
  };

  // Applies the mutations in their order, all of them or none. Does not block.
  //   As GetCookie(), and NOT_FOUND (FAMILY_NOT_FOUND, TABLE_NOT_FOUND), ABORTED (COOKIE_MISMATCH),
  //   RESOURCE_EXHAUSTED (RATE_LIMITED, QUEUE_FULL: with a retry delay; TABLE_FULL), CANCELLED,
  //   UNAVAILABLE (OUTCOME_UNKNOWN) where the connection was lost at the commit and the ledger
  //   could not be asked afterwards.
  void StartMutate(MutateCall call);

  // The same for who waits. Not to be called by the workers' threads.
  absl::StatusOr<int64_t> Mutate(const Credentials& credentials, const MutateRequest& request,
                                 absl::Time deadline);

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace ctlstore::executive

#endif  // CTLSTORE_EXECUTIVE_EXECUTIVE_H_
