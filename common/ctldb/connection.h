// One connection to a ctldb, the same for MariaDB, MySQL and SQLite.

#ifndef CTLSTORE_COMMON_CTLDB_CONNECTION_H_
#define CTLSTORE_COMMON_CTLDB_CONNECTION_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "common/ctldb/dialect.h"
#include "common/ctldb/target.h"
#include "common/schema/value.h"

namespace ctlstore::ctldb {

struct ConnectionOptions {
  // MariaDB: from a file or the environment, never from a command line.
  std::string password;
  // How long connecting may take.
  absl::Duration connect_timeout = absl::Seconds(5);
  // How long the server may take to answer one statement before the connection is given up.
  absl::Duration io_timeout = absl::Seconds(30);
  // How long a statement waits for another transaction's lock (on SQLite: for the write lock).
  absl::Duration lock_timeout = absl::Seconds(10);

  // TLS to the server. kOff never uses it; kRequired encrypts without checking who answers;
  // kVerify also checks the certificate against `tls_ca_file` (empty: the system's authorities) and
  // its name against the host.
  enum class Tls { kOff, kRequired, kVerify };
  Tls tls = Tls::kOff;
  std::string tls_ca_file;
  // The client's own certificate, for servers that ask for one.
  std::string tls_cert_file;
  std::string tls_key_file;

  // For those who only read, as reflectors do: nothing is created and nothing can be changed.
  bool read_only = false;
};

// Statements have `?` for parameters and "double quotes" around names; every connection is set up
// so that the same text runs on each kind of database: ANSI quotes, strict mode (nothing is ever
// cut or rounded to fit), UTF-8, and UTC for times.
//
// Errors: UNAVAILABLE (CTLDB_UNAVAILABLE) when the database cannot be reached or the connection
// broke; UNAVAILABLE (CTLDB_BUSY) for a lock not had in time or a deadlock, after which the
// transaction is rolled back; NOT_FOUND for an unknown table; ALREADY_EXISTS for a duplicate key or
// table; INVALID_ARGUMENT for what the database cannot hold; INTERNAL for all else. No message
// holds a parameter's value.
//
// Not thread-safe: used by one thread at a time, but for Interrupt().
class Connection {
 public:
  // `row` is valid during the call only. An error ends the query and is returned by it.
  using RowVisitor = absl::FunctionRef<absl::Status(absl::Span<const ValueView> row)>;

  // Opens a connection to either kind of database.
  static absl::StatusOr<std::unique_ptr<Connection>> Open(const Target& target,
                                                          const ConnectionOptions& options);
  virtual ~Connection() = default;

  virtual const Dialect& dialect() const = 0;

  // Runs one statement and returns how many rows it changed. Outside a transaction it is one by
  // itself. Prepared statements are kept and used again for the same text.
  virtual absl::StatusOr<int64_t> Execute(absl::string_view sql,
                                          absl::Span<const ValueView> parameters = {}) = 0;

  // Runs one statement for each of the rows of parameters, in their order, in as few round trips as
  // the database allows; fewest where in each column all values that are not null are of one kind.
  // Errors as Execute(); they do not tell the row. After an error some may have run: it is for
  // transactions that then roll back, to a savepoint at least.
  virtual absl::Status ExecuteMany(absl::string_view sql,
                                   absl::Span<const absl::Span<const ValueView>> rows);

  // Runs one statement and shows its rows one after the other; rows are not collected in memory.
  virtual absl::Status Query(absl::string_view sql, absl::Span<const ValueView> parameters,
                             RowVisitor visit) = 0;

  // A transaction that writes. On SQLite the database's write lock is taken here.
  virtual absl::Status BeginWrite() = 0;

  // A transaction that reads one consistent state.
  virtual absl::Status BeginRead() = 0;

  // Within a transaction of either kind: remembers its state, in place of what was remembered
  // before.
  virtual absl::Status SetSavepoint() = 0;

  // Back to the state remembered last, which stays remembered; locks taken since may stay. Where
  // the whole transaction is lost (in_transaction() is false), UNAVAILABLE (CTLDB_BUSY, or
  // CTLDB_UNAVAILABLE with the connection). INTERNAL where nothing was remembered in this
  // transaction.
  virtual absl::Status RollbackToSavepoint() = 0;

  // Ends the transaction. UNAVAILABLE with reason OUTCOME_UNKNOWN where the connection broke before
  // the database's answer: the transaction may or may not have been committed.
  virtual absl::Status Commit() = 0;

  // Ends the transaction without a trace. Does nothing where none is open.
  virtual void Rollback() = 0;

  virtual bool in_transaction() const = 0;

  // Whether the connection is known to be of no more use. Asks nobody.
  virtual bool broken() const { return false; }

  // Whether the connection still answers; may ask the database.
  virtual bool Alive() = 0;

  // Makes the connection useless at once: what it runs or waits for ends with UNAVAILABLE, and so
  // does all that comes later. Thread-safe; the connection must not be destroyed meanwhile.
  virtual void Interrupt() = 0;
};

}  // namespace ctlstore::ctldb

#endif  // CTLSTORE_COMMON_CTLDB_CONNECTION_H_
