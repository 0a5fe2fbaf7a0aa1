// How long after its answer a Mutate is visible in a host's local database, and what a reflector
// takes that has nothing to do. Prints `figure<TAB>value<TAB>unit`.
//
// MariaDB, an executive in this process, and reflectors as processes of their own: the program that
// lies beside this one. Between two writes the system is idle. The local database is looked at all
// the while by this process, with the reader that applications use.

#include <algorithm>
#include <cstdint>
#include <filesystem>
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
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/base/lock_order.h"
#include "common/base/logging.h"
#include "common/ctldb/connection.h"
#include "common/ctldb/ledger_transaction.h"
#include "common/ldb/reader.h"
#include "common/schema/table_schema.h"
#include "common/sql/ledger_statements.h"
#include "reflector/propagation_testbed.h"

ABSL_FLAG(int, samples, 400, "How many writes are measured with the stream.");
ABSL_FLAG(int, poll_samples, 15, "How many writes are measured with polling as it is by default.");
ABSL_FLAG(int, fast_poll_samples, 200, "How many writes are measured with polling every 10 ms.");
ABSL_FLAG(int, idle_seconds, 20, "How long idle reflectors are watched, in seconds.");
ABSL_FLAG(int, idle_megabytes, 100, "The size of an idle reflector's local database.");

namespace ctlstore::reflector {
namespace {

// An idle reflector's last checkpoint and the like are over then.
constexpr absl::Duration kSettling = absl::Seconds(8);

std::vector<std::string> Polling(const System& system) {
  return {absl::StrCat("--ctldb=", system.target().ToString()), "--listen=127.0.0.1:0"};
}

std::vector<std::string> Pushing(const System& system) {
  return {absl::StrCat("--upstream=grpc://", system.address()), "--listen=127.0.0.1:0"};
}

// The processor time that a process's threads have used so far; times of threads that have ended
// are not in it.
absl::Duration CpuTime(pid_t pid) {
  absl::Duration time;
  for (const auto& thread :
       std::filesystem::directory_iterator(absl::StrCat("/proc/", pid, "/task"))) {
    // /proc/PID/stat counts in ticks of 10 ms, which an idle process hardly ever uses up.
    std::stringstream text;
    text << std::ifstream(thread.path() / "schedstat").rdbuf();
    const std::vector<std::string> fields = absl::StrSplit(text.str(), ' ');
    int64_t nanoseconds = 0;
    if (!absl::SimpleAtoi(fields[0], &nanoseconds)) {
      Check(absl::InternalError("no time in /proc"), "the reflector has ended");
    }
    time += absl::Nanoseconds(nanoseconds);
  }
  return time;
}

// `most_pause` is no shorter than the time from one poll to the next, or each write would come
// right after the poll that has found the one before it.
void Measure(System* system, const std::string& folder, const std::string& figure,
             const std::vector<std::string>& flags, int samples, absl::Duration most_pause) {
  if (samples == 0) return;
  std::cerr << figure << ": " << samples << " writes\n";
  ServiceProcess reflector("reflector", folder, figure, flags);
  reflector.WaitFor(system->Write(0));
  ldb::Reader reader(reflector.ldb_path());
  const std::vector<absl::Duration> times =
      MeasurePropagation(system, &reader, samples, most_pause);
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
      {"reflector.idle", Pushing(*system)}, {"reflector.idle.poll", Polling(*system)}};
  std::vector<std::unique_ptr<ServiceProcess>> reflectors;
  for (const auto& [figure, flags] : ways) {
    reflectors.push_back(std::make_unique<ServiceProcess>("reflector", folder, figure, flags));
  }
  for (const auto& reflector : reflectors) reflector->WaitFor(last);
  absl::SleepFor(kSettling);
  std::vector<absl::Duration> before;
  for (const auto& reflector : reflectors) before.push_back(CpuTime(reflector->pid()));
  const absl::Time begin = absl::Now();
  absl::SleepFor(duration);
  for (size_t i = 0; i < reflectors.size(); ++i) {
    const absl::Duration used = CpuTime(reflectors[i]->pid()) - before[i];
    Print(absl::StrCat(ways[i].first, ".cpu_percent"),
          100 * absl::FDivDuration(used, absl::Now() - begin), "%");
    Print(absl::StrCat(ways[i].first, ".resident_mb"), reflectors[i]->Megabytes("VmRSS"), "MB");
  }
}

void Run() {
  const TemporaryFolder folder;
  System system;
  std::vector<std::string> fast_polling = Polling(system);
  fast_polling.push_back("--poll_interval_ms=10");
  Measure(&system, folder.path(), "propagation", Pushing(system), absl::GetFlag(FLAGS_samples),
          absl::Milliseconds(50));
  Measure(&system, folder.path(), "propagation.poll_10ms", fast_polling,
          absl::GetFlag(FLAGS_fast_poll_samples), absl::Milliseconds(50));
  Measure(&system, folder.path(), "propagation.poll", Polling(system),
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
