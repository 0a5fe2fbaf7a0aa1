// Commands about snapshots, which work on the places where they are, without any service.

#ifndef CTLSTORE_CLI_SNAPSHOT_COMMANDS_H_
#define CTLSTORE_CLI_SNAPSHOT_COMMANDS_H_

#include <vector>

#include "cli/command.h"

namespace ctlstore::cli {

// snapshot list, fetch, verify, take and restore.
std::vector<Command> SnapshotCommands();

}  // namespace ctlstore::cli

#endif  // CTLSTORE_CLI_SNAPSHOT_COMMANDS_H_
