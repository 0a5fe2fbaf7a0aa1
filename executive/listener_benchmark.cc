// How long a change takes from an executive's answer to all who listen to the ledger, and what
// listeners cost the ctldb. Prints `figure<TAB>value<TAB>unit`.
//
// The executive, its writer and its listeners share a process and the machine with MariaDB. A
// listener is a call in flight over one of few connections, not a thread.

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/base/lock_order.h"
#include "common/base/logging.h"
#include "common/ctldb/connection.h"
#include "common/ctldb/testing/mariadb_server.h"
#include "common/rpc/client.h"
#include "common/rpc/status_conversion.h"
#include "ctlstore/v1/executive.grpc.pb.h"
#include "ctlstore/v1/ledger.grpc.pb.h"
#include "executive/executive_server.h"

ABSL_FLAG(int, seconds, 10, "How long each number of listeners is measured, in seconds.");
ABSL_FLAG(int, listeners, 500, "How many listen, where many do.");

namespace ctlstore::executive {
namespace {

constexpr int kChannels = 10;
constexpr absl::Duration kBetweenMutates = absl::Milliseconds(50);
constexpr absl::Duration kLatest = absl::Seconds(30);
constexpr char kWriter[] = "benchmark";
constexpr char kSecret[] = "benchmark secret";

// A benchmark without its figures is worth nothing: every error ends it.
void Check(const absl::Status& status, const char* what) {
  if (status.ok()) return;
  std::cerr << what << ": " << status << "\n";
  std::exit(1);
}

void SetUp(grpc::ClientContext* context) {
  rpc::SetDeadline(absl::Now() + absl::Seconds(30), context);
  rpc::AddWriterCredentials(kWriter, kSecret, context);
  context->set_wait_for_ready(true);
}

// Notes when each entry of the ledger arrives. Lives until its stream has ended.
class Listener : public grpc::ClientReadReactor<v1::TailResponse> {
 public:
  Listener(v1::Ledger::Stub* stub, int64_t after) {
    request_.set_after_sequence(after);
    request_.set_instance("benchmark");
    context_.set_wait_for_ready(true);
    stub->async()->Tail(&context_, &request_, this);
    StartRead(&response_);
    StartCall();
  }

  void OnReadDone(bool ok) override {
    if (!ok) return;
    const absl::Time now = absl::Now();
    {
      absl::MutexLock lock(&mutex_);
      heard_ = true;
      for (const v1::TailEntry& entry : response_.entries()) {
        arrivals_.push_back({entry.sequence(), now});
      }
    }
    StartRead(&response_);
  }
  void OnDone(const grpc::Status& status) override {
    if (!stopping_) Check(rpc::FromGrpcStatus(status), "Tail");
    done_.Notify();
  }

  bool heard() const {
    absl::MutexLock lock(&mutex_);
    return heard_;
  }
  bool HasAll(int64_t last) const {
    absl::MutexLock lock(&mutex_);
    return !arrivals_.empty() && arrivals_.back().first >= last;
  }
  std::vector<std::pair<int64_t, absl::Time>> arrivals() const {
    absl::MutexLock lock(&mutex_);
    return arrivals_;
  }
  void Stop() {
    stopping_ = true;
    context_.TryCancel();
  }
  void WaitUntilDone() { done_.WaitForNotification(); }

 private:
  grpc::ClientContext context_;
  v1::TailRequest request_;
  v1::TailResponse response_;
  std::atomic<bool> stopping_{false};
  absl::Notification done_;
  mutable absl::Mutex mutex_;
  bool heard_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::pair<int64_t, absl::Time>> arrivals_ ABSL_GUARDED_BY(mutex_);
};

class Bench {
 public:
  Bench(const std::string& address, ctldb::Connection* connection) : connection_(connection) {
    rpc::ChannelOptions options;
    options.own_connection = true;
    executive_ = v1::Executive::NewStub(rpc::NewChannel(address, options));
    for (int i = 0; i < kChannels; ++i) {
      ledgers_.push_back(v1::Ledger::NewStub(rpc::NewChannel(address, options)));
    }
    v1::CreateFamilyRequest family;
    family.set_family("bench");
    Call(&v1::Executive::Stub::CreateFamily, family);
    v1::CreateTableRequest table;
    table.mutable_table()->set_family("bench");
    table.mutable_table()->set_name("rows");
    for (const char* name : {"id", "number"}) {
      v1::Field* field = table.mutable_table()->add_fields();
      field->set_name(name);
      field->set_type(v1::INTEGER);
    }
    table.mutable_table()->add_key_fields("id");
    Call(&v1::Executive::Stub::CreateTable, table);
    v1::RegisterWriterRequest writer;
    writer.set_writer(kWriter);
    writer.set_secret(kSecret);
    Call(&v1::Executive::Stub::RegisterWriter, writer);
    last_ = Mutate();
  }

  struct Figures {
    std::vector<absl::Duration> delays;
    double queries_per_s = 0;
  };

