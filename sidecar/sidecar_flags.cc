#include "sidecar/sidecar_flags.h"

#include <glog/logging.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/base/lock_order.h"
#include "common/base/shutdown_signal.h"
#include "common/ldb/ldb_flags.h"
#include "common/ldb/reader.h"
#include "common/rpc/http_flags.h"
#include "common/rpc/metrics_flags.h"
#include "common/rpc/server_flags.h"

ABSL_FLAG(int64_t, max_list_rows, ctlstore::sidecar::SidecarServer::Options().max_list_rows,
          "The most rows that one ListRows answers with; a longer list is truncated and says so.");
ABSL_FLAG(int64_t, max_list_duration_ms, 30000,
          "How long one ListRows may take, in milliseconds; then it fails with DEADLINE_EXCEEDED. "
          "The LDB's WAL cannot be emptied and grows meanwhile.");
ABSL_FLAG(
    int64_t, max_http_list_bytes, ctlstore::sidecar::SidecarServer::Options().max_http_list_bytes,
    "The most bytes of JSON that one list has over HTTP; a larger one is refused with 416, as "
    "one of more than --max_list_rows rows is.");
ABSL_FLAG(int64_t, max_waits, ctlstore::sidecar::SidecarServer::Options().max_waits,
          "The most calls that wait for a ledger sequence at a time (min_sequence, "
          "WaitForSequence); more are refused with RESOURCE_EXHAUSTED.");
ABSL_FLAG(int64_t, max_wait_ms, 30000,
          "How long a call waits for a ledger sequence, in milliseconds, where its own deadline is "
          "not sooner; then it fails with DEADLINE_EXCEEDED.");
ABSL_FLAG(int64_t, cache_bytes, ctlstore::ldb::ReaderOptions().cache_bytes,
          "Memory for rows that were read last, which answers most reads. 0: none.");
ABSL_FLAG(int64_t, page_cache_bytes, ctlstore::ldb::ReaderOptions().page_cache_bytes,
          "Memory for pages of the LDB, of each connection to it. There are about as many "
          "connections as the machine has cores.");
ABSL_FLAG(int64_t, max_watches, ctlstore::sidecar::Watches::Options().max_watches,
          "The most Watch calls at a time; more are refused with RESOURCE_EXHAUSTED.");
ABSL_FLAG(int64_t, watch_progress_interval_ms, 10000,
          "How often a Watch call without changes is told up to where there are none, in "
          "milliseconds.");

namespace ctlstore::sidecar {
namespace {

constexpr int kStartError = 1;
constexpr int kUsageError = 2;

absl::Status CheckAtLeast(const char* flag, int64_t value, int64_t least) {
  if (value >= least) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("--", flag, ": must be at least ", least, ", is ", value));
}

}  // namespace

absl::Status ReadSidecarFlags(SidecarServer::Options* options) {
  const int64_t max_list_rows = absl::GetFlag(FLAGS_max_list_rows);
  const int64_t max_list_duration_ms = absl::GetFlag(FLAGS_max_list_duration_ms);
  const int64_t max_http_list_bytes = absl::GetFlag(FLAGS_max_http_list_bytes);
  const int64_t max_waits = absl::GetFlag(FLAGS_max_waits);
  const int64_t max_wait_ms = absl::GetFlag(FLAGS_max_wait_ms);
  const int64_t cache_bytes = absl::GetFlag(FLAGS_cache_bytes);
  const int64_t page_cache_bytes = absl::GetFlag(FLAGS_page_cache_bytes);
  const int64_t max_watches = absl::GetFlag(FLAGS_max_watches);
  const int64_t progress_interval_ms = absl::GetFlag(FLAGS_watch_progress_interval_ms);
  for (const absl::Status& status :
       {CheckAtLeast("max_list_rows", max_list_rows, 1),
        CheckAtLeast("max_list_duration_ms", max_list_duration_ms, 1),
        CheckAtLeast("max_http_list_bytes", max_http_list_bytes, 2),
        CheckAtLeast("max_waits", max_waits, 1), CheckAtLeast("max_wait_ms", max_wait_ms, 1),
        CheckAtLeast("max_watches", max_watches, 1),
        CheckAtLeast("watch_progress_interval_ms", progress_interval_ms, 1),
        CheckAtLeast("cache_bytes", cache_bytes, 0),
        CheckAtLeast("page_cache_bytes", page_cache_bytes, 0)}) {
    if (!status.ok()) return status;
  }
  options->max_http_list_bytes = static_cast<size_t>(max_http_list_bytes);
  options->watches.max_watches = static_cast<size_t>(max_watches);
  options->watches.progress_interval = absl::Milliseconds(progress_interval_ms);
  options->max_list_rows = max_list_rows;
  options->max_list_duration = absl::Milliseconds(max_list_duration_ms);
  options->max_waits = static_cast<size_t>(max_waits);
  options->max_wait = absl::Milliseconds(max_wait_ms);
  options->reader.cache_bytes = static_cast<size_t>(cache_bytes);
  options->reader.page_cache_bytes = static_cast<size_t>(page_cache_bytes);
  return absl::OkStatus();
}

absl::StatusOr<SidecarServer::Options> SidecarOptionsFromFlags() {
  SidecarServer::Options options;
  absl::Status status = ReadSidecarFlags(&options);
  if (!status.ok()) return status;
  absl::StatusOr<rpc::ServerOptions> server = rpc::ServerOptionsFromFlags(kDefaultListen);
  if (!server.ok()) return server.status();
  options.server = *std::move(server);
  absl::StatusOr<absl::optional<rpc::HttpServer::Options>> http =
      rpc::HttpOptionsFromFlags(kDefaultHttpPort, options.server);
  if (!http.ok()) return http.status();
  options.http = *std::move(http);
  options.ldb_path = ldb::LdbPathFromFlags();
  return options;
}

int RunSidecar() {
  StopWatchingLockOrder();
  // Never destroyed: its thread waits for signals until the process ends.
  static ShutdownSignal* const shutdown = new ShutdownSignal;

  const absl::StatusOr<SidecarServer::Options> options = SidecarOptionsFromFlags();
  if (!options.ok()) {
    LOG(ERROR) << "event=bad_flags error=\"" << options.status().message() << "\"";
    return kUsageError;
  }
  const absl::StatusOr<absl::optional<rpc::HttpServer::Options>> metrics =
      rpc::MetricsOptionsFromFlags();
  if (!metrics.ok()) {
    LOG(ERROR) << "event=bad_flags error=\"" << metrics.status().message() << "\"";
    return kUsageError;
  }
  absl::StatusOr<std::unique_ptr<SidecarServer>> server = SidecarServer::Start(*options);
  if (!server.ok()) {
    LOG(ERROR) << "event=start_failed service=sidecar error=\"" << server.status().ToString()
               << "\"";
    return kStartError;
  }
  if (metrics->has_value()) {
    const absl::StatusOr<std::string> address = (*server)->ServeMetrics(**metrics);
    if (!address.ok()) {
      LOG(ERROR) << "event=start_failed service=sidecar error=\"" << address.status().ToString()
                 << "\"";
      return kStartError;
    }
  }
  shutdown->Wait();
  (*server)->Shutdown(rpc::ShutdownGraceFromFlags());
  LOG(INFO) << "event=sidecar_stopped";
  return 0;
}

}  // namespace ctlstore::sidecar
