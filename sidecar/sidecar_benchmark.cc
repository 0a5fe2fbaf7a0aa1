// Measures the sidecar's gRPC API with h2load, beside an empty method of the same server in the
// same run. Client and server share the machine. Prints `figure<TAB>value<TAB>unit`.

#include <fcntl.h>
#include <google/protobuf/empty.pb.h>
#include <grpcpp/impl/codegen/proto_utils.h>
#include <grpcpp/impl/codegen/server_callback_handlers.h>
#include <grpcpp/impl/service_type.h>
#include <grpcpp/support/server_callback.h>
#include <prometheus/registry.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/base/lock_order.h"
#include "common/ldb/ldb_writer.h"
#include "common/ldb/reader.h"
#include "common/rpc/call_metrics.h"
#include "common/rpc/server.h"
#include "common/schema/table_schema.h"
#include "common/sql/ledger_statements.h"
#include "ctlstore/v1/sidecar.pb.h"
#include "sidecar/sidecar_service.h"

namespace ctlstore::sidecar {
namespace {

constexpr int kRows = 100000;
constexpr int kRounds = 9;
constexpr int kUnaryCallsPerRound = 25000;
constexpr int kBatchCallsPerRound = 200;
constexpr int kBatchKeys = 1000;
constexpr int kConnections = 4;
constexpr int kStreams = 16;
constexpr int kBatchStreams = 4;
constexpr char kEchoMethod[] = "/ctlstore.benchmark.Echo/Echo";
constexpr char kServe[] = "--serve";

[[noreturn]] void Die(const std::string& error) {
  std::cerr << "sidecar_benchmark: " << error << "\n";
  // The server ends when its standard input does.
  std::exit(1);
}

void Check(const absl::Status& status) {
  if (!status.ok()) Die(status.ToString());
}

// All keys, names and amounts are of one size, and so are all answers.
std::string KeyOf(int row) { return absl::StrFormat("key-%08d", row); }
std::string NameOf(int row) { return absl::StrFormat("the name of item %08d", row); }
int64_t AmountOf(int row) { return 1000000 + row; }

// What serving costs where there is nothing to do.
class EchoService : public grpc::Service {
 public:
  EchoService() {
    AddMethod(new grpc::internal::RpcServiceMethod(kEchoMethod,
                                                   grpc::internal::RpcMethod::NORMAL_RPC, nullptr));
    MarkMethodCallback(
        0,
        new grpc::internal::CallbackUnaryHandler<google::protobuf::Empty, google::protobuf::Empty>(
            [](grpc::CallbackServerContext* context, const google::protobuf::Empty*,
               google::protobuf::Empty*) {
              grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
              reactor->Finish(grpc::Status::OK);
              return reactor;
            }));
  }
};

// The child process: serves until its standard input ends. Its only line says where. What is
// measured is how it goes on for long, so all rows have been read before.
void Serve(const std::string& path) {
  StopWatchingLockOrder();
  prometheus::Registry registry;
  rpc::CallMetrics calls("grpc", &registry);
  ldb::Reader reader(path);
  for (int row = 0; row < kRows; ++row) {
    Check(reader.GetRow("bench", "items", {KeyOf(row)}).status());
  }
  SidecarService service(&reader, Clock::Real(), {}, &calls);
  EchoService echo;
  rpc::ServerOptions options;
  options.listen = {"127.0.0.1:0"};
  const absl::StatusOr<std::unique_ptr<rpc::Server>> server =
      rpc::Server::Start(options, {service.grpc_service(), &echo});
  Check(server.status());
  std::cout << (*server)->addresses()[0] << std::endl;
  std::string nothing;
  std::getline(std::cin, nothing);
  (*server)->Shutdown(absl::ZeroDuration());
}

class ServerProcess {
 public:
  explicit ServerProcess(const std::string& path) {
    int input[2];
    int output[2];
    if (pipe2(input, O_CLOEXEC) != 0 || pipe2(output, O_CLOEXEC) != 0) Die("cannot make a pipe");
    pid_ = fork();
    if (pid_ < 0) Die("cannot fork");
    if (pid_ == 0) {
      dup2(input[0], STDIN_FILENO);
      dup2(output[1], STDOUT_FILENO);
      execl("/proc/self/exe", "sidecar_benchmark", kServe, path.c_str(), nullptr);
      _exit(1);
    }
    close(input[0]);
    close(output[1]);
    input_ = input[1];
    char c = 0;
    while (read(output[0], &c, 1) == 1 && c != '\n') address_ += c;
    close(output[0]);
    if (address_.empty()) Die("the server did not start");
  }
  ~ServerProcess() {
    close(input_);
    waitpid(pid_, nullptr, 0);
  }
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;

