// How fast a snapshot is taken and brought back: `//common/snapshot:snapshot_benchmark`.
//
// Makes a local database of about 1 GB, copies, compresses and publishes it to a folder, and
// fetches it from there; beside that, the program zstd compresses the same file and decompresses
// the same object, with the same cores. All take turns, and the medians are printed, one figure a
// line: name, value and unit, separated by tabs. Rates are in bytes of the local database.

#include <fcntl.h>
#include <glog/logging.h>
#include <malloc.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/ldb/ldb_writer.h"
#include "common/object_store/open_store.h"
#include "common/schema/table_schema.h"
#include "common/snapshot/fetcher.h"
#include "common/snapshot/folder.h"
#include "common/snapshot/ldb_copy.h"
#include "common/snapshot/location.h"
#include "common/snapshot/object_encoder.h"
#include "common/sql/dml.h"
#include "common/sql/ledger_statements.h"
#include "common/sqlite/database.h"

namespace ctlstore::snapshot {
namespace {

constexpr int kRounds = 3;
// In each round. The first ones pay for memory that the machine had given away.
constexpr int kFetches = 3;
constexpr int kCustomers = 1900000;
constexpr int kRoutes = 1500000;

void Check(const absl::Status& status) {
  if (status.ok()) return;
  std::cerr << "snapshot_benchmark: " << status << "\n";
  _exit(1);
}

template <typename T>
T Must(absl::StatusOr<T> value) {
  Check(value.status());
  return *std::move(value);
}

double Seconds(const std::function<void()>& run) {
  // What was written before is no part of it.
  sync();
  const absl::Time begin = absl::Now();
  run();
  return absl::ToDoubleSeconds(absl::Now() - begin);
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// In a process of its own, so that its memory is not counted as ours.
void InChild(const std::function<void()>& run) {
  const pid_t pid = fork();
  if (pid < 0) Check(absl::InternalError("cannot fork"));
  if (pid == 0) {
    run();
    _exit(0);
  }
  int status = 0;
  if (waitpid(pid, &status, 0) != pid || status != 0) Check(absl::InternalError("a child failed"));
}

void Run(const std::vector<std::string>& command) {
  InChild([&command] {
    std::vector<char*> arguments;
    for (const std::string& argument : command) {
      arguments.push_back(const_cast<char*>(argument.c_str()));
    }
    arguments.push_back(nullptr);
    execvp(arguments[0], arguments.data());
    Check(absl::InternalError(absl::StrCat("cannot run ", command[0])));
  });
}

void SyncFile(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0 || fsync(fd) != 0) Check(absl::InternalError(absl::StrCat("cannot sync ", path)));
  close(fd);
}

// The most memory that this process has had since ResetPeakMemory(), in MB.
double PeakMemory() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    absl::string_view text = line;
    int64_t kilobytes = 0;
    if (absl::ConsumePrefix(&text, "VmHWM:") && absl::ConsumeSuffix(&text, "kB") &&
        absl::SimpleAtoi(text, &kilobytes)) {
      return static_cast<double>(kilobytes) * 1024 / 1e6;
    }
  }
  return 0;
}

void ResetPeakMemory() {
  malloc_trim(0);
  std::ofstream("/proc/self/clear_refs") << "5";
}

// Customers with settings as JSON, and routes with a key of two fields: what control data is like.
// Their keys come in no order.
class LdbMaker {
 public:
  void Make(const std::string& path) {
    const TableSchema customers = Must(TableSchema::Create("settings", "customers",
                                                           {{"id", FieldType::kString},
                                                            {"name", FieldType::kString},
                                                            {"plan", FieldType::kString},
                                                            {"limits", FieldType::kText},
                                                            {"updated", FieldType::kInteger}},
                                                           {"id"}));
    const TableSchema routes = Must(TableSchema::Create("routing", "routes",
                                                        {{"host", FieldType::kString},
                                                         {"path", FieldType::kString},
                                                         {"backend", FieldType::kString},
                                                         {"weight", FieldType::kInteger},
                                                         {"tag", FieldType::kString}},
                                                        {"host", "path"}));
    // The reflector's writer decides on how the tables are kept, and writes the position.
    Apply(path, {sql::CreateTableStatement(customers), sql::CreateTableStatement(routes)});
    {
      auto database =
          Must(sqlite::Database::Open(path, sqlite::Database::Mode::kReadWrite, absl::Seconds(1)));
      Check(database->Execute("PRAGMA synchronous=OFF; PRAGMA cache_size=-400000; BEGIN"));
      auto upsert = Must(database->Prepare(sql::UpsertSql(customers)));
      for (int i = 0; i < kCustomers; ++i) Write(upsert.get(), Customer(i));
      upsert = Must(database->Prepare(sql::UpsertSql(routes)));
      for (int i = 0; i < kRoutes; ++i) Write(upsert.get(), Route());
      upsert.reset();
      Check(database->Execute("COMMIT"));
    }
    Apply(path, {sql::UpsertStatement(routes, {"example.com", "/", "backend", 1, "tag"})});
  }

