#include "executive/executive_flags.h"

#include <glog/logging.h>

#include <cstdint>
#include <memory>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/base/shutdown_signal.h"
#include "common/ctldb/ctldb_flags.h"
#include "common/rpc/server_flags.h"

ABSL_FLAG(int64_t, max_ctldb_connections,
          ctlstore::executive::ExecutiveServer::Options().max_ctldb_connections,
          "The most connections to the ctldb. Each call under way takes one, a schema change two; "
          "further calls wait.");
ABSL_FLAG(int64_t, ctldb_wait_ms, 60000,
          "How long to wait at start for a ctldb that cannot be reached, in milliseconds; then the "
          "executive ends with an error.");

namespace ctlstore::executive {
namespace {

constexpr int kStartError = 1;
constexpr int kUsageError = 2;
constexpr int64_t kMinConnections = 2;
constexpr int64_t kMaxConnections = 1000;

}  // namespace

absl::StatusOr<ExecutiveServer::Options> ExecutiveOptionsFromFlags() {
  ExecutiveServer::Options options;
  absl::StatusOr<ctldb::Target> target = ctldb::TargetFromFlags();
  if (!target.ok()) return target.status();
  options.ctldb = *std::move(target);
  absl::StatusOr<ctldb::ConnectionOptions> connection = ctldb::ConnectionOptionsFromFlags();
  if (!connection.ok()) return connection.status();
  options.connection = *std::move(connection);
  absl::StatusOr<rpc::ServerOptions> server = rpc::ServerOptionsFromFlags(kDefaultListen);
  if (!server.ok()) return server.status();
  options.server = *std::move(server);

  const int64_t connections = absl::GetFlag(FLAGS_max_ctldb_connections);
  if (connections < kMinConnections || connections > kMaxConnections) {
    return absl::InvalidArgumentError(absl::StrCat("--max_ctldb_connections: must be from ",
                                                   kMinConnections, " to ", kMaxConnections,
                                                   ", is ", connections));
  }
  options.max_ctldb_connections = static_cast<size_t>(connections);
  const int64_t wait_ms = absl::GetFlag(FLAGS_ctldb_wait_ms);
  if (wait_ms < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("--ctldb_wait_ms: must not be negative, is ", wait_ms));
  }
  options.ctldb_wait = absl::Milliseconds(wait_ms);
  return options;
}

int RunExecutive() {
  // Never destroyed: its thread waits for signals until the process ends.
  static ShutdownSignal* const shutdown = new ShutdownSignal;

  absl::StatusOr<ExecutiveServer::Options> options = ExecutiveOptionsFromFlags();
  if (!options.ok()) {
    LOG(ERROR) << "event=bad_flags error=\"" << options.status().message() << "\"";
    return kUsageError;
  }
  options->stop = shutdown->notification();
  absl::StatusOr<std::unique_ptr<ExecutiveServer>> server = ExecutiveServer::Start(*options);
  if (absl::IsCancelled(server.status())) {
    LOG(INFO) << "event=executive_stopped";
    return 0;
  }
  if (!server.ok()) {
    LOG(ERROR) << "event=start_failed service=executive error=\"" << server.status().message()
               << "\"";
    return kStartError;
  }
  shutdown->Wait();
  (*server)->Shutdown(rpc::ShutdownGraceFromFlags());
  LOG(INFO) << "event=executive_stopped";
  return 0;
}

}  // namespace ctlstore::executive
