// How many mutations a second an executive acknowledges on MariaDB with its default durability,
// beside the same SQL issued one mutation a transaction on one connection. Prints
// `figure<TAB>value<TAB>unit`.
//
// The executive and its writers share a process and the machine. A writer is a call in flight, not
// a thread: it sends its next mutation when the last one was answered, over one of few connections,
// so that little of what is measured is the writers' own work.

#include <grpcpp/grpcpp.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/synchronization/blocking_counter.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/base/lock_order.h"
#include "common/base/logging.h"
#include "common/ctldb/connection.h"
#include "common/ctldb/testing/mariadb_server.h"
#include "common/rpc/client.h"
#include "common/rpc/status_conversion.h"
#include "ctlstore/v1/executive.grpc.pb.h"
#include "executive/executive_server.h"

ABSL_FLAG(int, seconds, 9, "How long each way of writing is measured in all, in seconds.");

namespace ctlstore::executive {
namespace {

constexpr int kRounds = 3;
constexpr int kChannels = 4;
constexpr int kWriters = 64;
constexpr int kBulkWriters = 4;
constexpr int kBulkMutations = 100;
constexpr int64_t kKeys = 100000;
constexpr char kWriter[] = "benchmark";
constexpr char kSecret[] = "benchmark secret";

// A benchmark without its figures is worth nothing: every error ends it.
void Check(const absl::Status& status, const char* what) {
  if (status.ok()) return;
  std::cerr << what << ": " << status << "\n";
  std::exit(1);
}

std::string NameOf(int64_t n) { return absl::StrCat("the name of row ", n); }

// The processor time that a process has used so far, in seconds.
double CpuSeconds(pid_t pid) {
  std::ifstream file(absl::StrCat("/proc/", pid, "/stat"));
  std::stringstream text;
  text << file.rdbuf();
  // The second field is the program's name in parentheses, which may hold anything.
  const std::string stat = text.str();
  const std::vector<std::string> fields = absl::StrSplit(stat.substr(stat.rfind(')') + 1), ' ');
  int64_t user = 0, system = 0;
  if (fields.size() < 14 || !absl::SimpleAtoi(fields[12], &user) ||
      !absl::SimpleAtoi(fields[13], &system)) {
    Check(absl::InternalError(absl::StrCat("process ", pid, " has no times")), "/proc");
  }
  return static_cast<double>(user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

// The most memory that this process has had resident.
double PeakResidentMib() {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("VmHWM:", 0) == 0) return std::atof(line.c_str() + 6) / 1024;
  }
  return 0;
}

// What some writers did in some time.
struct Measurement {
  int64_t mutations = 0;
  // Calls to the executive, and ledger transactions in which it wrote them.
  int64_t calls = 0;
  int64_t transactions = 0;
  absl::Duration time;
  double own_cpu_seconds = 0;
  double mariadb_cpu_seconds = 0;
  std::vector<absl::Duration> latencies;

  void Add(const Measurement& other) {
    mutations += other.mutations;
    calls += other.calls;
    transactions += other.transactions;
    time += other.time;
    own_cpu_seconds += other.own_cpu_seconds;
    mariadb_cpu_seconds += other.mariadb_cpu_seconds;
    latencies.insert(latencies.end(), other.latencies.begin(), other.latencies.end());
  }
  double PerSecond(double amount) const { return amount / absl::ToDoubleSeconds(time); }
  double PercentileMs(double fraction) {
    if (latencies.empty()) return 0;
    const size_t position = static_cast<size_t>(fraction * (latencies.size() - 1));
    std::nth_element(latencies.begin(), latencies.begin() + position, latencies.end());
    return absl::ToDoubleMilliseconds(latencies[position]);
  }
};

// Connections to the executive.
class Client {
 public:
  explicit Client(const std::string& address) {
    rpc::ChannelOptions options;
    options.own_connection = true;
    for (int i = 0; i < kChannels; ++i) {
      stubs_.push_back(v1::Executive::NewStub(rpc::NewChannel(address, options)));
    }
  }

  v1::Executive::Stub* stub(size_t writer) const { return stubs_[writer % stubs_.size()].get(); }

  template <typename Request, typename Response>
  void Call(grpc::Status (v1::Executive::Stub::*method)(grpc::ClientContext*, const Request&,
                                                        Response*),
            const Request& request) {
    grpc::ClientContext context;
    SetUp(&context);
    Response response;
    Check(rpc::FromGrpcStatus((stub(0)->*method)(&context, request, &response)), "call");
  }

  static void SetUp(grpc::ClientContext* context) {
    rpc::SetDeadline(absl::Now() + absl::Seconds(30), context);
    rpc::AddWriterCredentials(kWriter, kSecret, context);
    context->set_wait_for_ready(true);
  }

