// Commands about supervisors: how they are, and what operators tell them to do.

#ifndef CTLSTORE_CLI_SUPERVISOR_COMMANDS_H_
#define CTLSTORE_CLI_SUPERVISOR_COMMANDS_H_

#include <vector>

#include "cli/command.h"

namespace ctlstore::cli {

// snapshot now, status supervisor.
std::vector<Command> SupervisorCommands();

}  // namespace ctlstore::cli

#endif  // CTLSTORE_CLI_SUPERVISOR_COMMANDS_H_
