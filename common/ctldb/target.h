// Which ctldb to use, as a URL.

#ifndef CTLSTORE_COMMON_CTLDB_TARGET_H_
#define CTLSTORE_COMMON_CTLDB_TARGET_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace ctlstore::ctldb {

struct Target {
  enum class Kind { kMariadb, kSqlite };
  Kind kind = Kind::kSqlite;

  // kSqlite: the file.
  std::string path;

  // kMariadb. With `socket`, host and port are not used.
  std::string host;
  uint16_t port = 3306;
  std::string socket;
  std::string user;
  std::string database;

  // For logs and messages; never holds a secret.
  std::string ToString() const;
};

// `sqlite:///absolute/path` (or `sqlite:relative/path`), or `mysql://user@host:port/database` for
// MariaDB and MySQL, with the port left out for 3306 and `?socket=/path` for a Unix socket.
// INVALID_ARGUMENT says what is wrong; so it does for a password in the URL, which belongs in a
// file or the environment, without repeating it.
absl::StatusOr<Target> ParseTarget(absl::string_view url);

}  // namespace ctlstore::ctldb

#endif  // CTLSTORE_COMMON_CTLDB_TARGET_H_
