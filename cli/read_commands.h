// Commands that read a host's copy, and that tell how it and the executive are.

#ifndef CTLSTORE_CLI_READ_COMMANDS_H_
#define CTLSTORE_CLI_READ_COMMANDS_H_

#include <vector>

#include "cli/command.h"

namespace ctlstore::cli {

// get, list, status, status executive.
std::vector<Command> ReadCommands();

}  // namespace ctlstore::cli

#endif  // CTLSTORE_CLI_READ_COMMANDS_H_