 private:
  std::vector<std::unique_ptr<v1::Executive::Stub>> stubs_;
};

// Sends requests of some upserts, one after the other's answer, until the time is over.
class Writer {
 public:
  Writer(v1::Executive::Stub* stub, int mutations, absl::Time end, absl::BlockingCounter* running)
      : stub_(stub), mutations_(mutations), end_(end), running_(running) {}
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  // `running` counts down when the last answer is there.
  void Send() {
    static std::atomic<int64_t> next_key(0);
    const int64_t first = next_key.fetch_add(mutations_);
    request_.set_family("bench");
    request_.clear_mutations();
    for (int64_t n = first; n < first + mutations_; ++n) {
      v1::Mutation* mutation = request_.add_mutations();
      mutation->set_table("rows");
      (*mutation->mutable_values())["id"].set_text(absl::StrCat("key ", n % kKeys));
      (*mutation->mutable_values())["number"].set_integer(n);
      (*mutation->mutable_values())["name"].set_text(NameOf(n));
    }
    context_ = std::make_unique<grpc::ClientContext>();
    Client::SetUp(context_.get());
    begin_ = absl::Now();
    stub_->async()->Mutate(context_.get(), &request_, &response_,
                           [this](grpc::Status status) { Answered(status); });
  }

  const Measurement& done() const { return done_; }

 private:
  void Answered(const grpc::Status& status) {
    Check(rpc::FromGrpcStatus(status), "Mutate");
    const absl::Time now = absl::Now();
    done_.latencies.push_back(now - begin_);
    done_.mutations += mutations_;
    ++done_.calls;
    if (now < end_) {
      Send();
    } else {
      running_->DecrementCount();
    }
  }

