// Commands that run one service each.

#ifndef CTLSTORE_CLI_SERVICE_COMMANDS_H_
#define CTLSTORE_CLI_SERVICE_COMMANDS_H_

#include <vector>

#include "cli/command.h"

namespace ctlstore::cli {

// executive, reflector, sidecar, heartbeat, supervisor.
std::vector<Command> ServiceCommands();

}  // namespace ctlstore::cli

#endif  // CTLSTORE_CLI_SERVICE_COMMANDS_H_
