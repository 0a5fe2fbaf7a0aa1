#include "supervisor/supervisor_flags.h"

#include <glog/logging.h>

#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/base/lock_order.h"
#include "common/base/shutdown_signal.h"
#include "common/object_store/store_flags.h"
#include "common/rpc/instance_name.h"
#include "common/rpc/metrics_flags.h"
#include "common/rpc/server_flags.h"
#include "common/snapshot/snapshot_flags.h"
#include "reflector/reflector_flags.h"
#include "supervisor/supervisor_server.h"

ABSL_FLAG(int64_t, snapshot_interval_s, 300,
          "How often a snapshot is taken, in seconds, from the beginning of one to that of the "
          "next. 0: only when somebody asks for one (ctlstore snapshot now).");
ABSL_FLAG(int64_t, snapshot_keep_count, 24,
          "How many snapshots a destination keeps, at most; the newest one always stays, and so "
          "does the newest one with all families.");
ABSL_FLAG(int64_t, snapshot_keep_hours, 0,
          "For how long a destination keeps a snapshot, in hours; the newest one stays, however "
          "old. 0: for as long as --snapshot_keep_count lets it.");
ABSL_FLAG(std::string, snapshot_compression, "zstd",
          "What snapshots in folders are compressed with: zstd, gzip or none. A single object is "
          "compressed as its name says.");
ABSL_FLAG(int64_t, snapshot_compression_level, 0,
          "How hard that tries: 1 to 19 for zstd, 1 to 9 for gzip. Higher is smaller, and takes "
          "longer. 0: the library's default.");
ABSL_FLAG(int64_t, snapshot_threads, 0,
          "How many threads compress. 0: as many as the machine has cores. Each takes some 30 MB "
          "while a snapshot is compressed.");
ABSL_FLAG(std::string, snapshot_work_path, "",
          "The folder for the copy that is being compressed and for what is on its way to the "
          "destinations; has to have room for both. Empty: beside the local database, "
          "\"<ldb>.snapshots\".");

