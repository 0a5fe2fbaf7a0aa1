// Commands about reflectors: how they are, and what operators tell them to do.

#ifndef CTLSTORE_CLI_REFLECTOR_COMMANDS_H_
#define CTLSTORE_CLI_REFLECTOR_COMMANDS_H_

#include <vector>

#include "cli/command.h"

namespace ctlstore::cli {

std::vector<Command> ReflectorCommands();

}  // namespace ctlstore::cli

#endif  // CTLSTORE_CLI_REFLECTOR_COMMANDS_H_
