// How long a change takes to a local database while a snapshot of it is taken, beside idle, and
// what memory the supervisor takes. Prints `figure<TAB>value<TAB>unit`.
//
// MariaDB, an executive in this process, and a supervisor as a process of its own: the program that
// lies beside this one. Its local database has a gigabyte of rows. It is looked at all the while by
// this process, with the reader that applications use.

#include <fcntl.h>
#include <grpcpp/grpcpp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <random>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
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
#include "ctlstore/v1/supervisor.grpc.pb.h"
#include "executive/executive_server.h"

ABSL_FLAG(int, samples, 300, "How many writes are measured, idle and during snapshots each.");
ABSL_FLAG(int, megabytes, 1000, "The size of the local database, about.");

namespace ctlstore::supervisor {
namespace {

constexpr char kWriter[] = "benchmark";
constexpr char kSecret[] = "benchmark secret";
constexpr int kWarmUpSamples = 5;
constexpr absl::Duration kLeastPause = absl::Milliseconds(20);
constexpr absl::Duration kMostPause = absl::Milliseconds(50);
// Between two looks at the local database: what it adds to a figure is far below a millisecond, and
// it leaves the processor to those who are measured.
constexpr absl::Duration kLookInterval = absl::Microseconds(50);
constexpr absl::Duration kPatience = absl::Seconds(300);
// The last checkpoint and the like are over then.
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
    path_ = absl::StrCat(temp == nullptr ? "/tmp" : temp, "/snapshot_propagation_XXXXXX");
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

// The supervisor. Killed when this is destroyed.
class SupervisorProcess {
 public:
  SupervisorProcess(const std::string& folder, const std::string& executive)
      : ldb_path_(absl::StrCat(folder, "/supervisor/ldb.db")),
        address_(absl::StrCat("unix:", folder, "/supervisor.sock")),
        log_(absl::StrCat(folder, "/supervisor.log")) {
    std::filesystem::create_directory(absl::StrCat(folder, "/snapshots"));
    std::vector<std::string> flags = {
        std::filesystem::read_symlink("/proc/self/exe").parent_path() / "supervisor",
        absl::StrCat("--ldb=", ldb_path_),
        absl::StrCat("--upstream=grpc://", executive),
        absl::StrCat("--listen=", address_),
        absl::StrCat("--snapshot_urls=file://", folder, "/snapshots"),
        "--snapshot_interval_s=0",
        "--snapshot_keep_count=1"};
    std::vector<char*> arguments;
    for (std::string& flag : flags) arguments.push_back(&flag[0]);
    arguments.push_back(nullptr);
    const int log_fd = open(log_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
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
    if (pid_ < 0) Check(absl::InternalError("fork"), "cannot start a supervisor");
    stub_ = v1::Supervisor::NewStub(rpc::NewChannel(address_, {}));
  }
  ~SupervisorProcess() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  SupervisorProcess(const SupervisorProcess&) = delete;
  SupervisorProcess& operator=(const SupervisorProcess&) = delete;

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
    Check(status, "the supervisor does not catch up");
  }

  v1::SnapshotInfo TakeSnapshot() {
    grpc::ClientContext context;
    rpc::SetDeadline(absl::Now() + kPatience, &context);
    context.set_wait_for_ready(true);
    v1::TakeSnapshotResponse response;
    const absl::Status status =
        rpc::FromGrpcStatus(stub_->TakeSnapshot(&context, v1::TakeSnapshotRequest(), &response));
    if (!status.ok()) std::cerr << Contents(log_);
    Check(status, "cannot take a snapshot");
    return response.snapshot();
  }

  // The most that it ever took.
  double PeakResidentMegabytes() const {
    std::ifstream file(absl::StrCat("/proc/", pid_, "/status"));
    for (std::string line; std::getline(file, line);) {
      if (line.rfind("VmHWM:", 0) == 0) return std::atof(line.c_str() + 6) * 1024 / 1e6;
    }
    Check(absl::InternalError("no size in /proc"), "the supervisor has ended");
    return 0;
  }

