// Measures the sidecar's HTTP API beside nginx, which serves a file of a row's size; both are asked
// by wrk over 16 connections, in turns. Prints `figure<TAB>value<TAB>unit`.

#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "common/base/logging.h"
#include "common/ldb/ldb_writer.h"
#include "common/schema/table_schema.h"
#include "common/sql/ledger_statements.h"
#include "sidecar/sidecar_server.h"

namespace ctlstore::sidecar {
namespace {

constexpr int kRows = 100000;
constexpr int kRounds = 7;
constexpr int kRoundSeconds = 2;

[[noreturn]] void Fail(const std::string& what) {
  std::cerr << what << "\n";
  std::exit(1);
}

void Check(const absl::Status& status) {
  if (!status.ok()) Fail(status.ToString());
}

std::string RowKey(int i) { return absl::StrFormat("key-%08d", i); }

void WriteFile(const std::string& path, const std::string& text) {
  std::ofstream file(path);
  file << text;
  if (!file.flush()) Fail("cannot write " + path);
}

std::string ReadFile(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

void WriteLdb(const std::string& path) {
  auto writer = ldb::LdbWriter::Open(path, {});
  Check(writer.status());
  const TableSchema rows = *TableSchema::Create(
      "bench", "items",
      {{"code", FieldType::kString}, {"name", FieldType::kString}, {"amount", FieldType::kInteger}},
      {"code"});
  std::vector<LedgerEntry> ledger = {{1, "2024-01-01 00:00:00", sql::CreateTableStatement(rows)}};
  // In random order, as data that grew over time has it.
  std::vector<int> order(kRows);
  for (int i = 0; i < kRows; ++i) order[i] = i;
  std::shuffle(order.begin(), order.end(), std::mt19937(1));
  for (int i : order) {
    ledger.push_back(
        {static_cast<int64_t>(ledger.size()) + 1, "2024-01-01 00:00:00",
         sql::UpsertStatement(rows, {RowKey(i), absl::StrCat("the name of item ", i), i})});
  }
  Check((*writer)->Apply(ledger));
}

int FreePort() {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  if (fd < 0 || bind(fd, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    Fail("there is no free port");
  }
  close(fd);
  return ntohs(address.sin_port);
}

bool Accepts(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(port));
  const bool accepts = connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
  close(fd);
  return accepts;
}

// Another program, which writes to a file of its own. Is ended with this object.
class Program {
 public:
  Program(const std::vector<std::string>& arguments, const std::string& output) {
    std::vector<char*> pointers;
    for (const std::string& argument : arguments) {
      pointers.push_back(const_cast<char*>(argument.c_str()));
    }
    pointers.push_back(nullptr);
    pid_ = fork();
    if (pid_ < 0) Fail("cannot fork");
    if (pid_ > 0) return;
    // Also where this process ends otherwise than it should.
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    const int fd = open(output.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    dup2(fd, STDOUT_FILENO);
    dup2(fd, STDERR_FILENO);
    execvp(pointers[0], pointers.data());
    _exit(127);
  }
  ~Program() {
    if (pid_ <= 0) return;
    kill(pid_, SIGTERM);
    Wait();
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  // Its exit status.
  int Wait() {
    int status = 0;
    waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  bool Running() {
    if (pid_ > 0 && waitpid(pid_, nullptr, WNOHANG) != 0) pid_ = -1;
    return pid_ > 0;
  }

 private:
  pid_t pid_;
};

// nginx as it is at its best: one worker, the file's descriptor kept open, no log.
class Nginx {
 public:
  Nginx(const std::string& folder, const std::string& row) : port_(FreePort()) {
    std::filesystem::create_directories(folder + "/files");
    WriteFile(folder + "/files/row", row);
    std::string config = absl::StrCat(
        "worker_processes 1;\ndaemon off;\npid ", folder, "/nginx.pid;\nerror_log ", folder,
        "/error.log;\nevents { worker_connections 256; }\nhttp {\n  access_log off;\n"
        "  sendfile on;\n  tcp_nodelay on;\n  keepalive_requests 1000000000;\n"
        "  open_file_cache max=10;\n  open_file_cache_valid 1h;\n");
    for (const char* name : {"client_body", "proxy", "fastcgi", "uwsgi", "scgi"}) {
      absl::StrAppend(&config, "  ", name, "_temp_path ", folder, "/", name, ";\n");
    }
    absl::StrAppend(&config, "  server {\n    listen 127.0.0.1:", port_, ";\n    root ", folder,
                    "/files;\n    default_type application/json;\n  }\n}\n");
    // Its worker would be a user that cannot read the folder.
    if (geteuid() == 0) config = "user root root;\n" + config;
    WriteFile(folder + "/nginx.conf", config);
    program_ = std::make_unique<Program>(
        std::vector<std::string>{"nginx", "-p", folder, "-e", folder + "/error.log", "-c",
                                 folder + "/nginx.conf"},
        folder + "/nginx.out");
    while (!Accepts(port_)) {
      if (!program_->Running()) Fail("nginx: " + ReadFile(folder + "/nginx.out"));
      absl::SleepFor(absl::Milliseconds(10));
    }
  }

  std::string url() const { return absl::StrCat("http://127.0.0.1:", port_, "/row"); }

 private:
  const int port_;
  std::unique_ptr<Program> program_;
};

// Requests a second, all of which were answered with 200.
double Wrk(const std::string& folder, const std::string& url, const std::string& script) {
  std::vector<std::string> arguments = {"wrk", "-t1", "-c16", absl::StrCat("-d", kRoundSeconds)};
  if (!script.empty()) arguments.insert(arguments.end(), {"-s", script});
  arguments.push_back(url);
  const std::string output = folder + "/wrk.out";
  if (Program(arguments, output).Wait() != 0) Fail("wrk: " + ReadFile(output));
  const std::string said = ReadFile(output);
  if (absl::StrContains(said, "Non-2xx") || absl::StrContains(said, "Socket errors")) Fail(said);
  for (absl::string_view line : absl::StrSplit(said, '\n')) {
    double rate = 0;
    if (absl::ConsumePrefix(&line, "Requests/sec:") && absl::SimpleAtod(line, &rate)) return rate;
  }
  Fail("wrk says no rate: " + said);
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// The most memory that this process has had, in bytes.
int64_t PeakMemory() {
  for (absl::string_view line : absl::StrSplit(ReadFile("/proc/self/status"), '\n')) {
    int64_t kib = 0;
    if (absl::ConsumePrefix(&line, "VmHWM:") && absl::ConsumeSuffix(&line, "kB") &&
        absl::SimpleAtoi(line, &kib)) {
      return kib * 1024;
    }
  }
  Fail("the peak of memory is not known");
}

void Print(const char* figure, double value, const char* unit) {
  std::cout << figure << "\t" << absl::StrFormat(value < 100 ? "%.2f" : "%.0f", value) << "\t"
            << unit << std::endl;
}

void Run(const std::string& folder) {
  const std::string ldb_path = folder + "/ldb.db";
  // By another process, so that the memory that it takes is not counted here.
  const pid_t writer = fork();
  if (writer == 0) {
    WriteLdb(ldb_path);
    _exit(0);
  }
  int status = -1;
  if (waitpid(writer, &status, 0) != writer || status != 0) Fail("the data could not be written");
  SidecarServer::Options options;
  options.ldb_path = ldb_path;
  options.server.listen = {absl::StrCat("unix:", folder, "/sidecar.sock")};
  options.http.emplace();
  options.http->listen = "127.0.0.1:0";
  const auto server = SidecarServer::Start(options);
  Check(server.status());
  const std::string script = folder + "/random_rows.lua";
  // Each request is made once, so that wrk has little to do for it.
  WriteFile(script, absl::StrCat(R"(
local requests = {}
for i = 1, 20000 do
  local key = string.format('{"Key":[{"Value":"key-%08d"}]}', math.random(0, )",
                                 kRows - 1, R"())
  requests[i] = wrk.format("POST", "/get-row-by-key/bench/items", nil, key)
end
local i = 0
function request()
  i = i % #requests + 1
  return requests[i]
end
)"));
  // What the sidecar answers for a row in the middle.
  const std::string row = absl::StrFormat(
      R"({"code":"%s","name":"the name of item %d","amount":%d})", RowKey(55555), 55555, 55555);
  const Nginx nginx(folder + "/nginx", row);
  const std::string sidecar_url = absl::StrCat("http://", (*server)->http_address());

  std::vector<double> sidecar;
  std::vector<double> file;
  std::vector<double> ratio;
  for (int round = 0; round < kRounds; ++round) {
    file.push_back(Wrk(folder, nginx.url(), ""));
    sidecar.push_back(Wrk(folder, sidecar_url, script));
    ratio.push_back(sidecar.back() / file.back());
  }
  Print("sidecar.http_rps", Median(sidecar), "requests/s");
  Print("sidecar.nginx_rps", Median(file), "requests/s");
  Print("sidecar.http_per_nginx", Median(ratio), "ratio");
  Print("sidecar.http_memory_bytes", static_cast<double>(PeakMemory()), "bytes");
}

}  // namespace
}  // namespace ctlstore::sidecar

int main(int, char** argv) {
  ctlstore::InitLogging(argv[0]);
  // Unix sockets' paths are short.
  std::string folder = "/tmp/ctlstore_http_benchmark_XXXXXX";
  if (mkdtemp(&folder[0]) == nullptr) {
    std::perror("mkdtemp");
    return 1;
  }
  ctlstore::sidecar::Run(folder);
  std::filesystem::remove_all(folder);
  return 0;
}
