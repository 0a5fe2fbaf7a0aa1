// Commands about families, tables and fields.

#ifndef CTLSTORE_CLI_SCHEMA_COMMANDS_H_
#define CTLSTORE_CLI_SCHEMA_COMMANDS_H_

#include <vector>

#include "cli/command.h"

namespace ctlstore::cli {

// family create, family list, table create, table show, table list, fields add.
std::vector<Command> SchemaCommands();

}  // namespace ctlstore::cli

#endif  // CTLSTORE_CLI_SCHEMA_COMMANDS_H_
