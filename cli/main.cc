// ctlstore: one program for all services and for administration.

#include <iostream>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "cli/command_table.h"
#include "cli/dev_command.h"
#include "cli/exit_status.h"
#include "cli/import_command.h"
#include "cli/ledger_commands.h"
#include "cli/limit_commands.h"
#include "cli/read_commands.h"
#include "cli/reflector_commands.h"
#include "cli/schema_commands.h"
#include "cli/service_commands.h"
#include "cli/snapshot_commands.h"
#include "cli/supervisor_commands.h"
#include "cli/verify_command.h"
#include "cli/watch_command.h"
#include "cli/write_commands.h"
#include "cli/writer_commands.h"

int main(int argc, char** argv) {
  using ctlstore::cli::CommandTable;
  const std::vector<std::string> arguments(argv, argv + argc);
  if (arguments.empty()) return ctlstore::cli::kExitUsage;
  CommandTable commands;
  commands.Add("Everything at once", {ctlstore::cli::DevCommand(arguments[0])});
  std::vector<ctlstore::cli::Command> reading = ctlstore::cli::ReadCommands();
  reading.push_back(ctlstore::cli::WatchCommand());
  reading.push_back(ctlstore::cli::VerifyCommand());
  commands.Add("Read this host's copy", reading);
  std::vector<ctlstore::cli::Command> writing = ctlstore::cli::WriteCommands();
  writing.push_back(ctlstore::cli::ImportCommand());
  commands.Add("Write rows", writing);
  commands.Add("Administer", ctlstore::cli::SchemaCommands());
  commands.Add("The ledger", ctlstore::cli::LedgerCommands());
  commands.Add("Limits", ctlstore::cli::LimitCommands());
  commands.Add("Writers", ctlstore::cli::WriterCommands());
  commands.Add("Reflectors", ctlstore::cli::ReflectorCommands());
  std::vector<ctlstore::cli::Command> snapshots = ctlstore::cli::SupervisorCommands();
  for (const ctlstore::cli::Command& command : ctlstore::cli::SnapshotCommands()) {
    snapshots.push_back(command);
  }
  commands.Add("Snapshots", snapshots);
  commands.Add("Run one service", ctlstore::cli::ServiceCommands());
  return commands.Run(absl::MakeConstSpan(arguments).subspan(1), std::cout, std::cerr);
}
