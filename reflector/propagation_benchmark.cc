// How long after its answer a Mutate is visible in a host's local database, and what a reflector
// takes that has nothing to do. Prints `figure<TAB>value<TAB>unit`.
//
// MariaDB, an executive in this process, and reflectors as processes of their own: the program that
// lies beside this one. Between two writes the system is idle. The local database is looked at all
// the while by this process, with the reader that applications use.

#include <fcntl.h>
#include <grpcpp/grpcpp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <random>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/base/lock_order.h"
#include "common/base/logging.h"
#include "common/ctldb/connection.h"
#include "common/ctldb/ledger_transaction.h"
#include "common/ctldb/testing/mariadb_server.h"
#include "common/ldb/reader.h"
#include "common/rpc/client.h"
#include "common/rpc/status_conversion.h"
#include "common/schema/table_schema.h"
#include "common/sql/ledger_statements.h"
#include "ctlstore/v1/executive.grpc.pb.h"
#include "executive/executive_server.h"

ABSL_FLAG(int, samples, 400, "How many writes are measured with the stream.");
ABSL_FLAG(int, poll_samples, 15, "How many writes are measured with polling as it is by default.");
ABSL_FLAG(int, fast_poll_samples, 200, "How many writes are measured with polling every 10 ms.");
ABSL_FLAG(int, idle_seconds, 20, "How long idle reflectors are watched, in seconds.");
ABSL_FLAG(int, idle_megabytes, 100, "The size of an idle reflector's local database.");

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
constexpr absl::Duration kPatience = absl::Seconds(120);
// An idle reflector's last checkpoint and the like are over then.
constexpr absl::Duration kSettling = absl::Seconds(8);

// A benchmark without its figures is worth nothing: every error ends it.
void Check(const absl::Status& status, absl::string_view what) {
  if (status.ok()) return;
  std::cerr << what << ": " << status << "\n";
  std::exit(1);
}

template <typename T>
T Check(absl::StatusOr<T> value, absl::string_view what) {
  Check(value.status(), what);
  return *std::move(value);
}

void Print(const std::string& figure, double value, const char* unit) {
  absl::PrintF("%s\t%.2f\t%s\n", figure, value, unit);
  std::fflush(stdout);
}

