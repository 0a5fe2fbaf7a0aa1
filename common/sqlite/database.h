// SQLite with owners and statuses: connections and prepared statements.

#ifndef CTLSTORE_COMMON_SQLITE_DATABASE_H_
#define CTLSTORE_COMMON_SQLITE_DATABASE_H_

#include <sqlite3.h>

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/schema/value.h"

namespace ctlstore::sqlite {

// SQLite's result code as a status, with SQLite's message and `what` was being done. BUSY and
// LOCKED are UNAVAILABLE, CORRUPT and NOTADB are DATA_LOSS, CANTOPEN, IOERR, READONLY and PERM are
// UNAVAILABLE, FULL and NOMEM are RESOURCE_EXHAUSTED, CONSTRAINT and MISMATCH are
// FAILED_PRECONDITION, TOOBIG is INVALID_ARGUMENT, everything else is INTERNAL.
absl::Status StatusFromCode(int code, sqlite3* db, absl::string_view what);

class Statement;

// One connection to a database whose text is UTF-8. Not thread-safe: used by one thread at a time
// (it may move between threads). All its statements must be destroyed before it is.
class Database {
 public:
  enum class Mode {
    // Creates the file where it is not there.
    kReadWrite,
    // Never writes, and never checkpoints a WAL, also not when it closes.
    kReadOnly,
  };

  // The first one of a process has SQLite not count the memory that it takes, for which all threads
  // would wait for one lock at each allocation, and there are some for each row: where nobody has
  // used SQLite before, sqlite3_memory_used() and the soft heap limit do nothing from then on.
  //
  // `busy_timeout` bounds the wait for another connection's lock. The path is a plain file name,
  // never a URI. Checkpoints are never made on their own, also not on close: SQLite before 3.51.3
  // can corrupt a WAL database when a checkpoint overlaps another connection's write
  // (https://sqlite.org/wal.html#walresetbug), so writers call Checkpoint() in turn.
  static absl::StatusOr<std::unique_ptr<Database>> Open(const std::string& path, Mode mode,
                                                        absl::Duration busy_timeout);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  // Prepares the first statement in `sql`. `*tail`, where given, receives the text behind it.
  // INVALID_ARGUMENT where there is no statement.
  absl::StatusOr<std::unique_ptr<Statement>> Prepare(absl::string_view sql,
                                                     absl::string_view* tail = nullptr);

  // Runs all statements in `sql`, throwing rows away.
  absl::Status Execute(absl::string_view sql);

  // Rows changed by the last statement.
  int64_t changes() const;

  // Whether a transaction is open.
  bool in_transaction() const;

  // Moves what is in the WAL to the database file as far as that goes without waiting for readers.
  absl::Status PassiveCheckpoint();

  // Moves what is in the WAL to the database file, and empties the WAL where no reader is in the
  // way (`*wal_reset` tells). Waits for readers at most the busy timeout.
  absl::Status Checkpoint(bool* wal_reset);

  sqlite3* handle() const { return db_; }

 private:
  explicit Database(sqlite3* db) : db_(db) {}
  sqlite3* const db_;
};

// A prepared statement. Belongs to its database and follows its threading rule.
//
//   statement->Bind(1, key);
//   while (true) {
//     absl::StatusOr<bool> row = statement->Step();
//     if (!row.ok()) return row.status();
//     if (!*row) break;
//     use(statement->Column(0));
//   }
//   statement->Reset();
class Statement {
 public:
  ~Statement();
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  // Parameters count from 1. Text and bytes are not copied: what the view shows must stay until
  // Reset().
  absl::Status Bind(int parameter, const ValueView& value);

  // True where there is a row, false at the end.
  absl::StatusOr<bool> Step();

  // Columns count from 0. The view is valid until the next Step() or Reset().
  ValueView Column(int column) const;
  int column_count() const;
  absl::string_view column_name(int column) const;

  // Ends the execution (and with it a read transaction of its own) and forgets the parameters.
  void Reset();

  // Step() for a statement that returns no rows, and Reset().
  absl::Status Run();

  sqlite3_stmt* handle() const { return statement_; }

 private:
  friend class Database;
  explicit Statement(sqlite3_stmt* statement) : statement_(statement) {}
  sqlite3_stmt* const statement_;
};

}  // namespace ctlstore::sqlite

#endif  // CTLSTORE_COMMON_SQLITE_DATABASE_H_
