#include "heartbeat/heartbeat_flags.h"

#include <glog/logging.h>

#include <cstdint>
#include <string>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/base/shutdown_signal.h"
#include "common/rpc/client_flags.h"
#include "common/rpc/metrics_flags.h"

ABSL_FLAG(int64_t, heartbeat_interval_ms, 15000,
          "How often a heartbeat is written, in milliseconds. A host cannot tell its lag more "
          "exactly than that while nothing else is written; each one is a ledger entry.");

namespace ctlstore::heartbeat {
namespace {

constexpr int kStartError = 1;
constexpr int kUsageError = 2;

}  // namespace

absl::Status ReadHeartbeatFlags(HeartbeatRunner::Options* options) {
  const int64_t interval_ms = absl::GetFlag(FLAGS_heartbeat_interval_ms);
  if (interval_ms < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("--heartbeat_interval_ms: must be at least 1, is ", interval_ms));
  }
  options->heartbeat.interval = absl::Milliseconds(interval_ms);
  return absl::OkStatus();
}

absl::StatusOr<HeartbeatRunner::Options> HeartbeatOptionsFromFlags() {
  HeartbeatRunner::Options options;
  absl::Status status = ReadHeartbeatFlags(&options);
  if (!status.ok()) return status;
  options.executive = rpc::ExecutiveAddressFromFlags();
  options.channel = rpc::ChannelOptionsFromFlags();
  status = rpc::CheckChannel(options.executive, options.channel);
  if (!status.ok()) return status;
  absl::StatusOr<rpc::WriterCredentials> credentials =
      rpc::WriterCredentialsFromFlags(kDefaultWriter);
  if (!credentials.ok()) return credentials.status();
  options.credentials = *std::move(credentials);
  return options;
}

int RunHeartbeat() {
  // Never destroyed: its thread waits for signals until the process ends.
  static ShutdownSignal* const shutdown = new ShutdownSignal;

  const absl::StatusOr<HeartbeatRunner::Options> options = HeartbeatOptionsFromFlags();
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
  HeartbeatRunner runner(*options);
  if (metrics->has_value()) {
    const absl::StatusOr<std::string> address = runner.ServeMetrics(**metrics);
    if (!address.ok()) {
      LOG(ERROR) << "event=start_failed service=heartbeat error=\"" << address.status().ToString()
                 << "\"";
      return kStartError;
    }
  }
  shutdown->Wait();
  runner.Stop();
  return 0;
}

}  // namespace ctlstore::heartbeat
