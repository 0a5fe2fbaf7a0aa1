#include "common/ctldb/connection.h"

#include <utility>

#include "common/ctldb/mariadb_connection.h"
#include "common/ctldb/sqlite_connection.h"

namespace ctlstore::ctldb {

absl::StatusOr<std::unique_ptr<Connection>> Connection::Open(const Target& target,
                                                             const ConnectionOptions& options) {
  switch (target.kind) {
    case Target::Kind::kMariadb: {
      absl::StatusOr<std::unique_ptr<MariadbConnection>> connection =
          MariadbConnection::Open(target, options);
      if (!connection.ok()) return connection.status();
      return *std::move(connection);
    }
    case Target::Kind::kSqlite: {
      absl::StatusOr<std::unique_ptr<SqliteConnection>> connection =
          SqliteConnection::Open(target, options);
      if (!connection.ok()) return connection.status();
      return *std::move(connection);
    }
  }
  return absl::InternalError("unknown kind of ctldb");
}

absl::Status Connection::ExecuteMany(absl::string_view sql,
                                     absl::Span<const absl::Span<const ValueView>> rows) {
  for (const absl::Span<const ValueView> row : rows) {
    absl::StatusOr<int64_t> executed = Execute(sql, row);
    if (!executed.ok()) return executed.status();
  }
  return absl::OkStatus();
}

}  // namespace ctlstore::ctldb
