#include "common/object_store/testing/s3_server.h"

#include <fcntl.h>
#include <glog/logging.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"

namespace ctlstore::object_store::testing {
namespace {

// One command is under way at a time, whichever server it is for.
absl::Mutex& CommandMutex() {
  static auto* const mutex = new absl::Mutex();
  return *mutex;
}

std::string Runfile(absl::string_view path) {
  const char* root = getenv("TEST_SRCDIR");
  return absl::StrCat(root != nullptr ? root : ".", "/", path);
}

std::string ReadFile(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// Runs a program with pipes to and from it. Its error output is appended to `log`.
absl::StatusOr<pid_t> Spawn(const std::vector<std::string>& command, const std::string& log,
                            int* to_child, int* from_child) {
  int input[2];
  int output[2];
  // No other child may hold the server's input open.
  if (pipe2(input, O_CLOEXEC) != 0 || pipe2(output, O_CLOEXEC) != 0) {
    return absl::InternalError("cannot make a pipe");
  }
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
    dup2(input[0], STDIN_FILENO);
    dup2(output[1], STDOUT_FILENO);
    dup2(log_fd, STDERR_FILENO);
    execv(arguments[0], arguments.data());
    _exit(127);
  }
  close(input[0]);
  close(output[1]);
  close(log_fd);
  *to_child = input[1];
  *from_child = output[0];
  if (pid < 0) return absl::InternalError("cannot fork");
  return pid;
}

}  // namespace

S3Server::S3Server(std::string folder, const Options& options)
    : folder_(std::move(folder)), options_(options) {}

S3Server::~S3Server() {
  if (to_server_ >= 0) close(to_server_);
  if (from_server_ >= 0) close(from_server_);
  if (pid_ > 0) {
    kill(pid_, SIGKILL);
    while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

absl::StatusOr<std::unique_ptr<S3Server>> S3Server::Start(const Options& options) {
  std::string folder =
      absl::StrCat(std::filesystem::temp_directory_path().string(), "/ctlstore-s3-XXXXXX");
  if (mkdtemp(folder.data()) == nullptr) {
    return absl::InternalError(absl::StrCat("cannot make ", folder));
  }
  std::unique_ptr<S3Server> server(new S3Server(folder, options));
  absl::Status status = server->Launch();
  if (!status.ok()) return status;
  return server;
}

absl::Status S3Server::Launch() {
  const std::string node = Runfile("s3rver/node");
  const std::string packages = Runfile("s3rver/node_modules.tar");
  if (access(node.c_str(), X_OK) != 0 || access(packages.c_str(), R_OK) != 0) {
    return absl::NotFoundError(
        "the S3 server for tests is not there: it needs Debian's npm and nodejs and, once, npm's "
        "registry; then: bazel sync --only=s3rver");
  }
  const std::string log = folder_ + "/server.log";
  const nlohmann::json config = {
      {"directory", folder_ + "/data"},
      {"bucket", bucket()},
      {"region", options_.region},
      {"accessKeyId", access_key_id()},
      {"secretAccessKey", secret_access_key()},
      {"sessionToken", options_.session_token},
      {"certificate", options_.certificate_file},
      {"key", options_.key_file},
  };
  // The shell becomes node, so that it is node that is ended.
  absl::StatusOr<pid_t> pid =
      Spawn({"/bin/sh", "-c",
             "tar -xf \"$1\" -C \"$2\" && NODE_PATH=\"$2/node_modules\" exec \"$3\" \"$4\" \"$5\"",
             "s3_server", packages, folder_, node,
             Runfile("ctlstore/common/object_store/testing/s3_server.js"), config.dump()},
            log, &to_server_, &from_server_);
  if (!pid.ok()) return pid.status();
  pid_ = *pid;
  const nlohmann::json started = nlohmann::json::parse(ReadLine(), nullptr, false);
  if (!started.is_object()) {
    return absl::InternalError(absl::StrCat("the S3 server ended at its start: ", ReadFile(log)));
  }
  port_ = started.at("port").get<int>();
  endpoint_ =
      absl::StrCat(options_.certificate_file.empty() ? "http" : "https", "://127.0.0.1:", port_);
  return absl::OkStatus();
}

std::map<std::string, std::string> S3Server::environment() const {
  return {
      {"AWS_ACCESS_KEY_ID", access_key_id()},
      {"AWS_SECRET_ACCESS_KEY", secret_access_key()},
      {"AWS_SESSION_TOKEN", options_.session_token},
      {"AWS_REGION", options_.region},
      {"AWS_ENDPOINT_URL_S3", endpoint_},
      {"AWS_CONFIG_FILE", "/dev/null"},
      {"AWS_SHARED_CREDENTIALS_FILE", "/dev/null"},
      {"AWS_EC2_METADATA_DISABLED", "true"},
  };
}

void S3Server::SetEnvironment() const {
  for (const auto& [name, value] : environment()) setenv(name.c_str(), value.c_str(), 1);
}

std::string S3Server::ReadLine() {
  std::string line;
  char c = 0;
  while (true) {
    const ssize_t count = read(from_server_, &c, 1);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0 || c == '\n') return line;
    line.push_back(c);
  }
}

std::string S3Server::Command(const std::string& command) {
  absl::MutexLock lock(&CommandMutex());
  const std::string line = command + "\n";
  CHECK_EQ(write(to_server_, line.data(), line.size()), static_cast<ssize_t>(line.size()));
  std::string answer = ReadLine();
  CHECK(!answer.empty()) << "the S3 server has ended: " << ReadFile(folder_ + "/server.log");
  return answer;
}

void S3Server::AddFault(absl::string_view fault) {
  const nlohmann::json command = {
      {"fault", nlohmann::json::parse(std::string(fault))},
  };
  Command(command.dump());
}

void S3Server::ClearFaults() { Command(R"({"clear": true})"); }

void S3Server::Reset() { Command(R"({"reset": true})"); }

std::vector<S3Server::Request> S3Server::TakeRequests() {
  std::vector<Request> requests;
  const nlohmann::json answer = nlohmann::json::parse(Command(R"({"requests": true})"));
  for (const nlohmann::json& each : answer.at("requests")) {
    Request request;
    request.method = each.at("method").get<std::string>();
    request.url = each.at("url").get<std::string>();
    for (const auto& [name, value] : each.at("headers").items()) {
      if (value.is_string()) request.headers[name] = value.get<std::string>();
    }
    requests.push_back(std::move(request));
  }
  return requests;
}

}  // namespace ctlstore::object_store::testing
