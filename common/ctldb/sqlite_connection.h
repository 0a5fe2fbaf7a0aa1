// A connection to a ctldb in a SQLite file.

#ifndef CTLSTORE_COMMON_CTLDB_SQLITE_CONNECTION_H_
#define CTLSTORE_COMMON_CTLDB_SQLITE_CONNECTION_H_

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "common/ctldb/connection.h"
#include "common/ctldb/sqlite_dialect.h"
#include "common/ctldb/statement_cache.h"
#include "common/ctldb/write_turn.h"
#include "common/sqlite/database.h"

namespace ctlstore::ctldb {

// The file is in WAL mode and every commit is synced (synchronous=FULL). Any number of connections
// in any number of processes may use it: they write and checkpoint in turn (write_turn.h), and read
// at any time. A commit that leaves the WAL larger than 4 MiB moves it into the database file, as
// far as readers let it.
//
// Kinds of values in results are SQLite's storage classes. The visitor of a query must not use the
// connection.
class SqliteConnection final : public Connection {
 public:
  // Creates the file with its folder, unless options.read_only is set; then a missing file is
  // UNAVAILABLE.
  static absl::StatusOr<std::unique_ptr<SqliteConnection>> Open(const Target& target,
                                                                const ConnectionOptions& options);
  ~SqliteConnection() override;
  SqliteConnection(const SqliteConnection&) = delete;
  SqliteConnection& operator=(const SqliteConnection&) = delete;

  const Dialect& dialect() const override { return dialect_; }
  absl::StatusOr<int64_t> Execute(absl::string_view sql,
                                  absl::Span<const ValueView> parameters) override;
  absl::Status ExecuteMany(absl::string_view sql,
                           absl::Span<const absl::Span<const ValueView>> rows) override;
  absl::Status Query(absl::string_view sql, absl::Span<const ValueView> parameters,
                     RowVisitor visit) override;
  absl::Status BeginWrite() override;
  absl::Status BeginRead() override;
  absl::Status SetSavepoint() override;
  absl::Status RollbackToSavepoint() override;
  absl::Status Commit() override;
  void Rollback() override;
  bool in_transaction() const override { return mode_ != Mode::kNone; }
  bool broken() const override { return broken_; }
  bool Alive() override;
  void Interrupt() override;

 private:
  enum class Mode { kNone, kRead, kWrite };

  SqliteConnection(std::string path, const ConnectionOptions& options);

  absl::Status OpenFile();
  absl::StatusOr<std::string> JournalMode(const char* pragma);
  // Whether a statement can be run now.
  absl::Status CheckUsable();
  // Runs one statement for each of these and says how many rows the last run changed.
  absl::Status Run(absl::string_view sql, absl::Span<const absl::Span<const ValueView>> parameters,
                   RowVisitor visit, int64_t* changes);
  absl::Status Step(sqlite::Statement* statement, absl::Span<const ValueView> parameters,
                    RowVisitor visit);
  // BEGIN, COMMIT and the like.
  absl::Status RunControl(const char* sql);
  // SQLite's last error as a status; does what the error calls for.
  absl::Status Failed();
  // After the end of a transaction.
  void EndTransaction();
  // Between the end of a write and the end of its turn.
  void CheckpointIfLarge();
  // Whether the path still leads to the file that was opened.
  bool FileIsTheSame() const;

  const std::string path_;
  const absl::Duration lock_timeout_;
  const bool read_only_;
  const SqliteDialect dialect_;
  std::shared_ptr<WriteTurn> turn_;  // null for reading only
  std::unique_ptr<sqlite::Database> database_;
  StatementCache<sqlite::Statement> statements_;  // goes before the database
  dev_t device_ = 0;
  ino_t inode_ = 0;
  int64_t checkpoint_at_bytes_;
  Mode mode_ = Mode::kNone;
  bool has_savepoint_ = false;
  bool in_query_ = false;
  bool broken_ = false;
  std::atomic<bool> interrupted_{false};
};

}  // namespace ctlstore::ctldb

#endif  // CTLSTORE_COMMON_CTLDB_SQLITE_CONNECTION_H_
