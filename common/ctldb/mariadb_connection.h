// A connection to MariaDB or MySQL.

#ifndef CTLSTORE_COMMON_CTLDB_MARIADB_CONNECTION_H_
#define CTLSTORE_COMMON_CTLDB_MARIADB_CONNECTION_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "common/ctldb/connection.h"
#include "common/ctldb/mariadb_dialect.h"
#include "common/ctldb/statement_cache.h"

// MariaDB Connector/C's types, whose header stays out of this one.
struct st_mysql;

namespace ctlstore::ctldb {

// Statements are prepared and run over the binary protocol, so that integers, decimals and bytes
// arrive exactly; only those that change tables and those that begin and end transactions are sent
// as text. Transactions are REPEATABLE READ.
//
// Kinds of values in results: whole number types are integers (also DECIMAL without a scale, as SUM
// returns it), FLOAT and DOUBLE decimals, binary strings bytes, other strings text; times are text
// in the form YYYY-MM-DD HH:MM:SS, with six digits of a fraction where the column has one. Rows are
// read from the server as the visitor takes them, and the visitor must not use the connection; when
// it ends a query early, the rest of the rows is still received, so a query whose rows can be large
// wants a LIMIT.
//
// ExecuteMany() uses MariaDB's bulk protocol: one round trip for as many rows as fit into 4 MiB and
// into half of the server's max_allowed_packet, and in which no column changes the kind of its
// values. MySQL, and MariaDB where its binary log holds statements only, get them row by row.
//
// Timeouts are rounded up to whole seconds. The server is given a second more than the lock timeout
// to answer, also where the I/O timeout is shorter. The first connection of a process that has not
// set what SIGPIPE does makes it ignored, because a TLS connection that breaks would raise it.
class MariadbConnection final : public Connection {
 public:
  // PERMISSION_DENIED names user and server; UNAVAILABLE where the server or the database is not
  // there or TLS cannot be had; FAILED_PRECONDITION for a server that has no collation that
  // compares bytes.
  static absl::StatusOr<std::unique_ptr<MariadbConnection>> Open(const Target& target,
                                                                 const ConnectionOptions& options);
  ~MariadbConnection() override;
  MariadbConnection(const MariadbConnection&) = delete;
  MariadbConnection& operator=(const MariadbConnection&) = delete;

  const Dialect& dialect() const override { return *dialect_; }
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
  bool in_transaction() const override { return in_transaction_; }
  bool broken() const override { return broken_; }
  bool Alive() override;
  void Interrupt() override;

 private:
  class PreparedStatement;
  class ResultReader;

  MariadbConnection(const Target& target, bool read_only);

  absl::Status Connect(const Target& target, const ConnectionOptions& options);
  absl::Status SetUpSession(const ConnectionOptions& options);

  // Whether a statement can be sent now.
  absl::Status CheckUsable() const;
  absl::StatusOr<PreparedStatement*> Prepare(absl::string_view sql);
  absl::Status CheckParameters(const PreparedStatement& statement, size_t given) const;
  // Prepares and executes; the result, if there is one, is not read yet.
  absl::StatusOr<PreparedStatement*> Run(absl::string_view sql,
                                         absl::Span<const ValueView> parameters);
  absl::StatusOr<int64_t> ExecuteText(absl::string_view sql);
  // The connection's or the statement's last error as a status; does what the error calls for.
  absl::Status Failed();
  absl::Status Failed(const PreparedStatement& statement);
  absl::Status Failed(unsigned int code, const char* message);

  const std::string where_;
  const bool read_only_;
  st_mysql* mysql_ = nullptr;
  // A second descriptor of the connection's socket, because the library closes the first by itself
  // when the connection breaks. -1 where there is none.
  int interrupt_socket_ = -1;
  std::unique_ptr<MariadbDialect> dialect_;
  StatementCache<PreparedStatement> statements_;
  bool bulk_supported_ = false;
  // What the rows of one bulk execution may have together.
  size_t max_bulk_bytes_ = 0;
  bool in_transaction_ = false;
  bool in_query_ = false;
  bool broken_ = false;
};

}  // namespace ctlstore::ctldb

#endif  // CTLSTORE_COMMON_CTLDB_MARIADB_CONNECTION_H_
