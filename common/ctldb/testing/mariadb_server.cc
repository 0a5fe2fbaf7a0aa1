#include "common/ctldb/testing/mariadb_server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <glog/logging.h>
#include <mariadb/mysql.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace ctlstore::ctldb::testing {
namespace {

constexpr char kServer[] = "/usr/sbin/mariadbd";
constexpr char kInstaller[] = "/usr/bin/mariadb-install-db";

// Long enough for a machine that does many other things.
constexpr absl::Duration kStartTimeout = absl::Minutes(2);
constexpr absl::Duration kStopTimeout = absl::Minutes(1);

// Starts a program with its output appended to `log`; it dies with this thread.
absl::StatusOr<pid_t> Spawn(const std::vector<std::string>& command, const std::string& log) {
  const pid_t parent = getpid();
  const int log_fd = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (log_fd < 0) return absl::InternalError(absl::StrCat("cannot open ", log));
  std::vector<char*> arguments;
  for (const std::string& argument : command) {
    arguments.push_back(const_cast<char*>(argument.c_str()));
  }
  arguments.push_back(nullptr);
  const pid_t pid = fork();
  if (pid == 0) {
    // Only what may be called between fork() and exec() of a process with threads.
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(127);
    dup2(log_fd, STDOUT_FILENO);
    dup2(log_fd, STDERR_FILENO);
    execv(arguments[0], arguments.data());
    _exit(127);
  }
  close(log_fd);
  if (pid < 0) return absl::InternalError(absl::StrCat("cannot fork: ", strerror(errno)));
  return pid;
}

absl::StatusOr<uint16_t> FreePort() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return absl::InternalError("cannot make a socket");
  const absl::Cleanup close_fd = [fd] { close(fd); };
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0 ||
      getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    return absl::InternalError("cannot find a free port");
  }
  return ntohs(address.sin_port);
}

}  // namespace

MariadbServer::MariadbServer(std::string folder, std::vector<std::string> arguments)
    : folder_(std::move(folder)),
      socket_(absl::StrCat(folder_, "/socket")),
      arguments_(std::move(arguments)) {}

