// The command that loads files.

#ifndef CTLSTORE_CLI_IMPORT_COMMAND_H_
#define CTLSTORE_CLI_IMPORT_COMMAND_H_

#include "cli/command.h"

namespace ctlstore::cli {

Command ImportCommand();

}  // namespace ctlstore::cli

#endif  // CTLSTORE_CLI_IMPORT_COMMAND_H_
