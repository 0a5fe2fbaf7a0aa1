#include "reflector/reflector_flags.h"

#include <glog/logging.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/base/shutdown_signal.h"
#include "common/ctldb/ctldb_flags.h"
#include "common/ldb/ldb_flags.h"
#include "common/rpc/metrics_flags.h"

ABSL_FLAG(int64_t, poll_interval_ms, 1000,
          "How often the ledger is looked at when nothing is new, in milliseconds. Changes arrive "
          "sooner when it is shorter; each host's query costs the ctldb a little.");
ABSL_FLAG(
    double, poll_jitter, 0.25,
    "The part of --poll_interval_ms, from 0 to 1, by which each interval is changed at random "
    "in either direction, so that hosts do not ask at the same moment.");
ABSL_FLAG(int64_t, max_entries_per_query, 10000,
          "The most ledger entries that are read with one query, and so the most that one "
          "transaction of the LDB takes.");
ABSL_FLAG(int64_t, max_bytes_per_query, int64_t{16} << 20,
          "The most bytes of statements that are read with one query, give or take one entry. "
          "Bounds the memory that the reflector takes.");
ABSL_FLAG(int64_t, checkpoint_wal_bytes, int64_t{8} << 20,
          "The size of the LDB's WAL, in bytes, over which it is moved into the database. Larger: "
          "fewer writes, a larger file.");

namespace ctlstore::reflector {
namespace {

constexpr int kReadyPolls = 3;
constexpr int kStartError = 1;
constexpr int kUsageError = 2;

}  // namespace

absl::Status ReadReflectorFlags(ReflectorRunner::Options* options) {
  const int64_t poll_interval_ms = absl::GetFlag(FLAGS_poll_interval_ms);
  const int64_t max_entries = absl::GetFlag(FLAGS_max_entries_per_query);
  const int64_t max_bytes = absl::GetFlag(FLAGS_max_bytes_per_query);
  const int64_t checkpoint_wal_bytes = absl::GetFlag(FLAGS_checkpoint_wal_bytes);
  const std::pair<const char*, int64_t> counts[] = {{"poll_interval_ms", poll_interval_ms},
                                                    {"max_entries_per_query", max_entries},
                                                    {"max_bytes_per_query", max_bytes},
                                                    {"checkpoint_wal_bytes", checkpoint_wal_bytes}};
  for (const auto& [flag, value] : counts) {
    if (value < 1) {
      return absl::InvalidArgumentError(
          absl::StrCat("--", flag, ": must be at least 1, is ", value));
    }
  }
  const double jitter = absl::GetFlag(FLAGS_poll_jitter);
  if (!(jitter >= 0 && jitter <= 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--poll_jitter: must be from 0 to 1, is ", jitter));
  }

  options->reflector.poll_interval = absl::Milliseconds(poll_interval_ms);
  options->reflector.poll_jitter = jitter;
  options->reflector.max_entries_per_query = static_cast<size_t>(max_entries);
  options->reflector.max_bytes_per_query = static_cast<size_t>(max_bytes);
  options->writer.checkpoint_wal_bytes = checkpoint_wal_bytes;
  // Who looks seldom by intention is not late.
  options->ready_within =
      std::max(options->ready_within, kReadyPolls * options->reflector.poll_interval);
  return absl::OkStatus();
}

absl::StatusOr<ReflectorRunner::Options> ReflectorOptionsFromFlags() {
  ReflectorRunner::Options options;
  absl::Status status = ReadReflectorFlags(&options);
  if (!status.ok()) return status;
  absl::StatusOr<ctldb::Target> target = ctldb::TargetFromFlags();
  if (!target.ok()) return target.status();
  options.ctldb = *std::move(target);
  absl::StatusOr<ctldb::ConnectionOptions> connection = ctldb::ConnectionOptionsFromFlags();
  if (!connection.ok()) return connection.status();
  options.connection = *std::move(connection);
  options.ldb_path = ldb::LdbPathFromFlags();
  return options;
}

int RunReflector() {
  // Never destroyed: its thread waits for signals until the process ends.
  static ShutdownSignal* const shutdown = new ShutdownSignal;

  const absl::StatusOr<ReflectorRunner::Options> options = ReflectorOptionsFromFlags();
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
  absl::StatusOr<std::unique_ptr<ReflectorRunner>> runner = ReflectorRunner::Start(*options);
  if (!runner.ok()) {
    LOG(ERROR) << "event=start_failed service=reflector error=\"" << runner.status().ToString()
               << "\"";
    return kStartError;
  }
  if (metrics->has_value()) {
    const absl::StatusOr<std::string> address = (*runner)->ServeMetrics(**metrics);
    if (!address.ok()) {
      LOG(ERROR) << "event=start_failed service=reflector error=\"" << address.status().ToString()
                 << "\"";
      return kStartError;
    }
  }
  shutdown->Wait();
  (*runner)->Stop();
  return 0;
}

}  // namespace ctlstore::reflector