  Figures Measure(int count, absl::Duration duration) {
    std::vector<std::unique_ptr<Listener>> listeners;
    for (int i = 0; i < count; ++i) {
      listeners.push_back(std::make_unique<Listener>(ledgers_[i % ledgers_.size()].get(), last_));
    }
    WaitFor([&](const Listener& listener) { return listener.heard(); }, listeners);

    // When each sequence was answered; there are none between.
    std::vector<std::pair<int64_t, absl::Time>> answers;
    const int64_t queries = Queries();
    const absl::Time start = absl::Now();
    while (absl::Now() - start < duration) {
      const absl::Time next = absl::Now() + kBetweenMutates;
      last_ = Mutate();
      answers.push_back({last_, absl::Now()});
      absl::SleepFor(next - absl::Now());
    }
    Figures figures;
    figures.queries_per_s =
        static_cast<double>(Queries() - queries) / absl::ToDoubleSeconds(absl::Now() - start);
    WaitFor([&](const Listener& listener) { return listener.HasAll(last_); }, listeners);
    for (const std::unique_ptr<Listener>& listener : listeners) listener->Stop();
    for (const std::unique_ptr<Listener>& listener : listeners) {
      listener->WaitUntilDone();
      const auto arrivals = listener->arrivals();
      if (arrivals.size() != answers.size()) {
        Check(absl::InternalError(absl::StrCat("a listener has ", arrivals.size(), " of ",
                                               answers.size(), " entries")),
              "Tail");
      }
      for (size_t i = 0; i < answers.size(); ++i) {
        // It may arrive before the answer.
        figures.delays.push_back(
            std::max(absl::ZeroDuration(), arrivals[i].second - answers[i].second));
      }
    }
    return figures;
  }

 private:
  template <typename Condition>
  static void WaitFor(Condition condition,
                      const std::vector<std::unique_ptr<Listener>>& listeners) {
    const absl::Time deadline = absl::Now() + kLatest;
    for (const std::unique_ptr<Listener>& listener : listeners) {
      while (!condition(*listener)) {
        if (absl::Now() > deadline) Check(absl::DeadlineExceededError("too late"), "a listener");
        absl::SleepFor(absl::Milliseconds(1));
      }
    }
  }

  template <typename Request, typename Response>
  Response Call(grpc::Status (v1::Executive::Stub::*method)(grpc::ClientContext*, const Request&,
                                                            Response*),
                const Request& request) {
    grpc::ClientContext context;
    SetUp(&context);
    Response response;
    Check(rpc::FromGrpcStatus((executive_.get()->*method)(&context, request, &response)), "call");
    return response;
  }

  int64_t Mutate() {
    v1::MutateRequest request;
    request.set_family("bench");
    v1::Mutation* mutation = request.add_mutations();
    mutation->set_table("rows");
    (*mutation->mutable_values())["id"].set_integer(++number_ % 1000);
    (*mutation->mutable_values())["number"].set_integer(number_);
    return Call(&v1::Executive::Stub::Mutate, request).sequence();
  }

  int64_t Queries() {
    int64_t queries = 0;
    Check(connection_->Query("SHOW GLOBAL STATUS LIKE 'Questions'", {},
                             [&queries](absl::Span<const ValueView> row) {
                               if (!absl::SimpleAtoi(row[1].data(), &queries)) {
                                 return absl::InternalError("Questions is no number");
                               }
                               return absl::OkStatus();
                             }),
          "Questions");
    return queries;
  }

  ctldb::Connection* const connection_;
  std::unique_ptr<v1::Executive::Stub> executive_;
  std::vector<std::unique_ptr<v1::Ledger::Stub>> ledgers_;
  int64_t number_ = 0;
  int64_t last_ = 0;
};

double PercentileMs(std::vector<absl::Duration>* durations, double fraction) {
  const size_t position = static_cast<size_t>(fraction * (durations->size() - 1));
  std::nth_element(durations->begin(), durations->begin() + position, durations->end());
  return absl::ToDoubleMilliseconds((*durations)[position]);
}

void Print(const std::string& figure, double value, const char* unit) {
  std::printf("%s\t%.2f\t%s\n", figure.c_str(), value, unit);
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
  absl::StatusOr<std::unique_ptr<ctldb::Connection>> connection =
      ctldb::Connection::Open(options.ctldb, options.connection);
  Check(connection.status(), "connection");

  Bench bench((*server)->addresses()[0], connection->get());
  const absl::Duration duration = absl::Seconds(absl::GetFlag(FLAGS_seconds));
  const int many = absl::GetFlag(FLAGS_listeners);
  // Only warms up.
  bench.Measure(many, absl::Seconds(1));
  const Bench::Figures one = bench.Measure(1, duration);
  Bench::Figures all = bench.Measure(many, duration);
  Print(absl::StrCat("propagation.listeners.", many, ".p50_ms"), PercentileMs(&all.delays, 0.5),
        "ms");
  Print(absl::StrCat("propagation.listeners.", many, ".p99_ms"), PercentileMs(&all.delays, 0.99),
        "ms");
  Print("propagation.ctldb_queries_per_s.listeners.1", one.queries_per_s, "1/s");
  Print(absl::StrCat("propagation.ctldb_queries_per_s.listeners.", many), all.queries_per_s, "1/s");
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