  v1::Executive::Stub* const stub_;
  const int mutations_;
  const absl::Time end_;
  absl::BlockingCounter* const running_;
  std::unique_ptr<grpc::ClientContext> context_;
  v1::MutateRequest request_;
  v1::MutateResponse response_;
  absl::Time begin_;
  Measurement done_;
};

// Each ledger transaction counts the ledger lock's clock up.
int64_t LedgerTransactions(ctldb::Connection* connection) {
  int64_t clock = 0;
  Check(connection->Query("SELECT clock FROM locks WHERE id = ?", {"ledger"},
                          [&clock](absl::Span<const ValueView> row) {
                            clock = row[0].integer();
                            return absl::OkStatus();
                          }),
        "locks");
  return clock;
}

Measurement ThroughExecutive(const Client& client, ctldb::Connection* connection, pid_t mariadb,
                             int writer_count, int mutations, absl::Duration duration) {
  const int64_t transactions = LedgerTransactions(connection);
  const double own_cpu = CpuSeconds(getpid());
  const double mariadb_cpu = CpuSeconds(mariadb);
  const absl::Time start = absl::Now();
  absl::BlockingCounter running(writer_count);
  std::vector<std::unique_ptr<Writer>> writers;
  for (int i = 0; i < writer_count; ++i) {
    writers.push_back(
        std::make_unique<Writer>(client.stub(i), mutations, start + duration, &running));
    writers.back()->Send();
  }
  running.Wait();
  Measurement all;
  all.time = absl::Now() - start;
  all.own_cpu_seconds = CpuSeconds(getpid()) - own_cpu;
  all.mariadb_cpu_seconds = CpuSeconds(mariadb) - mariadb_cpu;
  all.transactions = LedgerTransactions(connection) - transactions;
  for (const std::unique_ptr<Writer>& writer : writers) all.Add(writer->done());
  return all;
}

// What an executive's SQL would be without any care for speed.
Measurement Naive(ctldb::Connection* connection, absl::Duration duration) {
  static int64_t n = 0;
  Measurement measurement;
  const absl::Time start = absl::Now();
  while (absl::Now() - start < duration) {
    ++n;
    const std::string key = absl::StrCat("key ", n % kKeys);
    const std::string name = NameOf(n);
    Check(connection->BeginWrite(), "naive begin");
    Check(
        connection->Execute("UPDATE locks SET clock = clock + 1 WHERE id = ?", {"ledger"}).status(),
        "naive lock");
    int64_t sequence = 0;
    Check(connection->Query("SELECT COALESCE(MAX(seq), 0) + 1 FROM ctlstore_dml_ledger", {},
                            [&sequence](absl::Span<const ValueView> row) {
                              sequence = row[0].integer();
                              return absl::OkStatus();
                            }),
          "naive sequence");
    Check(connection
              ->Execute("REPLACE INTO bench___rows (\"id\",\"number\",\"name\") VALUES(?,?,?)",
                        {key, n, name})
              .status(),
          "naive row");
    const std::string statement =
        absl::StrCat("REPLACE INTO bench___rows (\"id\",\"number\",\"name\") VALUES('", key, "',",
                     n, ",'", name, "')");
    Check(connection
              ->Execute("INSERT INTO ctlstore_dml_ledger (seq, statement) VALUES (?, ?)",
                        {sequence, statement})
              .status(),
          "naive ledger");
    Check(connection->Commit(), "naive commit");
    ++measurement.mutations;
  }
  measurement.time = absl::Now() - start;
  return measurement;
}

void Print(const char* figure, double value, const char* unit) {
  std::printf("%s\t%.2f\t%s\n", figure, value, unit);
}

void Run() {
  absl::StatusOr<std::unique_ptr<ctldb::testing::MariadbServer>> mariadb =
      ctldb::testing::MariadbServer::Start();
  Check(mariadb.status(), "MariaDB");
  ExecutiveServer::Options options;
  options.ctldb = (*mariadb)->NewDatabase();
  options.server.listen = {"127.0.0.1:0"};
  options.executive.limits.default_writer_rows = 0;
  absl::StatusOr<std::unique_ptr<ExecutiveServer>> server = ExecutiveServer::Start(options);
  Check(server.status(), "executive");

  Client client((*server)->addresses()[0]);
  v1::CreateFamilyRequest family;
  family.set_family("bench");
  client.Call(&v1::Executive::Stub::CreateFamily, family);
  v1::CreateTableRequest table;
  table.mutable_table()->set_family("bench");
  table.mutable_table()->set_name("rows");
  for (const auto& [name, type] : std::vector<std::pair<const char*, v1::FieldType>>{
           {"id", v1::STRING}, {"number", v1::INTEGER}, {"name", v1::TEXT}}) {
    v1::Field* field = table.mutable_table()->add_fields();
    field->set_name(name);
    field->set_type(type);
  }
  table.mutable_table()->add_key_fields("id");
  client.Call(&v1::Executive::Stub::CreateTable, table);
  v1::RegisterWriterRequest writer;
  writer.set_writer(kWriter);
  writer.set_secret(kSecret);
  client.Call(&v1::Executive::Stub::RegisterWriter, writer);
  absl::StatusOr<std::unique_ptr<ctldb::Connection>> connection =
      ctldb::Connection::Open(options.ctldb, options.connection);
  Check(connection.status(), "connection");

  // In turn, so that a machine that is slower for a while is so for all of them.
  const absl::Duration turn = absl::Seconds(absl::GetFlag(FLAGS_seconds)) / kRounds;
  Measurement naive, single, bulk;
  for (int round = -1; round < kRounds; ++round) {
    // The first round only warms up.
    const absl::Duration duration = round < 0 ? absl::Milliseconds(500) : turn;
    const Measurement naive_turn = Naive(connection->get(), duration);
    const Measurement single_turn =
        ThroughExecutive(client, connection->get(), (*mariadb)->pid(), kWriters, 1, duration);
    const Measurement bulk_turn = ThroughExecutive(client, connection->get(), (*mariadb)->pid(),
                                                   kBulkWriters, kBulkMutations, duration);
    if (round < 0) continue;
    naive.Add(naive_turn);
    single.Add(single_turn);
    bulk.Add(bulk_turn);
  }
  const double single_rate = single.PerSecond(single.mutations);
  const double naive_rate = naive.PerSecond(naive.mutations);
  Print("write.mutations_per_s", single_rate, "1/s");
  Print("write.naive.mutations_per_s", naive_rate, "1/s");
  Print("write.ratio", single_rate / naive_rate, "x");
  Print("write.p50_ms", single.PercentileMs(0.5), "ms");
  Print("write.p99_ms", single.PercentileMs(0.99), "ms");
  Print("write.group_size", static_cast<double>(single.calls) / single.transactions, "requests");
  Print("write.cpu_share.executive_and_writers", single.PerSecond(single.own_cpu_seconds), "CPUs");
  Print("write.cpu_share.mariadb", single.PerSecond(single.mariadb_cpu_seconds), "CPUs");
  Print("write.bulk.mutations_per_s", bulk.PerSecond(bulk.mutations), "1/s");
  Print("write.bulk.p99_ms", bulk.PercentileMs(0.99), "ms");
  Print("write.bulk.cpu_share.executive_and_writers", bulk.PerSecond(bulk.own_cpu_seconds), "CPUs");
  Print("write.bulk.cpu_share.mariadb", bulk.PerSecond(bulk.mariadb_cpu_seconds), "CPUs");
  Print("write.rss_mib", PeakResidentMib(), "MiB");
}

}  // namespace
}  // namespace ctlstore::executive

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  ctlstore::InitLogging(argv[0]);
  // As the executive does.
  ctlstore::StopWatchingLockOrder();
  ctlstore::executive::Run();
  return 0;
}