  const std::string& address() const { return address_; }

  // The most memory that it has had at a time.
  int64_t MemoryBytes() const { return ProcStatus("VmHWM") * 1024; }
  int64_t Threads() const { return ProcStatus("Threads"); }

 private:
  int64_t ProcStatus(absl::string_view name) const {
    std::ifstream status(absl::StrCat("/proc/", pid_, "/status"));
    std::string line;
    while (std::getline(status, line)) {
      const std::vector<std::string> parts =
          absl::StrSplit(line, absl::ByAnyChar(": \t"), absl::SkipEmpty());
      int64_t value = 0;
      if (parts.size() >= 2 && parts[0] == name && absl::SimpleAtoi(parts[1], &value)) return value;
    }
    Die(absl::StrCat("the server's process tells no ", name));
  }

  pid_t pid_ = -1;
  int input_ = -1;
  std::string address_;
};

// A request as h2load sends it.
std::string Frame(const std::string& message) {
  const uint32_t size = static_cast<uint32_t>(message.size());
  std::string frame(1, '\0');
  for (int shift = 24; shift >= 0; shift -= 8) frame += static_cast<char>(size >> shift);
  return frame + message;
}

v1::Row RowOf(int row) {
  v1::Row proto;
  auto& values = *proto.mutable_values();
  values["code"].set_text(KeyOf(row));
  values["name"].set_text(NameOf(row));
  values["amount"].set_integer(AmountOf(row));
  return proto;
}

std::string RandomDigits(std::mt19937* random) {
  return absl::StrFormat("%05d", (*random)() % kRows);
}

// A file of requests whose keys change all the time. h2load reads the file anew for each request,
// so the keys that it sends are random, as far as requests are not sent together.
class RandomKeys {
 public:
  RandomKeys(const std::string& path, std::string content) {
    // Of each key, the digits that differ.
    const std::string zero = KeyOf(0);
    std::mt19937 random(2);
    for (size_t at = content.find(zero); at != std::string::npos; at = content.find(zero, at + 1)) {
      places_.push_back(at + zero.size() - 5);
    }
    for (size_t place : places_) content.replace(place, 5, RandomDigits(&random));
    std::ofstream(path, std::ios::binary) << content;
    const int file = open(path.c_str(), O_RDWR | O_CLOEXEC);
    if (file < 0) Die("cannot open " + path);
    size_ = content.size();
    void* mapped = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (mapped == MAP_FAILED) Die("cannot map " + path);
    data_ = static_cast<char*>(mapped);
    thread_ = std::thread([this] {
      std::mt19937 random(3);
      size_t place = 0;
      while (!stop_.load(std::memory_order_relaxed)) {
        // Whoever reads meanwhile sees five digits in any case, and so a key that is there.
        const std::string digits = RandomDigits(&random);
        std::memcpy(data_ + places_[place], digits.data(), digits.size());
        place = (place + 1) % places_.size();
        absl::SleepFor(absl::Microseconds(20));
      }
    });
  }
  ~RandomKeys() {
    stop_ = true;
    thread_.join();
    munmap(data_, size_);
  }
  RandomKeys(const RandomKeys&) = delete;
  RandomKeys& operator=(const RandomKeys&) = delete;

