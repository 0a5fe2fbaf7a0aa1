// Commands that write rows.

#ifndef CTLSTORE_CLI_WRITE_COMMANDS_H_
#define CTLSTORE_CLI_WRITE_COMMANDS_H_

#include <vector>

#include "cli/command.h"

namespace ctlstore::cli {

// put, delete, mutate.
std::vector<Command> WriteCommands();

}  // namespace ctlstore::cli

#endif  // CTLSTORE_CLI_WRITE_COMMANDS_H_
