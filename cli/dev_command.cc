#include "cli/dev_command.h"

#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/declare.h"
#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cli/command_result.h"
#include "cli/dev_system.h"
#include "cli/exit_status.h"
#include "common/base/lock_order.h"
#include "common/base/logging.h"
#include "common/base/shutdown_signal.h"
#include "common/ctldb/ctldb_flags.h"
#include "common/rpc/exposure.h"
#include "common/rpc/server_flags.h"
#include "executive/executive_flags.h"
#include "heartbeat/heartbeat_flags.h"
#include "reflector/reflector_flags.h"
#include "sidecar/sidecar_flags.h"
#include "supervisor/supervisor_flags.h"

ABSL_FLAG(std::string, data_dir, "",
          "The folder that holds everything. Empty: .local/share/ctlstore in the home folder.");
ABSL_FLAG(std::string, executive_listen, ctlstore::executive::kDefaultListen,
          "Where the executive serves: host:port (port 0 for a free one) or unix:/absolute/path.");
ABSL_FLAG(std::string, sidecar_listen, ctlstore::sidecar::kDefaultListen,
          "Where the sidecar serves: host:port (port 0 for a free one) or unix:/absolute/path.");
ABSL_FLAG(int, sidecar_http_port, ctlstore::sidecar::kDefaultHttpPort,
          "What --http_port is for the executive, for the sidecar.");
ABSL_FLAG(std::string, reflector_listen, ctlstore::reflector::kDefaultListen,
          "Where the reflector tells how it does: host:port (port 0 for a free one) or "
          "unix:/absolute/path.");
ABSL_FLAG(std::string, supervisor_listen, ctlstore::supervisor::kDefaultListen,
          "Where the supervisor, which takes snapshots, is asked for one: host:port (port 0 for a "
          "free one) or unix:/absolute/path.");

ABSL_DECLARE_FLAG(std::string, ctldb);

