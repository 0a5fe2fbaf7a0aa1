// The command that runs everything on one machine.

#ifndef CTLSTORE_CLI_DEV_COMMAND_H_
#define CTLSTORE_CLI_DEV_COMMAND_H_

#include <string>

#include "cli/command.h"

namespace ctlstore::cli {

// `program` is how this program was called, for the commands that are shown.
Command DevCommand(const std::string& program);

}  // namespace ctlstore::cli

#endif  // CTLSTORE_CLI_DEV_COMMAND_H_
