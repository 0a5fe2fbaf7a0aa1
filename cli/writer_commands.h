// Commands about writers and their cookies.

#ifndef CTLSTORE_CLI_WRITER_COMMANDS_H_
#define CTLSTORE_CLI_WRITER_COMMANDS_H_

#include <vector>

#include "cli/command.h"

namespace ctlstore::cli {

// writer register, cookie get, cookie set.
std::vector<Command> WriterCommands();

}  // namespace ctlstore::cli

#endif  // CTLSTORE_CLI_WRITER_COMMANDS_H_