namespace ctlstore::cli {
namespace {

// When to say what it is waiting for.
constexpr absl::Duration kReadyWithin = absl::Seconds(10);

absl::StatusOr<std::string> DataFolder() {
  std::string folder = absl::GetFlag(FLAGS_data_dir);
  if (folder.empty()) {
    const char* home = std::getenv("HOME");
    if (home == nullptr || *home == '\0') {
      return UsageError("there is no home folder: name the data's folder with --data_dir");
    }
    folder = absl::StrCat(home, "/.local/share/ctlstore");
  }
  std::error_code error;
  const std::string absolute = std::filesystem::absolute(folder, error).string();
  if (error) return UsageError(absl::StrCat("--data_dir: ", error.message()));
  return absolute;
}

absl::StatusOr<DevSystem::Options> OptionsFromFlags() {
  DevSystem::Options options;
  absl::StatusOr<std::string> folder = DataFolder();
  if (!folder.ok()) return folder.status();
  options.data_dir = *std::move(folder);
  if (!absl::GetFlag(FLAGS_ctldb).empty()) {
    absl::StatusOr<ctldb::Target> target = ctldb::TargetFromFlags();
    if (!target.ok()) return UsageError(target.status().message());
    options.ctldb = *std::move(target);
  }
  absl::StatusOr<ctldb::ConnectionOptions> connection = ctldb::ConnectionOptionsFromFlags();
  if (!connection.ok()) return UsageError(connection.status().message());
  options.connection = *std::move(connection);
  options.executive_listen = absl::GetFlag(FLAGS_executive_listen);
  options.sidecar_listen = absl::GetFlag(FLAGS_sidecar_listen);
  options.sidecar_http_port = absl::GetFlag(FLAGS_sidecar_http_port);
  options.reflector_listen = absl::GetFlag(FLAGS_reflector_listen);
  options.supervisor_listen = absl::GetFlag(FLAGS_supervisor_listen);
  absl::StatusOr<rpc::ServerOptions> server = rpc::ServerOptionsWithoutListenFromFlags();
  if (!server.ok()) return UsageError(server.status().message());
  options.server = *std::move(server);
  const absl::Status usable = rpc::CheckServerOptions(options.server);
  if (!usable.ok()) return UsageError(usable.message());
  const absl::Status exposure =
      rpc::CheckExposure({options.executive_listen, options.sidecar_listen,
                          options.reflector_listen, options.supervisor_listen},
                         rpc::ProtectionOf(options.server));
  // What is no address is said by whoever is to listen there.
  if (absl::IsFailedPrecondition(exposure)) return UsageError(exposure.message());
  options.executive.server = options.server;
  options.executive.server.listen = {options.executive_listen};
  for (const absl::Status& status : {executive::ReadExecutiveFlags(&options.executive),
                                     reflector::ReadReflectorFlags(&options.reflector),
                                     sidecar::ReadSidecarFlags(&options.sidecar),
                                     heartbeat::ReadHeartbeatFlags(&options.heartbeat),
                                     supervisor::ReadSupervisorFlags(&options.supervisor)}) {
    if (!status.ok()) return UsageError(status.message());
  }
  return options;
}

// What clients of an address have to be told besides it.
std::string AccessFlags(const DevSystem& system, const std::string& address, bool tls) {
  std::string flags;
  if (tls && !absl::StartsWith(address, "unix:")) {
    absl::StrAppend(&flags, " --client_tls --client_tls_ca_file=CA.pem");
  }
  if (!system.admin_token_path().empty()) {
    absl::StrAppend(&flags, " --token_file=", system.admin_token_path());
  }
  return flags;
}

void ShowWhereItIs(const std::string& program, const DevSystem& system, bool tls) {
  const std::string executive = system.executive_address();
  const std::string sidecar = system.sidecar_address();
  const std::string executive_flag = absl::StrCat(
      executive == executive::kDefaultListen ? "" : absl::StrCat(" --executive=", executive),
      AccessFlags(system, executive, tls));
  const std::string sidecar_access = AccessFlags(system, sidecar, tls);
  const std::string sidecar_flag =
      absl::StrCat(sidecar == sidecar::kDefaultListen ? "" : absl::StrCat(" --sidecar=", sidecar),
                   sidecar_access);
  const std::string reflector = system.reflector_address();
  const std::string reflector_flag = absl::StrCat(
      reflector == reflector::kDefaultListen ? "" : absl::StrCat(" --reflector=", reflector),
      AccessFlags(system, reflector, tls));
  const auto by_http = [tls](const std::string& address) {
    if (address.empty()) return std::string();
    return absl::StrCat("the same by HTTP    ", tls ? "https://" : "http://", address, "\n");
  };
  std::cout << "executive (writes)  " << executive << "\n";
  std::cout << by_http(system.executive_http_address());
  std::cout << "sidecar (reads)     " << sidecar << "\n";
  std::cout << by_http(system.sidecar_http_address());
  std::cout << "reflector (status)  " << system.reflector_address() << "\n"
            << "supervisor          " << system.supervisor_address() << ", snapshots in "
            << system.snapshots_path() << "\n"
            << "local database      " << system.ldb_path() << "\n"
            << "system of record    " << system.ctldb_name() << "\n"
            << "\nTry in another terminal:\n\n"
            << "  " << program << " family create demo" << executive_flag << "\n"
            << "  " << program
            << " table create demo greetings --fields=language:string,text:text --key=language"
            << executive_flag << "\n"
            << "  " << program << " put demo greetings language=en text=hello --writer_secret_file="
            << system.writer_secret_path() << executive_flag << "\n"
            << "  " << program << " get demo greetings en" << sidecar_flag << "\n"
            << "  " << program << " list demo greetings" << sidecar_flag << "\n"
            << "  " << program << " status" << sidecar_flag << "\n"
            << "  " << program << " status reflector" << reflector_flag << "\n";
  if (sidecar_access.empty()) {
    std::cout << "  grpcurl -plaintext -d '{\"family\":\"demo\",\"table\":\"greetings\",\"key\":"
              << "[{\"text\":\"en\"}]}' " << sidecar << " ctlstore.v1.Sidecar/GetRow\n";
  }
  std::cout << "\nCtrl-C ends it; the data stays.\n\n";
}

absl::Status Dev(const std::string& program) {
  StopWatchingLockOrder();
  // Never destroyed: its thread waits for signals until the process ends.
  static ShutdownSignal* const shutdown = new ShutdownSignal;

  absl::StatusOr<DevSystem::Options> options = OptionsFromFlags();
  if (!options.ok()) return options.status();
  options->stop = shutdown->notification();
  absl::StatusOr<std::unique_ptr<DevSystem>> system = DevSystem::Start(*options);
  if (absl::IsCancelled(system.status())) return absl::OkStatus();
  if (!system.ok()) return absl::InternalError(system.status().message());
  ShowWhereItIs(program, **system, options->server.tls.enabled());

  while (true) {
    const absl::Status ready =
        (*system)->WaitUntilReady(absl::Now() + kReadyWithin, shutdown->notification());
    if (absl::IsDeadlineExceeded(ready)) {
      std::cerr << "not ready yet: " << ready.message() << "\n";
      continue;
    }
    if (ready.ok()) std::cout << "ctlstore is ready" << std::endl;
    break;
  }
  shutdown->Wait();
  (*system)->Stop();
  std::cout << "ctlstore has stopped\n";
  return absl::OkStatus();
}

}  // namespace

Command DevCommand(const std::string& program) {
  Command command;
  command.name = "dev";
  command.summary = "Runs everything in one process, on an embedded database";
  command.description =
      "An executive, a reflector, a sidecar, a heartbeat and a supervisor, with all data in one\n"
      "folder.\n"
      "Writes the line 'ctlstore is ready' when a write has gone all the way to the local\n"
      "database. Ctrl-C or SIGTERM ends it; started again, it goes on with the same data.\n\n"
      "With --ctldb=mysql://... the system of record is a MariaDB or MySQL server.";
  command.flags = {"data_dir",
                   "executive_listen",
                   "sidecar_listen",
                   "reflector_listen",
                   "supervisor_listen",
                   "snapshot_interval_s",
                   "http_port",
                   "sidecar_http_port",
                   "metrics_port",
                   "metrics_host",
                   "poll_interval_ms",
                   "heartbeat_interval_ms",
                   "enable_destructive_changes",
                   "table_warn_bytes",
                   "table_max_bytes",
                   "writer_max_rows",
                   "writer_rate_period_ms",
                   "tls_cert_file",
                   "tls_key_file",
                   "tls_client_ca_file",
                   "tls_require_client_cert",
                   "admin_token_file",
                   "reader_token_file",
                   "admin_identities",
                   "reader_identities",
                   "insecure",
                   "grpc_max_threads"};
  command.flag_files = {"common/ctldb/", "common/base/"};
  // Fast rather than cheap: there is one host only, and nobody to be guarded from its writers.
  command.flag_defaults = {
      {"poll_interval_ms", "50"}, {"log_level", "warning"}, {"writer_max_rows", "0"}};
  command.run = [program](const std::vector<std::string>& arguments) {
    InitLogging("ctlstore");
    return Returning([&program](const std::vector<std::string>&) { return Dev(program); })(
        arguments);
  };
  return command;
}

}  // namespace ctlstore::cli