 private:
  void Apply(const std::string& path, const std::vector<std::string>& statements) {
    auto writer = Must(ldb::LdbWriter::Open(path, ldb::LdbWriter::Options()));
    for (const std::string& statement : statements) {
      Check(writer->Apply({{++sequence_, "2024-01-02 03:04:05", statement}}));
    }
    Check(writer->Checkpoint());
  }

  static void Write(sqlite::Statement* statement, const std::vector<Value>& row) {
    for (size_t i = 0; i < row.size(); ++i) {
      Check(statement->Bind(static_cast<int>(i + 1), row[i]));
    }
    Check(statement->Run());
  }

  uint64_t Random(uint64_t below) { return random_() % below; }

  std::string Hex(int words) {
    std::string hex;
    for (int i = 0; i < words; ++i) absl::StrAppend(&hex, absl::Hex(random_(), absl::kZeroPad16));
    return hex;
  }

  const char* Word() {
    static constexpr const char* kWords[] = {
        "alpha", "beta",  "gamma", "delta", "omega", "north", "south", "east",  "west",
        "blue",  "green", "amber", "cloud", "edge",  "core",  "data",  "flow",  "rapid",
        "solid", "prime", "metro", "urban", "lunar", "solar", "vital", "noble", "brave"};
    return kWords[Random(std::size(kWords))];
  }

  std::vector<Value> Customer(int number) {
    static constexpr const char* kPlans[] = {"free", "team", "business", "enterprise"};
    static constexpr const char* kRegions[] = {"us-east-1", "eu-west-1", "ap-south-1"};
    const std::string limits = absl::StrFormat(
        "{\"max_events\": %d, \"features\": [\"%s\", \"%s\", \"%s\", \"%s\"], \"region\": \"%s\", "
        "\"webhook\": \"https://hooks.%s.example.com/%s\", \"ratio\": %.6f}",
        1000 + Random(10000000), Word(), Word(), Word(), Word(),
        kRegions[Random(std::size(kRegions))], Word(), Hex(2),
        static_cast<double>(Random(1000000)) / 1e6);
    return {Value::Text(absl::StrCat(Hex(1), absl::Hex(number, absl::kZeroPad8))),
            Value::Text(absl::StrCat(Word(), " ", Word(), " ", Word(), " Ltd")),
            Value::Text(kPlans[Random(std::size(kPlans))]), Value::Text(limits),
            Value::Integer(1700000000 + static_cast<int64_t>(Random(100000000)))};
  }

  std::vector<Value> Route() {
    return {Value::Text(absl::StrCat(Word(), "-", Word(), "-", Random(1000000), ".example.com")),
            Value::Text(absl::StrCat("/api/v", 1 + Random(3), "/", Word(), "/", Word())),
            Value::Text(
                absl::StrCat("backend-", Random(3000), ".svc.cluster.local:", 8000 + Random(1000))),
            Value::Integer(static_cast<int64_t>(Random(100))), Value::Text(Hex(3))};
  }

  std::mt19937_64 random_{7};
  int64_t sequence_ = 0;
};

void Print(const std::string& name, double value, const char* unit) {
  absl::PrintF("%s\t%.3g\t%s\n", name, value, unit);
}

void PrintRate(const std::string& name, double megabytes, double seconds) {
  absl::PrintF("snapshot.%s.mb_per_s\t%.0f\tMB/s\n", name, megabytes / seconds);
}

struct Times {
  std::vector<double> copy, encode, publish, all;
  std::vector<double> zstd_all_cores, zstd_one_thread;
  std::vector<double> fetch, unzstd;
};

