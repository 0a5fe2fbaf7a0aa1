// Commands about families, tables and fields.

#ifndef CTLSTORE_CLI_SCHEMA_COMMANDS_H_
#define CTLSTORE_CLI_SCHEMA_COMMANDS_H_

#include <vector>

#include "cli/command.h"

namespace ctlstore::cli {

// family create, list and clear; table create, show, list, clear and drop; fields add.
std::vector<Command> SchemaCommands();

}  // namespace ctlstore::cli

#endif  // CTLSTORE_CLI_SCHEMA_COMMANDS_H_