std::string Contents(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// A folder that is gone at the end.
class Folder {
 public:
  Folder() {
    const char* temp = std::getenv("TMPDIR");
    path_ = absl::StrCat(temp == nullptr ? "/tmp" : temp, "/propagation_benchmark_XXXXXX");
    if (mkdtemp(&path_[0]) == nullptr) Check(absl::UnavailableError(path_), "cannot make a folder");
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// A reflector as a process of its own, with an LDB of its own. Killed when this is destroyed.
class ReflectorProcess {
 public:
  ReflectorProcess(const std::string& folder, const std::string& name,
                   std::vector<std::string> flags)
      : ldb_path_(absl::StrCat(folder, "/", name, "/ldb.db")) {
    const std::string log = absl::StrCat(folder, "/", name, ".log");
    const std::string program =
        std::filesystem::read_symlink("/proc/self/exe").parent_path() / "reflector";
    flags.insert(flags.begin(), {program, absl::StrCat("--ldb=", ldb_path_)});
    std::vector<char*> arguments;
    for (std::string& flag : flags) arguments.push_back(&flag[0]);
    arguments.push_back(nullptr);
    const int log_fd = open(log.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
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
    if (pid_ < 0) Check(absl::InternalError("fork"), "cannot start a reflector");
    log_ = log;
  }
  ~ReflectorProcess() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  ReflectorProcess(const ReflectorProcess&) = delete;
  ReflectorProcess& operator=(const ReflectorProcess&) = delete;

  const std::string& ldb_path() const { return ldb_path_; }

  // Returns once the LDB has the ledger up to `sequence`.
  void WaitFor(int64_t sequence) {
    ldb::Reader reader(ldb_path_);
    const absl::Time deadline = absl::Now() + kPatience;
    absl::Status status;
    do {
      status = reader.WaitForSequence(sequence, deadline);
      // There is no LDB in the beginning.
      if (status.ok() || waitpid(pid_, nullptr, WNOHANG) != 0) break;
      absl::SleepFor(absl::Milliseconds(10));
    } while (absl::Now() < deadline);
    if (!status.ok()) std::cerr << Contents(log_);
    Check(status, "the reflector does not catch up");
  }

  // The processor time that its threads have used so far; times of threads that have ended are not
  // in it.
  absl::Duration CpuTime() const {
    absl::Duration time;
    for (const auto& thread :
         std::filesystem::directory_iterator(absl::StrCat("/proc/", pid_, "/task"))) {
      // /proc/PID/stat counts in ticks of 10 ms, which an idle process hardly ever uses up.
      const std::vector<std::string> fields =
          absl::StrSplit(Contents(thread.path() / "schedstat"), ' ');
      int64_t nanoseconds = 0;
      if (!absl::SimpleAtoi(fields[0], &nanoseconds)) {
        Check(absl::InternalError("no time in /proc"), "the reflector has ended");
      }
      time += absl::Nanoseconds(nanoseconds);
    }
    return time;
  }

  double ResidentMegabytes() const {
    std::ifstream file(absl::StrCat("/proc/", pid_, "/status"));
    for (std::string line; std::getline(file, line);) {
      if (line.rfind("VmRSS:", 0) == 0) return std::atof(line.c_str() + 6) * 1024 / 1e6;
    }
    Check(absl::InternalError("no size in /proc"), "the reflector has ended");
    return 0;
  }

 private:
  const std::string ldb_path_;
  std::string log_;
  pid_t pid_ = 0;
};

// The executive with its client.
class System {
 public:
  System() : mariadb_(Check(ctldb::testing::MariadbServer::Start(), "MariaDB")) {
    executive::ExecutiveServer::Options options;
    options.ctldb = target_ = mariadb_->NewDatabase();
    options.server.listen = {"127.0.0.1:0"};
    options.executive.limits.default_writer_rows = 0;
    executive_ = Check(executive::ExecutiveServer::Start(options), "executive");
    stub_ = v1::Executive::NewStub(rpc::NewChannel(address(), {}));

    v1::CreateFamilyRequest family;
    family.set_family("bench");
    Call(&v1::Executive::Stub::CreateFamily, family);
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
    Call(&v1::Executive::Stub::CreateTable, table);
    v1::RegisterWriterRequest writer;
    writer.set_writer(kWriter);
    writer.set_secret(kSecret);
    Call(&v1::Executive::Stub::RegisterWriter, writer);
  }

  const std::string& address() const { return executive_->addresses()[0]; }
  const ctldb::Target& target() const { return target_; }

  std::vector<std::string> Polling() const {
    return {absl::StrCat("--ctldb=", target_.ToString()), "--listen=127.0.0.1:0"};
  }
  std::vector<std::string> Pushing() const {
    return {absl::StrCat("--upstream=grpc://", address()), "--listen=127.0.0.1:0"};
  }

  // Returns the sequence.
  int64_t Write(int64_t number) {
    v1::MutateRequest request;
    request.set_family("bench");
    v1::Mutation* mutation = request.add_mutations();
    mutation->set_table("rows");
    (*mutation->mutable_values())["id"].set_text("the row");
    (*mutation->mutable_values())["number"].set_integer(number);
    return Call(&v1::Executive::Stub::Mutate, request).sequence();
  }

 private:
  template <typename Request, typename Response>
  Response Call(grpc::Status (v1::Executive::Stub::*method)(grpc::ClientContext*, const Request&,
                                                            Response*),
                const Request& request) {
    grpc::ClientContext context;
    rpc::SetDeadline(absl::Now() + absl::Seconds(30), &context);
    rpc::AddWriterCredentials(kWriter, kSecret, &context);
    context.set_wait_for_ready(true);
    Response response;
    Check(rpc::FromGrpcStatus((stub_.get()->*method)(&context, request, &response)), "call");
    return response;
  }

  const std::unique_ptr<ctldb::testing::MariadbServer> mariadb_;
  ctldb::Target target_;
  std::unique_ptr<executive::ExecutiveServer> executive_;
  std::unique_ptr<v1::Executive::Stub> stub_;
};

double PercentileMs(std::vector<absl::Duration> times, double fraction) {
  std::sort(times.begin(), times.end());
  return absl::ToDoubleMilliseconds(times[static_cast<size_t>(fraction * (times.size() - 1))]);
}

// Writes now and then, and measures how long after the answer each write is there to be read. The
// pauses are at random up to `most_pause`: no shorter than the time from one poll to the next, or
// each write would come right after the poll that has found the one before it.
void MeasurePropagation(System* system, const std::string& folder, const std::string& figure,
                        const std::vector<std::string>& flags, int samples,
                        absl::Duration most_pause) {
  static int64_t number = 0;
  if (samples == 0) return;
  std::cerr << figure << ": " << samples << " writes\n";
  ReflectorProcess reflector(folder, figure, flags);
  reflector.WaitFor(system->Write(++number));
  ldb::Reader reader(reflector.ldb_path());
  std::mt19937 random(1);
  std::vector<absl::Duration> times;
  for (int sample = -kWarmUpSamples; sample < samples; ++sample) {
    absl::SleepFor(
        std::max(kLeastPause, most_pause * std::uniform_real_distribution<double>()(random)));
    system->Write(++number);
    const absl::Time answered = absl::Now();
    while (true) {
      const ldb::Row row = Check(reader.GetRow("bench", "rows", {"the row"}), "cannot read");
      if (row.exists() && Check(row.GetInteger("number"), "cannot read") == number) break;
      if (absl::Now() - answered > kPatience) {
        Check(absl::DeadlineExceededError("it is not there"), "a write does not arrive");
      }
      absl::SleepFor(kLookInterval);
    }
    if (sample >= 0) times.push_back(absl::Now() - answered);
  }
  Print(absl::StrCat(figure, ".p50_ms"), PercentileMs(times, 0.5), "ms");
  Print(absl::StrCat(figure, ".p99_ms"), PercentileMs(times, 0.99), "ms");
}

// Appends rows to the ledger alone, past the executive. Returns the last sequence.
int64_t FillLedger(const ctldb::Target& target, int64_t megabytes) {
  constexpr int kRowBytes = 1000;
  constexpr int kRowsPerTransaction = 4000;
  const TableSchema schema =
      Check(TableSchema::Create("bench", "filling",
                                {{"id", FieldType::kInteger}, {"text", FieldType::kText}}, {"id"}),
            "schema");
  const auto connection = Check(ctldb::Connection::Open(target, {}), "cannot connect");
  int64_t sequence = 0;
  for (int64_t row = 0, rows = megabytes * 1000000 / kRowBytes; row < rows;) {
    auto transaction = Check(ctldb::LedgerTransaction::Begin(connection.get()), "ledger");
    if (row == 0) transaction.Append({sql::CreateTableStatement(schema)});
    for (int i = 0; i < kRowsPerTransaction && row < rows; ++i, ++row) {
      transaction.Append({sql::UpsertStatement(
          schema, {row, std::string(kRowBytes, static_cast<char>('a' + row % 26))})});
    }
    sequence = transaction.last_sequence();
    Check(transaction.Commit(), "ledger");
  }
  return sequence;
}

void MeasureIdle(System* system, const std::string& folder) {
  const absl::Duration duration = absl::Seconds(absl::GetFlag(FLAGS_idle_seconds));
  if (duration == absl::ZeroDuration()) return;
  const int64_t megabytes = absl::GetFlag(FLAGS_idle_megabytes);
  std::cerr << "reflector.idle: two local databases of " << megabytes << " MB, " << duration
            << "\n";
  const int64_t last = FillLedger(system->target(), megabytes);
  const std::pair<const char*, std::vector<std::string>> ways[] = {
      {"reflector.idle", system->Pushing()}, {"reflector.idle.poll", system->Polling()}};
  std::vector<std::unique_ptr<ReflectorProcess>> reflectors;
  for (const auto& [figure, flags] : ways) {
    reflectors.push_back(std::make_unique<ReflectorProcess>(folder, figure, flags));
  }
  for (const auto& reflector : reflectors) reflector->WaitFor(last);
  absl::SleepFor(kSettling);
  std::vector<absl::Duration> before;
  for (const auto& reflector : reflectors) before.push_back(reflector->CpuTime());
  const absl::Time begin = absl::Now();
  absl::SleepFor(duration);
  for (size_t i = 0; i < reflectors.size(); ++i) {
    const absl::Duration used = reflectors[i]->CpuTime() - before[i];
    Print(absl::StrCat(ways[i].first, ".cpu_percent"),
          100 * absl::FDivDuration(used, absl::Now() - begin), "%");
    Print(absl::StrCat(ways[i].first, ".resident_mb"), reflectors[i]->ResidentMegabytes(), "MB");
  }
}

void Run() {
  const Folder folder;
  System system;
  std::vector<std::string> fast_polling = system.Polling();
  fast_polling.push_back("--poll_interval_ms=10");
  MeasurePropagation(&system, folder.path(), "propagation", system.Pushing(),
                     absl::GetFlag(FLAGS_samples), absl::Milliseconds(50));
  MeasurePropagation(&system, folder.path(), "propagation.poll_10ms", fast_polling,
                     absl::GetFlag(FLAGS_fast_poll_samples), absl::Milliseconds(50));
  MeasurePropagation(&system, folder.path(), "propagation.poll", system.Polling(),
                     absl::GetFlag(FLAGS_poll_samples), absl::Seconds(1.25));
  MeasureIdle(&system, folder.path());
}

}  // namespace
}  // namespace ctlstore::reflector

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  ctlstore::InitLogging(argv[0]);
  // As the executive does.
  ctlstore::StopWatchingLockOrder();
  ctlstore::reflector::Run();
  return 0;
}