MariadbServer::~MariadbServer() {
  Kill();
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

absl::StatusOr<std::unique_ptr<MariadbServer>> MariadbServer::Start(
    std::vector<std::string> arguments) {
  if (access(kServer, X_OK) != 0 || access(kInstaller, X_OK) != 0) {
    return absl::NotFoundError("mariadbd is not installed; it is in Debian's mariadb-server");
  }
  // A socket's path is short, so this is not in the test's own folder.
  char folder[] = "/tmp/ctlstore-mariadb-XXXXXX";
  if (mkdtemp(folder) == nullptr) {
    return absl::InternalError(absl::StrCat("cannot make a folder in /tmp: ", strerror(errno)));
  }
  std::unique_ptr<MariadbServer> server(new MariadbServer(folder, std::move(arguments)));
  absl::Status status = server->Install();
  if (!status.ok()) return status;
  // A port that is free now may be taken a moment later.
  for (int attempt = 0; attempt < 5; ++attempt) {
    absl::StatusOr<uint16_t> port = FreePort();
    if (!port.ok()) return port.status();
    server->port_ = *port;
    status = server->Launch();
    if (status.ok()) return server;
    server->Kill();
  }
  return status;
}

absl::Status MariadbServer::Install() {
  // A temporary folder of its own: each server removes others' temporary tables from a shared one.
  std::vector<std::string> command = {
      kInstaller,
      "--no-defaults",
      absl::StrCat("--datadir=", folder_, "/data"),
      absl::StrCat("--tmpdir=", folder_),
      "--auth-root-authentication-method=normal",
      "--skip-test-db",
      "--skip-name-resolve",
      "--innodb-log-file-size=16M",
  };
  if (geteuid() == 0) command.push_back("--user=root");
  absl::StatusOr<pid_t> installer = Spawn(command, folder_ + "/install.log");
  if (!installer.ok()) return installer.status();
  int result = 0;
  while (waitpid(*installer, &result, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(result) && WEXITSTATUS(result) == 0) return absl::OkStatus();
  std::ifstream log(folder_ + "/install.log");
  std::stringstream text;
  text << log.rdbuf();
  return absl::InternalError(absl::StrCat("mariadb-install-db failed: ", text.str()));
}

absl::Status MariadbServer::Launch() {
  std::vector<std::string> command = {
      kServer,
      "--no-defaults",
      absl::StrCat("--datadir=", folder_, "/data"),
      absl::StrCat("--socket=", socket_),
      absl::StrCat("--port=", port_),
      absl::StrCat("--pid-file=", folder_, "/pid"),
      absl::StrCat("--tmpdir=", folder_),
      "--bind-address=127.0.0.1",
      "--skip-name-resolve",
      "--innodb-flush-log-at-trx-commit=1",
      "--innodb-buffer-pool-size=32M",
      "--innodb-log-file-size=16M",
      "--max-connections=200",
      "--performance-schema=OFF",
  };
  command.insert(command.end(), arguments_.begin(), arguments_.end());
  if (geteuid() == 0) command.push_back("--user=root");
  absl::StatusOr<pid_t> pid = Spawn(command, folder_ + "/server.log");
  if (!pid.ok()) return pid.status();
  pid_ = *pid;
  return WaitUntilItAnswers();
}

absl::Status MariadbServer::WaitUntilItAnswers() {
  const absl::Time deadline = absl::Now() + kStartTimeout;
  absl::Status last;
  while (absl::Now() < deadline) {
    last = RunSql("SELECT 1");
    if (last.ok()) return last;
    if (waitpid(pid_, nullptr, WNOHANG) == pid_) {
      pid_ = 0;
      return absl::InternalError(absl::StrCat("mariadbd ended at its start: ", LogTail()));
    }
    absl::SleepFor(absl::Milliseconds(20));
  }
  return absl::DeadlineExceededError(
      absl::StrCat("mariadbd does not answer: ", last.message(), "\n", LogTail()));
}

std::string MariadbServer::LogTail() const {
  std::ifstream log(folder_ + "/server.log");
  std::stringstream text;
  text << log.rdbuf();
  const std::string all = text.str();
  constexpr size_t kTail = 4000;
  return all.size() > kTail ? all.substr(all.size() - kTail) : all;
}

bool MariadbServer::WaitUntilGone(bool forever) {
  const absl::Time deadline = forever ? absl::InfiniteFuture() : absl::Now() + kStopTimeout;
  while (absl::Now() < deadline) {
    const pid_t ended = waitpid(pid_, nullptr, WNOHANG);
    if (ended == pid_ || (ended < 0 && errno == ECHILD)) {
      pid_ = 0;
      return true;
    }
    absl::SleepFor(absl::Milliseconds(5));
  }
  return false;
}

void MariadbServer::Stop() {
  if (pid_ == 0) return;
  kill(pid_, SIGTERM);
  if (!WaitUntilGone(/*forever=*/false)) {
    LOG(ERROR) << "event=mariadbd_does_not_stop log=\"" << LogTail() << "\"";
    Kill();
  }
}

void MariadbServer::Kill() {
  if (pid_ == 0) return;
  kill(pid_, SIGKILL);
  WaitUntilGone(/*forever=*/true);
}

absl::Status MariadbServer::Restart() {
  Stop();
  return Launch();
}

absl::Status MariadbServer::RunSql(const std::string& sql) {
  MYSQL* mysql = mysql_init(nullptr);
  if (mysql == nullptr) return absl::ResourceExhaustedError("no memory for a connection");
  const absl::Cleanup close_connection = [mysql] { mysql_close(mysql); };
  // Over the port, because that is what tests use, and another program may have taken it.
  const unsigned int protocol = MYSQL_PROTOCOL_TCP;
  mysql_optionsv(mysql, MYSQL_OPT_PROTOCOL, &protocol);
  if (mysql_real_connect(mysql, "127.0.0.1", "root", "", nullptr, port_, nullptr, 0) == nullptr ||
      mysql_real_query(mysql, sql.data(), sql.size()) != 0) {
    return absl::UnavailableError(mysql_error(mysql));
  }
  mysql_free_result(mysql_store_result(mysql));
  return absl::OkStatus();
}

Target MariadbServer::NewDatabase() {
  static std::atomic<int> counter{0};
  Target target;
  target.kind = Target::Kind::kMariadb;
  target.host = "127.0.0.1";
  target.port = port_;
  target.user = "root";
  target.database = absl::StrCat("test_", ++counter);
  // A default that compares without case, to show that nothing relies on it.
  absl::Status status = RunSql(absl::StrCat("CREATE DATABASE ", target.database,
                                            " CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci"));
  CHECK(status.ok()) << "cannot create a database: " << status;
  return target;
}

}  // namespace ctlstore::ctldb::testing