void Measure(const std::string& folder) {
  const std::string ldb_path = absl::StrCat(folder, "/ldb.db");
  const std::string copy_path = absl::StrCat(folder, "/copy.db");
  const std::string object_path = absl::StrCat(folder, "/object");
  const std::string zstd_path = absl::StrCat(folder, "/tool.zst");
  const std::string unzstd_path = absl::StrCat(folder, "/tool.db");
  const std::string fetch_path = absl::StrCat(folder, "/fetch");
  InChild([&] { LdbMaker().Make(ldb_path); });
  const double megabytes = static_cast<double>(std::filesystem::file_size(ldb_path)) / 1e6;

  const Location location = Must(ParseLocation(absl::StrCat("file://", folder, "/snapshots")));
  const std::unique_ptr<object_store::ObjectStore> store =
      Must(object_store::OpenStore(location.store, object_store::StoreOptions()));
  Folder snapshots(store.get());

  Times times;
  double snapshot_memory = 0, fetch_memory = 0;
  for (int round = 0; round < kRounds; ++round) {
    times.zstd_all_cores.push_back(Seconds([&] {
      Run({"zstd", "-q", "-f", "-3", "-T0", ldb_path, "-o", zstd_path});
    }));
    times.zstd_one_thread.push_back(Seconds([&] {
      Run({"zstd", "-q", "-f", "-3", "-T1", ldb_path, "-o", zstd_path});
    }));
    std::filesystem::remove(zstd_path);

    ResetPeakMemory();
    Manifest manifest;
    times.copy.push_back(Seconds([&] {
      LdbCopy copy = Must(CopyLdb(ldb_path, copy_path, nullptr));
      manifest.id = NewSnapshotId(copy.position.sequence, copy.taken_at);
      manifest.position = copy.position;
      manifest.taken_at = copy.taken_at;
      manifest.last_update = copy.last_update;
      manifest.tables = std::move(copy.tables);
    }));
    // The copy need not get to the disk.
    const absl::Time encode_begin = absl::Now();
    EncodedObject object = Must(EncodeObject(copy_path, object_path, EncodeOptions(), nullptr));
    times.encode.push_back(absl::ToDoubleSeconds(absl::Now() - encode_begin));
    std::filesystem::remove(copy_path);
    const absl::Time publish_begin = absl::Now();
    manifest.object = absl::StrCat(manifest.id, ".db.zst");
    manifest.object_bytes = object.object_bytes;
    manifest.object_sha256 = object.object_sha256;
    manifest.file_bytes = object.file_bytes;
    manifest.chunks = std::move(object.chunks);
    Check(snapshots.Publish(manifest, object_path));
    times.publish.push_back(absl::ToDoubleSeconds(absl::Now() - publish_begin));
    times.all.push_back(times.copy.back() + times.encode.back() + times.publish.back());
    snapshot_memory = std::max(snapshot_memory, PeakMemory());

    // Both read the same object, which is in memory for both.
    const std::string published_path = absl::StrCat(location.store.path, "/", manifest.object);
    Run({"cp", published_path, "/dev/null"});
    for (int pair = 0; pair < kFetches; ++pair) {
      times.unzstd.push_back(Seconds([&] {
        Run({"zstd", "-q", "-d", "-f", published_path, "-o", unzstd_path});
        SyncFile(unzstd_path);
      }));
      std::filesystem::remove(unzstd_path);
      ResetPeakMemory();
      times.fetch.push_back(
          Seconds([&] { Must(FetchNewest({location}, fetch_path, FetchOptions())); }));
      fetch_memory = std::max(fetch_memory, PeakMemory());
      std::filesystem::remove_all(fetch_path);
    }

    if (round == 0) {
      Print("snapshot.ldb", megabytes, "MB");
      Print("snapshot.copy", static_cast<double>(manifest.file_bytes) / 1e6, "MB");
      Print("snapshot.object", static_cast<double>(manifest.object_bytes) / 1e6, "MB");
      Print("snapshot.cores", std::thread::hardware_concurrency(), "");
    }
    std::filesystem::remove(object_path);
  }
  Print("snapshot.copy.s", Median(times.copy), "s");
  Print("snapshot.encode.s", Median(times.encode), "s");
  Print("snapshot.publish.s", Median(times.publish), "s");
  PrintRate("take", megabytes, Median(times.all));
  PrintRate("zstd_all_cores", megabytes, Median(times.zstd_all_cores));
  PrintRate("zstd_one_thread", megabytes, Median(times.zstd_one_thread));
  Print("snapshot.take.ratio", Median(times.zstd_all_cores) / Median(times.all),
        "of zstd with all cores");
  Print("snapshot.take.memory", snapshot_memory, "MB");
  PrintRate("fetch", megabytes, Median(times.fetch));
  PrintRate("unzstd", megabytes, Median(times.unzstd));
  Print("snapshot.fetch.ratio", Median(times.fetch) / Median(times.unzstd),
        "of the time of zstd -d");
  Print("snapshot.fetch.memory", fetch_memory, "MB");
}

}  // namespace
}  // namespace ctlstore::snapshot

int main() {
  FLAGS_minloglevel = google::GLOG_WARNING;
  std::string folder = (std::filesystem::temp_directory_path() / "snapshot_benchmark.XXXXXX");
  if (mkdtemp(folder.data()) == nullptr) {
    std::cerr << "snapshot_benchmark: cannot make a folder " << folder << "\n";
    return 1;
  }
  ctlstore::snapshot::Measure(folder);
  std::filesystem::remove_all(folder);
  return 0;
}