namespace ctlstore::supervisor {
namespace {

constexpr int kStartError = 1;
constexpr int kUsageError = 2;
constexpr int64_t kMaxThreads = 256;
constexpr int64_t kMaxLevelZstd = 19;
constexpr int64_t kMaxLevelGzip = 9;

absl::Status InvalidFlag(absl::string_view flag, absl::string_view message) {
  return absl::InvalidArgumentError(absl::StrCat("--", flag, ": ", message));
}

absl::Status CheckRange(absl::string_view flag, int64_t value, int64_t min, int64_t max) {
  if (value >= min && value <= max) return absl::OkStatus();
  if (max == std::numeric_limits<int32_t>::max()) {
    return InvalidFlag(flag, absl::StrCat("must be at least ", min, ", is ", value));
  }
  return InvalidFlag(flag, absl::StrCat("must be from ", min, " to ", max, ", is ", value));
}

absl::Status CheckDestinations(const std::vector<snapshot::Location>& destinations) {
  if (destinations.empty()) {
    return InvalidFlag("snapshot_urls", "names no place that snapshots are to go to");
  }
  for (size_t i = 0; i < destinations.size(); ++i) {
    const std::string url = destinations[i].ToString();
    if (destinations[i].store.kind == object_store::StoreUrl::Kind::kHttp) {
      return InvalidFlag("snapshot_urls",
                         absl::StrCat(url, ": a supervisor cannot write to a web server"));
    }
    for (size_t j = 0; j < i; ++j) {
      if (destinations[j].ToString() == url) {
        return InvalidFlag("snapshot_urls", absl::StrCat(url, " is there twice"));
      }
    }
  }
  return absl::OkStatus();
}

int FailStart(const absl::Status& status) {
  LOG(ERROR) << "event=start_failed service=supervisor error=\"" << status.ToString() << "\"";
  return kStartError;
}

int FailFlags(const absl::Status& status) {
  LOG(ERROR) << "event=bad_flags error=\"" << status.message() << "\"";
  return kUsageError;
}

}  // namespace

absl::Status ReadSupervisorFlags(Supervisor::Options* options) {
  const int64_t interval = absl::GetFlag(FLAGS_snapshot_interval_s);
  const int64_t count = absl::GetFlag(FLAGS_snapshot_keep_count);
  const int64_t hours = absl::GetFlag(FLAGS_snapshot_keep_hours);
  const int64_t level = absl::GetFlag(FLAGS_snapshot_compression_level);
  const int64_t threads = absl::GetFlag(FLAGS_snapshot_threads);
  const absl::StatusOr<snapshot::Compression> compression =
      snapshot::ParseCompression(absl::GetFlag(FLAGS_snapshot_compression));
  if (!compression.ok()) {
    return InvalidFlag("snapshot_compression", compression.status().message());
  }
  const int64_t max_level = *compression == snapshot::Compression::kZstd   ? kMaxLevelZstd
                            : *compression == snapshot::Compression::kGzip ? kMaxLevelGzip
                                                                           : 0;
  constexpr int64_t kAny = std::numeric_limits<int32_t>::max();
  for (const absl::Status& status : {CheckRange("snapshot_interval_s", interval, 0, kAny),
                                     CheckRange("snapshot_keep_count", count, 1, kAny),
                                     CheckRange("snapshot_keep_hours", hours, 0, kAny),
                                     CheckRange("snapshot_compression_level", level, 0, max_level),
                                     CheckRange("snapshot_threads", threads, 0, kMaxThreads)}) {
    if (!status.ok()) return status;
  }
  options->interval = absl::Seconds(interval);
  options->retention.count = static_cast<int>(count);
  if (hours > 0) options->retention.age = absl::Hours(hours);
  options->encode.compression = *compression;
  options->encode.level = static_cast<int>(level);
  options->encode.threads = static_cast<int>(threads);
  options->taker.work_path = absl::GetFlag(FLAGS_snapshot_work_path);
  return absl::OkStatus();
}

absl::StatusOr<SupervisorRunner::Options> SupervisorOptionsFromFlags() {
  SupervisorRunner::Options flags;
  absl::StatusOr<reflector::ReflectorRunner::Options> reflector =
      reflector::ReflectorOptionsFromFlags();
  if (!reflector.ok()) return reflector.status();
  flags.reflector = *std::move(reflector);
  if (flags.reflector.ldbs.size() != 1) {
    return InvalidFlag("ldbs", "a supervisor keeps one local database; name it with --ldb");
  }
  absl::Status status = ReadSupervisorFlags(&flags.supervisor);
  if (!status.ok()) return status;
  absl::StatusOr<std::vector<snapshot::Location>> destinations = snapshot::LocationsFromFlags();
  if (!destinations.ok()) return destinations.status();
  status = CheckDestinations(*destinations);
  if (!status.ok()) return status;
  absl::StatusOr<object_store::StoreOptions> store = object_store::StoreOptionsFromFlags();
  if (!store.ok()) return store.status();
  flags.store = *std::move(store);
  flags.reflector.snapshots = *destinations;
  flags.reflector.object_store = flags.store;
  flags.supervisor.destinations = *std::move(destinations);
  flags.supervisor.taker.ldb_path = flags.reflector.ldbs.front().path;
  flags.supervisor.taker.instance = rpc::InstanceName();
  return flags;
}

int RunSupervisor() {
  StopWatchingLockOrder();
  // Never destroyed: its thread waits for signals until the process ends.
  static ShutdownSignal* const shutdown = new ShutdownSignal;

  const absl::StatusOr<SupervisorRunner::Options> options = SupervisorOptionsFromFlags();
  if (!options.ok()) return FailFlags(options.status());
  const absl::StatusOr<rpc::ServerOptions> listen = rpc::ServerOptionsFromFlags(kDefaultListen);
  if (!listen.ok()) return FailFlags(listen.status());
  const absl::StatusOr<absl::optional<rpc::HttpServer::Options>> metrics =
      rpc::MetricsOptionsFromFlags();
  if (!metrics.ok()) return FailFlags(metrics.status());

  absl::StatusOr<std::unique_ptr<SupervisorRunner>> runner = SupervisorRunner::Start(*options);
  if (!runner.ok()) return FailStart(runner.status());
  absl::StatusOr<std::unique_ptr<SupervisorServer>> server = SupervisorServer::Start(
      *listen, (*runner)->control(), (*runner)->reflector(), (*runner)->registry());
  if (!server.ok()) return FailStart(server.status());
  LOG(INFO) << "event=supervisor_started listen=" << absl::StrJoin((*server)->addresses(), ",")
            << " ldb=" << options->supervisor.taker.ldb_path << " destinations="
            << absl::StrJoin(options->supervisor.destinations, ",",
                             [](std::string* out, const snapshot::Location& location) {
                               absl::StrAppend(out, location.ToString());
                             });
  if (metrics->has_value()) {
    const absl::StatusOr<std::string> address = (*runner)->ServeMetrics(**metrics);
    if (!address.ok()) return FailStart(address.status());
  }
  shutdown->Wait();
  // Calls that wait for a snapshot end by this.
  (*runner)->RequestStop();
  (*server)->Shutdown(rpc::ShutdownGraceFromFlags());
  (*runner)->Stop();
  LOG(INFO) << "event=supervisor_stopped";
  return 0;
}

}  // namespace ctlstore::supervisor
