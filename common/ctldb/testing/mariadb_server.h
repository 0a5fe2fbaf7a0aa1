// A MariaDB server of a test's own.

#ifndef CTLSTORE_COMMON_CTLDB_TESTING_MARIADB_SERVER_H_
#define CTLSTORE_COMMON_CTLDB_TESTING_MARIADB_SERVER_H_

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/ctldb/target.h"

namespace ctlstore::ctldb::testing {

// Runs the installed mariadbd in a folder of its own below /tmp, with a free TCP port on 127.0.0.1
// and a socket of its own, no configuration file, and the durability of a server in production
// (every commit synced). The user is root, without a password.
//
// The server is killed and its folder removed by the destructor. It also dies with the thread that
// has started it, so start it in one that lives as long as the test, as main() does. Not
// thread-safe, but for the accessors and NewDatabase().
class MariadbServer {
 public:
  // Returns when the server answers. `arguments` follow those that it is always started with.
  // NOT_FOUND where mariadbd is not installed.
  static absl::StatusOr<std::unique_ptr<MariadbServer>> Start(
      std::vector<std::string> arguments = {});
  ~MariadbServer();
  MariadbServer(const MariadbServer&) = delete;
  MariadbServer& operator=(const MariadbServer&) = delete;

  // Ends the server in an orderly way. The data stays.
  void Stop();

  // Ends the server as a power cut would. The data stays.
  void Kill();

  // Stops the server, if it runs, and starts it again on the same data, port and socket. Returns
  // when it answers.
  absl::Status Restart();

  uint16_t port() const { return port_; }
  // 0 where the server does not run.
  pid_t pid() const { return pid_; }
  const std::string& socket() const { return socket_; }

  // A fresh, empty database. Ends the process where the server does not answer.
  Target NewDatabase();

  // Runs one statement as root, for what tests do by hand (`KILL 7`, `GRANT ...`).
  absl::Status RunSql(const std::string& sql);

 private:
  MariadbServer(std::string folder, std::vector<std::string> arguments);

  absl::Status Install();
  absl::Status Launch();
  absl::Status WaitUntilItAnswers();
  // Waits for the process to end, up to a limit where `forever` is false.
  bool WaitUntilGone(bool forever);
  std::string LogTail() const;

  const std::string folder_;
  const std::string socket_;
  const std::vector<std::string> arguments_;
  uint16_t port_ = 0;
  pid_t pid_ = 0;  // 0 where no server runs
};

}  // namespace ctlstore::ctldb::testing

#endif  // CTLSTORE_COMMON_CTLDB_TESTING_MARIADB_SERVER_H_
