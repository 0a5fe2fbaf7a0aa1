#include "cli/service_commands.h"

#include <functional>
#include <string>

#include "cli/shared_flags.h"
#include "common/base/logging.h"
#include "executive/executive_flags.h"
#include "heartbeat/heartbeat_flags.h"
#include "reflector/reflector_flags.h"
#include "sidecar/sidecar_flags.h"
#include "supervisor/supervisor_flags.h"

namespace ctlstore::cli {
namespace {

Command Service(const char* name, const char* summary, const char* description,
                std::vector<std::string> flag_files, std::vector<std::string> flags,
                std::function<int()> run) {
  Command command;
  command.name = name;
  command.summary = summary;
  command.description = description;
  command.flag_files = std::move(flag_files);
  command.flag_files.push_back("common/base/");
  command.flags = std::move(flags);
  command.run = [run = std::move(run)](const std::vector<std::string>&) {
    InitLogging("ctlstore");
    return run();
  };
  return command;
}

}  // namespace

std::vector<Command> ServiceCommands() {
  return {
      Service("executive", "Runs the executive: the one door for changes to control data",
              "Serves the Executive API on a ctldb (--ctldb), which it sets up itself. Any\n"
              "number of executives can share one ctldb. SIGTERM or Ctrl-C ends it.",
              {"executive/", "common/ctldb/", "common/rpc/server_flags", "common/rpc/http_flags",
               "common/rpc/metrics_flags", "common/snapshot/", "common/object_store/"},
              {}, executive::RunExecutive),
      Service("reflector", "Runs a reflector: keeps this host's copy up with the ledger",
              "Plays the ledger of a ctldb (--ctldb), or as executives stream it (--upstream),\n"
              "into this host's local database (--ldb).\n"
              "One reflector writes a local database; any number of programs read it.",
              {"reflector/", "common/ctldb/", "common/ldb/", "common/object_store/",
               "common/rpc/metrics_flags", "common/rpc/server_flags", "common/snapshot/"},
              ChannelFlags(), reflector::RunReflector),
      Service("sidecar", "Runs a sidecar: serves reads of this host's copy by gRPC and HTTP",
              "Serves the Sidecar API on this host's local database (--ldb), for programs that\n"
              "do not read the file themselves.",
              {"sidecar/", "common/ldb/", "common/rpc/metrics_flags", "common/rpc/server_flags",
               "common/rpc/http_flags"},
              {}, sidecar::RunSidecar),
      Service("heartbeat", "Runs a heartbeat: writes the time, from which hosts know their lag",
              "Writes through an executive (--executive), in the name of a writer whose secret\n"
              "is in --writer_secret_file or in the variable CTLSTORE_WRITER_SECRET.",
              {"heartbeat/", "common/rpc/metrics_flags"},
              Joined({"executive", "writer", "writer_secret_file"}, ChannelFlags()),
              heartbeat::RunHeartbeat),
      Service("supervisor", "Runs a supervisor: takes snapshots, from which new hosts begin",
              "Keeps a local database of its own (--ldb) as a reflector does, and puts snapshots\n"
              "of it into all of --snapshot_urls, every --snapshot_interval_s and when\n"
              "'ctlstore snapshot now' asks for one.",
              {"supervisor/", "reflector/", "common/ctldb/", "common/ldb/", "common/snapshot/",
               "common/object_store/", "common/rpc/metrics_flags", "common/rpc/server_flags"},
              ChannelFlags(), supervisor::RunSupervisor),
  };
}

}  // namespace ctlstore::cli