 private:
  const std::string ldb_path_;
  const std::string address_;
  const std::string log_;
  pid_t pid_ = 0;
  std::unique_ptr<v1::Supervisor::Stub> stub_;
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

std::string RandomText(std::mt19937* random, int words) {
  static constexpr const char* kWords[] = {"alpha", "blue",   "cloud", "data",  "east",  "flow",
                                           "green", "host",   "inner", "jade",  "kilo",  "lunar",
                                           "metro", "north",  "omega", "prime", "quick", "rapid",
                                           "solar", "tenant", "urban", "vital", "west",  "zone"};
  std::string text;
  for (int i = 0; i < words; ++i) {
    absl::StrAppend(&text, kWords[(*random)() % (sizeof(kWords) / sizeof(kWords[0]))], "-",
                    (*random)() % 10000, " ");
  }
  return text;
}

// Appends rows to the ledger alone, past the executive. Returns the last sequence.
int64_t FillLedger(const ctldb::Target& target, int64_t megabytes) {
  constexpr int kRowsPerTransaction = 4000;
  const TableSchema schema = Check(
      TableSchema::Create(
          "bench", "filling",
          {{"id", FieldType::kString}, {"number", FieldType::kInteger}, {"text", FieldType::kText}},
          {"id"}),
      "schema");
  const auto connection = Check(ctldb::Connection::Open(target, {}), "cannot connect");
  std::mt19937 random(1);
  int64_t sequence = 0;
  for (int64_t bytes = 0; bytes < megabytes * 1000000;) {
    auto transaction = Check(ctldb::LedgerTransaction::Begin(connection.get()), "ledger");
    if (bytes == 0) transaction.Append({sql::CreateTableStatement(schema)});
    for (int i = 0; i < kRowsPerTransaction; ++i) {
      const std::string id = absl::StrFormat("%08x-%08x", random(), random());
      const std::string text = RandomText(&random, 30 + random() % 40);
      transaction.Append(
          {sql::UpsertStatement(schema, {id, static_cast<int64_t>(random()), text})});
      bytes += static_cast<int64_t>(id.size() + text.size()) + 16;
    }
    sequence = transaction.last_sequence();
    Check(transaction.Commit(), "ledger");
  }
  return sequence;
}

// Writes now and then, and measures how long after the answer each write is there to be read.
// Returns the 99th percentile in milliseconds.
double MeasurePropagation(System* system, ldb::Reader* reader, const std::string& figure) {
  static int64_t number = 0;
  const int samples = absl::GetFlag(FLAGS_samples);
  std::mt19937 random(1);
  std::vector<absl::Duration> times;
  for (int sample = -kWarmUpSamples; sample < samples; ++sample) {
    absl::SleepFor(
        std::max(kLeastPause, kMostPause * std::uniform_real_distribution<double>()(random)));
    system->Write(++number);
    const absl::Time answered = absl::Now();
    while (true) {
      const ldb::Row row = Check(reader->GetRow("bench", "rows", {"the row"}), "cannot read");
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
  Print(absl::StrCat(figure, ".max_ms"), PercentileMs(times, 1), "ms");
  return PercentileMs(times, 0.99);
}

void Run() {
  const Folder folder;
  System system;
  const int64_t last = FillLedger(system.target(), absl::GetFlag(FLAGS_megabytes));
  SupervisorProcess supervisor(folder.path(), system.address());
  supervisor.WaitFor(last);
  absl::SleepFor(kSettling);
  ldb::Reader reader(supervisor.ldb_path());

  const double idle = MeasurePropagation(&system, &reader, "snapshot.propagation.idle");
  // One snapshot after the other, so that one is being taken all the time.
  std::atomic<bool> enough{false};
  std::atomic<int> snapshots{0};
  v1::SnapshotInfo info;
  const absl::Time begin = absl::Now();
  std::thread snapshooting([&] {
    while (!enough) {
      info = supervisor.TakeSnapshot();
      ++snapshots;
    }
  });
  const double busy = MeasurePropagation(&system, &reader, "snapshot.propagation.busy");
  enough = true;
  snapshooting.join();
  Print("snapshot.propagation.busy_to_idle", busy / idle, "ratio");
  Print("snapshot.service.seconds", absl::ToDoubleSeconds(absl::Now() - begin) / snapshots, "s");
  Print("snapshot.service.file_mb", static_cast<double>(info.file_bytes()) / 1e6, "MB");
  Print("snapshot.service.object_mb", static_cast<double>(info.object_bytes()) / 1e6, "MB");
  Print("snapshot.service.peak_resident_mb", supervisor.PeakResidentMegabytes(), "MB");
}

}  // namespace
}  // namespace ctlstore::supervisor

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  ctlstore::InitLogging(argv[0]);
  // As the executive does.
  ctlstore::StopWatchingLockOrder();
  ctlstore::supervisor::Run();
  return 0;
}