 private:
  size_t size_ = 0;
  char* data_ = nullptr;
  std::vector<size_t> places_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

struct Load {
  std::string method;
  std::string file;
  int calls = 0;
  int streams = kStreams;
  // Of each answer, without its frame.
  int64_t response_bytes = 0;
};

// Calls a second.
double RunLoad(const ServerProcess& server, const Load& load) {
  const std::string command =
      absl::StrCat("h2load -n", load.calls, " -c", kConnections, " -m", load.streams, " -d '",
                   load.file, "' -H 'content-type: application/grpc' -H 'te: trailers' 'http://",
                   server.address(), load.method, "' 2>&1");
  FILE* const pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) Die("cannot start h2load");
  std::string output;
  char buffer[4096];
  size_t size = 0;
  while ((size = fread(buffer, 1, sizeof(buffer), pipe)) > 0) output.append(buffer, size);
  pclose(pipe);

  // finished in 901.23ms, 41234.50 req/s, 8.67MB/s
  // requests: 30000 total, 30000 started, 30000 done, 30000 succeeded, 0 failed, ...
  // traffic: 6.10MB (6390312) total, 1.2MB (1200312) headers (space savings 95.2%), ... (N) data
  double rate = 0;
  int succeeded = 0;
  int64_t data_bytes = -1;
  for (absl::string_view line : absl::StrSplit(output, '\n')) {
    const std::vector<std::string> words =
        absl::StrSplit(line, absl::ByAnyChar(" ,()"), absl::SkipEmpty());
    for (size_t i = 1; i < words.size(); ++i) {
      if (words[i] == "req/s" && words[0] == "finished") {
        static_cast<void>(absl::SimpleAtod(words[i - 1], &rate));
      }
      if (words[i] == "succeeded") static_cast<void>(absl::SimpleAtoi(words[i - 1], &succeeded));
      if (words[i] == "data" && words[0] == "traffic:") {
        static_cast<void>(absl::SimpleAtoi(words[i - 1], &data_bytes));
      }
    }
  }
  // An error is a success to h2load, but has no data.
  const int64_t expected = load.calls * (load.response_bytes + 5);
  if (rate == 0 || succeeded != load.calls || data_bytes != expected) {
    Die(absl::StrCat(load.method, ": not every call was answered as it should be (", data_bytes,
                     " bytes of data instead of ", expected, "):\n", command, "\n", output));
  }
  return rate;
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

std::unique_ptr<ldb::LdbWriter> MakeRows(const std::string& path) {
  const TableSchema schema = *TableSchema::Create(
      "bench", "items",
      {{"code", FieldType::kString}, {"name", FieldType::kString}, {"amount", FieldType::kInteger}},
      {"code"});
  std::vector<LedgerEntry> ledger;
  const auto add = [&ledger](std::string statement) {
    ledger.push_back(
        {static_cast<int64_t>(ledger.size()) + 1, "2024-01-01 00:00:00", std::move(statement)});
  };
  add(sql::CreateTableStatement(schema));
  // In random order, as data that grew over time has it.
  std::vector<int> order(kRows);
  for (int i = 0; i < kRows; ++i) order[i] = i;
  std::shuffle(order.begin(), order.end(), std::mt19937(1));
  for (int i : order) add(sql::UpsertStatement(schema, {KeyOf(i), NameOf(i), AmountOf(i)}));
  absl::StatusOr<std::unique_ptr<ldb::LdbWriter>> writer = ldb::LdbWriter::Open(path, {});
  Check(writer.status());
  Check((*writer)->Apply(ledger));
  Check((*writer)->Checkpoint());
  return *std::move(writer);
}

void Measure(const std::string& folder) {
  const std::string path = folder + "/ldb.db";
  // Stays open, as a reflector's does.
  const std::unique_ptr<ldb::LdbWriter> writer = MakeRows(path);
  const ServerProcess server(path);

  Load echo;
  echo.method = kEchoMethod;
  echo.file = folder + "/echo";
  echo.calls = kUnaryCallsPerRound;
  std::ofstream(echo.file, std::ios::binary) << Frame("");

  Load unary;
  unary.method = "/ctlstore.v1.Sidecar/GetRow";
  unary.file = folder + "/unary";
  unary.calls = kUnaryCallsPerRound;
  v1::GetRowResponse unary_response;
  *unary_response.mutable_row() = RowOf(0);
  unary.response_bytes = static_cast<int64_t>(unary_response.ByteSizeLong());

  v1::BatchGetRowsRequest batch_request;
  v1::BatchGetRowsResponse batch_response;
  for (int i = 0; i < kBatchKeys; ++i) {
    v1::BatchGetRowsRequest::Key* key = batch_request.add_keys();
    key->set_family("bench");
    key->set_table("items");
    key->add_key()->set_text(KeyOf(0));
    *batch_response.add_rows() = unary_response;
  }
  batch_response.set_sequence(writer->applied_sequence());
  Load batch;
  batch.method = "/ctlstore.v1.Sidecar/BatchGetRows";
  batch.file = folder + "/batch";
  batch.calls = kBatchCallsPerRound;
  batch.streams = kBatchStreams;
  batch.response_bytes = static_cast<int64_t>(batch_response.ByteSizeLong());

  std::vector<double> echo_rates, unary_rates, ratios, batch_rates;
  {
    // Changes keys during the others' rounds too, so that it slows down all alike.
    v1::GetRowRequest request;
    request.set_family("bench");
    request.set_table("items");
    request.add_key()->set_text(KeyOf(0));
    const RandomKeys keys(unary.file, Frame(request.SerializeAsString()));
    for (int round = -2; round < kRounds; ++round) {
      double echo_rate = 0;
      double unary_rate = 0;
      // Each is first in every other round.
      for (int turn = 0; turn < 2; ++turn) {
        if ((turn + round) % 2 == 0) {
          echo_rate = RunLoad(server, echo);
        } else {
          unary_rate = RunLoad(server, unary);
        }
      }
      // The first rounds are for warming up.
      if (round < 0) continue;
      echo_rates.push_back(echo_rate);
      unary_rates.push_back(unary_rate);
      ratios.push_back(unary_rate / echo_rate);
    }
  }
  {
    const RandomKeys keys(batch.file, Frame(batch_request.SerializeAsString()));
    for (int round = -1; round < kRounds; ++round) {
      const double rate = RunLoad(server, batch);
      if (round >= 0) batch_rates.push_back(rate * kBatchKeys);
    }
  }
  std::printf("sidecar.unary_rps\t%.0f\tcalls/s\n", Median(unary_rates));
  std::printf("sidecar.echo_rps\t%.0f\tcalls/s\n", Median(echo_rates));
  std::printf("sidecar.unary_per_echo\t%.3f\tratio\n", Median(ratios));
  std::printf("sidecar.batch_rows_per_s\t%.0f\trows/s\n", Median(batch_rates));
  std::printf("sidecar.threads\t%.0f\tthreads\n", static_cast<double>(server.Threads()));
  std::printf("sidecar.memory_bytes\t%.0f\tbytes\n", static_cast<double>(server.MemoryBytes()));
}

}  // namespace
}  // namespace ctlstore::sidecar

int main(int argc, char** argv) {
  if (argc == 3 && std::strcmp(argv[1], ctlstore::sidecar::kServe) == 0) {
    ctlstore::sidecar::Serve(argv[2]);
    return 0;
  }
  std::string folder = (std::filesystem::temp_directory_path() / "ctlstore-bench-XXXXXX").string();
  if (mkdtemp(folder.data()) == nullptr) {
    std::perror("cannot create a folder");
    return 1;
  }
  ctlstore::sidecar::Measure(folder);
  std::filesystem::remove_all(folder);
  return 0;
}
