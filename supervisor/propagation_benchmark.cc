// How long a change takes to a local database while a snapshot of it is taken, beside idle, and
// what memory the supervisor takes. Prints `figure<TAB>value<TAB>unit`.
//
// MariaDB, an executive in this process, and a supervisor as a process of its own: the program that
// lies beside this one. Its local database has a gigabyte of rows. It is looked at all the while by
// this process, with the reader that applications use.

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <iostream>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/base/lock_order.h"
#include "common/base/logging.h"
#include "common/ctldb/connection.h"
#include "common/ctldb/ledger_transaction.h"
#include "common/ldb/reader.h"
#include "common/rpc/client.h"
#include "common/rpc/status_conversion.h"
#include "common/schema/table_schema.h"
#include "common/sql/ledger_statements.h"
#include "ctlstore/v1/supervisor.grpc.pb.h"
#include "reflector/propagation_testbed.h"

ABSL_FLAG(int, samples, 300, "How many writes are measured, idle and during snapshots each.");
ABSL_FLAG(int, megabytes, 1000, "The size of the local database, about.");

namespace ctlstore::supervisor {
namespace {

using reflector::Check;
using reflector::MeasurePropagation;
using reflector::PercentileMs;
using reflector::Print;
using reflector::ServiceProcess;
using reflector::System;

constexpr absl::Duration kMostPause = absl::Milliseconds(50);
constexpr absl::Duration kPatience = absl::Seconds(300);
// The last checkpoint and the like are over then.
constexpr absl::Duration kSettling = absl::Seconds(8);

v1::SnapshotInfo TakeSnapshot(const ServiceProcess& supervisor, v1::Supervisor::Stub* stub) {
  grpc::ClientContext context;
  rpc::SetDeadline(absl::Now() + kPatience, &context);
  context.set_wait_for_ready(true);
  v1::TakeSnapshotResponse response;
  const absl::Status status =
      rpc::FromGrpcStatus(stub->TakeSnapshot(&context, v1::TakeSnapshotRequest(), &response));
  if (!status.ok()) std::cerr << supervisor.Log();
  Check(status, "cannot take a snapshot");
  return response.snapshot();
}

// Returns the 99th percentile in milliseconds.
double Measure(System* system, ldb::Reader* reader, const std::string& figure) {
  const std::vector<absl::Duration> times =
      MeasurePropagation(system, reader, absl::GetFlag(FLAGS_samples), kMostPause);
  Print(absl::StrCat(figure, ".p50_ms"), PercentileMs(times, 0.5), "ms");
  Print(absl::StrCat(figure, ".p99_ms"), PercentileMs(times, 0.99), "ms");
  Print(absl::StrCat(figure, ".max_ms"), PercentileMs(times, 1), "ms");
  return PercentileMs(times, 0.99);
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

void Run() {
  const reflector::TemporaryFolder folder;
  System system;
  const int64_t last = FillLedger(system.target(), absl::GetFlag(FLAGS_megabytes));
  const std::string snapshots = absl::StrCat(folder.path(), "/snapshots");
  std::filesystem::create_directory(snapshots);
  const std::string address = absl::StrCat("unix:", folder.path(), "/supervisor.sock");
  ServiceProcess supervisor(
      "supervisor", folder.path(), "supervisor",
      {absl::StrCat("--upstream=grpc://", system.address()), absl::StrCat("--listen=", address),
       absl::StrCat("--snapshot_urls=file://", snapshots), "--snapshot_interval_s=0",
       "--snapshot_keep_count=1"});
  const auto stub = v1::Supervisor::NewStub(rpc::NewChannel(address, {}));
  supervisor.WaitFor(last);
  absl::SleepFor(kSettling);
  ldb::Reader reader(supervisor.ldb_path());

  const double idle = Measure(&system, &reader, "snapshot.propagation.idle");
  // One snapshot after the other, so that one is being taken all the time.
  std::atomic<bool> enough{false};
  std::atomic<int> taken{0};
  v1::SnapshotInfo info;
  const absl::Time begin = absl::Now();
  std::thread snapshooting([&] {
    while (!enough) {
      info = TakeSnapshot(supervisor, stub.get());
      ++taken;
    }
  });
  const double busy = Measure(&system, &reader, "snapshot.propagation.busy");
  enough = true;
  snapshooting.join();
  Print("snapshot.propagation.busy_to_idle", busy / idle, "ratio");
  Print("snapshot.service.seconds", absl::ToDoubleSeconds(absl::Now() - begin) / taken, "s");
  Print("snapshot.service.file_mb", static_cast<double>(info.file_bytes()) / 1e6, "MB");
  Print("snapshot.service.object_mb", static_cast<double>(info.object_bytes()) / 1e6, "MB");
  Print("snapshot.service.peak_resident_mb", supervisor.Megabytes("VmHWM"), "MB");
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
