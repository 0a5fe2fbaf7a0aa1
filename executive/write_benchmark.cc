// How many mutations a second an executive acknowledges on MariaDB with its default durability,
// beside the same SQL issued one mutation a transaction on one connection. Prints
// `figure<TAB>value<TAB>unit`.

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <iostream>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
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

// What some writers did in some time.
struct Measurement {
  int64_t mutations = 0;
  absl::Duration time;
  std::vector<absl::Duration> latencies;

  void Add(Measurement&& other) {
    mutations += other.mutations;
    time += other.time;
    latencies.insert(latencies.end(), other.latencies.begin(), other.latencies.end());
  }
  double PerSecond() const { return static_cast<double>(mutations) / absl::ToDoubleSeconds(time); }
  double PercentileMs(double fraction) {
    if (latencies.empty()) return 0;
    const size_t position = static_cast<size_t>(fraction * (latencies.size() - 1));
    std::nth_element(latencies.begin(), latencies.begin() + position, latencies.end());
    return absl::ToDoubleMilliseconds(latencies[position]);
  }
};

// A writer with a connection of its own to the executive.
class Client {
 public:
  explicit Client(const std::string& address) {
    rpc::ChannelOptions options;
    options.own_connection = true;
    stub_ = v1::Executive::NewStub(rpc::NewChannel(address, options));
  }

  template <typename Request, typename Response>
  void Call(grpc::Status (v1::Executive::Stub::*method)(grpc::ClientContext*, const Request&,
                                                        Response*),
            const Request& request) {
    grpc::ClientContext context;
    rpc::SetDeadline(absl::Now() + absl::Seconds(30), &context);
    rpc::AddWriterCredentials(kWriter, kSecret, &context);
    // So many connections at once need not all succeed at the first try.
    context.set_wait_for_ready(true);
    Response response;
    Check(rpc::FromGrpcStatus((stub_.get()->*method)(&context, request, &response)), "call");
  }

  // Upserts `count` rows from key `first` on.
  void Mutate(int64_t first, int count) {
    v1::MutateRequest request;
    request.set_family("bench");
    for (int64_t n = first; n < first + count; ++n) {
      v1::Mutation* mutation = request.add_mutations();
      mutation->set_table("rows");
      (*mutation->mutable_values())["id"].set_text(absl::StrCat("key ", n % kKeys));
      (*mutation->mutable_values())["number"].set_integer(n);
      (*mutation->mutable_values())["name"].set_text(NameOf(n));
    }
    Call(&v1::Executive::Stub::Mutate, request);
  }

 private:
  std::unique_ptr<v1::Executive::Stub> stub_;
};

Measurement ThroughExecutive(const std::vector<std::unique_ptr<Client>>& clients, int mutations,
                             absl::Duration duration) {
  static std::atomic<int64_t> next_key(0);
  std::vector<Measurement> parts(clients.size());
  std::vector<std::thread> threads;
  const absl::Time start = absl::Now();
  for (size_t i = 0; i < clients.size(); ++i) {
    threads.emplace_back([&, i] {
      absl::Time begin = absl::Now();
      while (begin - start < duration) {
        clients[i]->Mutate(next_key.fetch_add(mutations), mutations);
        const absl::Time end = absl::Now();
        parts[i].latencies.push_back(end - begin);
        parts[i].mutations += mutations;
        begin = end;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  Measurement all;
  for (Measurement& part : parts) all.Add(std::move(part));
  all.time = absl::Now() - start;
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
  std::printf("%s\t%.1f\t%s\n", figure, value, unit);
}

void Run() {
  absl::StatusOr<std::unique_ptr<ctldb::testing::MariadbServer>> mariadb =
      ctldb::testing::MariadbServer::Start();
  Check(mariadb.status(), "MariaDB");
  ExecutiveServer::Options options;
  options.ctldb = (*mariadb)->NewDatabase();
  options.server.listen = {"127.0.0.1:0"};
  absl::StatusOr<std::unique_ptr<ExecutiveServer>> server = ExecutiveServer::Start(options);
  Check(server.status(), "executive");

  std::vector<std::unique_ptr<Client>> clients, bulk_clients;
  for (int i = 0; i < kWriters; ++i) {
    clients.push_back(std::make_unique<Client>((*server)->addresses()[0]));
  }
  for (int i = 0; i < kBulkWriters; ++i) {
    bulk_clients.push_back(std::make_unique<Client>((*server)->addresses()[0]));
  }
  v1::CreateFamilyRequest family;
  family.set_family("bench");
  clients[0]->Call(&v1::Executive::Stub::CreateFamily, family);
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
  clients[0]->Call(&v1::Executive::Stub::CreateTable, table);
  v1::RegisterWriterRequest writer;
  writer.set_writer(kWriter);
  writer.set_secret(kSecret);
  clients[0]->Call(&v1::Executive::Stub::RegisterWriter, writer);
  absl::StatusOr<std::unique_ptr<ctldb::Connection>> connection =
      ctldb::Connection::Open(options.ctldb, options.connection);
  Check(connection.status(), "connection");

  // In turn, so that a machine that is slower for a while is so for all of them.
  const absl::Duration turn = absl::Seconds(absl::GetFlag(FLAGS_seconds)) / kRounds;
  Measurement naive, single, bulk;
  for (int round = -1; round < kRounds; ++round) {
    // The first round only warms up.
    const absl::Duration duration = round < 0 ? absl::Milliseconds(500) : turn;
    Measurement naive_turn = Naive(connection->get(), duration);
    Measurement single_turn = ThroughExecutive(clients, 1, duration);
    Measurement bulk_turn = ThroughExecutive(bulk_clients, kBulkMutations, duration);
    if (round < 0) continue;
    naive.Add(std::move(naive_turn));
    single.Add(std::move(single_turn));
    bulk.Add(std::move(bulk_turn));
  }
  Print("write.mutations_per_s", single.PerSecond(), "1/s");
  Print("write.p50_ms", single.PercentileMs(0.5), "ms");
  Print("write.p99_ms", single.PercentileMs(0.99), "ms");
  Print("write.naive.mutations_per_s", naive.PerSecond(), "1/s");
  Print("write.bulk.mutations_per_s", bulk.PerSecond(), "1/s");
}

}  // namespace
}  // namespace ctlstore::executive

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  ctlstore::InitLogging(argv[0]);
  ctlstore::executive::Run();
  return 0;
}
