// Commands about the sizes of tables and the rates of writers.

#ifndef CTLSTORE_CLI_LIMIT_COMMANDS_H_
#define CTLSTORE_CLI_LIMIT_COMMANDS_H_

#include <vector>

#include "cli/command.h"

namespace ctlstore::cli {

// limits table list, set and delete; limits writer list, set and delete.
std::vector<Command> LimitCommands();

}  // namespace ctlstore::cli

#endif  // CTLSTORE_CLI_LIMIT_COMMANDS_H_
