#include "reflector/propagation_testbed.h"

#include <fcntl.h>
#include <grpcpp/grpcpp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <random>
#include <sstream>
#include <system_error>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "common/rpc/client.h"
#include "common/rpc/status_conversion.h"

namespace ctlstore::reflector {
namespace {

constexpr char kWriter[] = "benchmark";
constexpr char kSecret[] = "benchmark secret";
constexpr int kWarmUpSamples = 5;
// Between two writes, so that the first one's work is done.
constexpr absl::Duration kLeastPause = absl::Milliseconds(20);
// Between two looks at the local database: what it adds to a figure is far below a millisecond, and
// it leaves the processor to those who are measured.
constexpr absl::Duration kLookInterval = absl::Microseconds(50);
constexpr absl::Duration kPatience = absl::Seconds(300);

template <typename Request, typename Response>
Response Call(v1::Executive::Stub* stub,
              grpc::Status (v1::Executive::Stub::*method)(grpc::ClientContext*, const Request&,
                                                          Response*),
              const Request& request) {
  grpc::ClientContext context;
  rpc::SetDeadline(absl::Now() + absl::Seconds(30), &context);
  rpc::AddWriterCredentials(kWriter, kSecret, &context);
  context.set_wait_for_ready(true);
  Response response;
  Check(rpc::FromGrpcStatus((stub->*method)(&context, request, &response)), "call");
  return response;
}

}  // namespace

void Check(const absl::Status& status, absl::string_view what) {
  if (status.ok()) return;
  std::cerr << what << ": " << status << "\n";
  std::exit(1);
}

void Print(const std::string& figure, double value, const char* unit) {
  absl::PrintF("%s\t%.2f\t%s\n", figure, value, unit);
  std::fflush(stdout);
}

TemporaryFolder::TemporaryFolder() {
  const char* temp = std::getenv("TMPDIR");
  path_ = absl::StrCat(temp == nullptr ? "/tmp" : temp, "/propagation_benchmark_XXXXXX");
  if (mkdtemp(&path_[0]) == nullptr) Check(absl::UnavailableError(path_), "cannot make a folder");
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

ServiceProcess::ServiceProcess(const std::string& program, const std::string& folder,
                               const std::string& name, std::vector<std::string> flags)
    : ldb_path_(absl::StrCat(folder, "/", name, "/ldb.db")),
      log_path_(absl::StrCat(folder, "/", name, ".log")) {
  flags.insert(flags.begin(),
               {std::filesystem::read_symlink("/proc/self/exe").parent_path() / program,
                absl::StrCat("--ldb=", ldb_path_)});
  std::vector<char*> arguments;
  for (std::string& flag : flags) arguments.push_back(&flag[0]);
  arguments.push_back(nullptr);
  const int log_fd = open(log_path_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  pid_ = fork();
  if (pid_ == 0) {
    // Only what may be called between fork() and exec() of a process with threads.
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(log_fd, STDOUT_FILENO);
    dup2(log_fd, STDERR_FILENO);
    execv(arguments[0], arguments.data());
    _exit(127);
  }
  close(log_fd);
  if (pid_ < 0) Check(absl::InternalError("fork"), absl::StrCat("cannot start ", program));
}

ServiceProcess::~ServiceProcess() {
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

std::string ServiceProcess::Log() const {
  std::ifstream file(log_path_);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

void ServiceProcess::WaitFor(int64_t sequence) {
  ldb::Reader reader(ldb_path_);
  const absl::Time deadline = absl::Now() + kPatience;
  absl::Status status;
  do {
    status = reader.WaitForSequence(sequence, deadline);
    // There is no LDB in the beginning.
    if (status.ok() || waitpid(pid_, nullptr, WNOHANG) != 0) break;
    absl::SleepFor(absl::Milliseconds(10));
  } while (absl::Now() < deadline);
  if (!status.ok()) std::cerr << Log();
  Check(status, "the service does not catch up");
}

double ServiceProcess::Megabytes(absl::string_view kind) const {
  std::ifstream file(absl::StrCat("/proc/", pid_, "/status"));
  for (std::string line; std::getline(file, line);) {
    if (absl::StartsWith(line, absl::StrCat(kind, ":"))) {
      return std::atof(line.c_str() + kind.size() + 1) * 1024 / 1e6;
    }
  }
  Check(absl::InternalError("no size in /proc"), "the service has ended");
  return 0;
}

System::System() : mariadb_(Check(ctldb::testing::MariadbServer::Start(), "MariaDB")) {
  executive::ExecutiveServer::Options options;
  options.ctldb = target_ = mariadb_->NewDatabase();
  options.server.listen = {"127.0.0.1:0"};
  options.executive.limits.default_writer_rows = 0;
  executive_ = Check(executive::ExecutiveServer::Start(options), "executive");
  stub_ = v1::Executive::NewStub(rpc::NewChannel(address(), {}));

  v1::CreateFamilyRequest family;
  family.set_family("bench");
  Call(stub_.get(), &v1::Executive::Stub::CreateFamily, family);
  v1::CreateTableRequest table;
  table.mutable_table()->set_family("bench");
  table.mutable_table()->set_name("rows");
  for (const auto& [name, type] : std::vector<std::pair<const char*, v1::FieldType>>{
           {"id", v1::STRING}, {"number", v1::INTEGER}}) {
    v1::Field* field = table.mutable_table()->add_fields();
    field->set_name(name);
    field->set_type(type);
  }
  table.mutable_table()->add_key_fields("id");
  Call(stub_.get(), &v1::Executive::Stub::CreateTable, table);
  v1::RegisterWriterRequest writer;
  writer.set_writer(kWriter);
  writer.set_secret(kSecret);
  Call(stub_.get(), &v1::Executive::Stub::RegisterWriter, writer);
}

int64_t System::Write(int64_t number) {
  v1::MutateRequest request;
  request.set_family("bench");
  v1::Mutation* mutation = request.add_mutations();
  mutation->set_table("rows");
  (*mutation->mutable_values())["id"].set_text("the row");
  (*mutation->mutable_values())["number"].set_integer(number);
  return Call(stub_.get(), &v1::Executive::Stub::Mutate, request).sequence();
}

int64_t System::Read(ldb::Reader* reader) {
  const ldb::Row row = Check(reader->GetRow("bench", "rows", {"the row"}), "cannot read");
  return row.exists() ? Check(row.GetInteger("number"), "cannot read") : 0;
}

std::vector<absl::Duration> MeasurePropagation(System* system, ldb::Reader* reader, int samples,
                                               absl::Duration most_pause) {
  static int64_t number = 0;
  std::mt19937 random(1);
  std::vector<absl::Duration> times;
  for (int sample = -kWarmUpSamples; sample < samples; ++sample) {
    absl::SleepFor(
        std::max(kLeastPause, most_pause * std::uniform_real_distribution<double>()(random)));
    system->Write(++number);
    const absl::Time answered = absl::Now();
    while (System::Read(reader) != number) {
      if (absl::Now() - answered > kPatience) {
        Check(absl::DeadlineExceededError("it is not there"), "a write does not arrive");
      }
      absl::SleepFor(kLookInterval);
    }
    if (sample >= 0) times.push_back(absl::Now() - answered);
  }
  return times;
}

double PercentileMs(std::vector<absl::Duration> times, double fraction) {
  std::sort(times.begin(), times.end());
  return absl::ToDoubleMilliseconds(times[static_cast<size_t>(fraction * (times.size() - 1))]);
}

}  // namespace ctlstore::reflector
