// `ctlstore watch`: tells what changes in this host's copy.

#ifndef CTLSTORE_CLI_WATCH_COMMAND_H_
#define CTLSTORE_CLI_WATCH_COMMAND_H_

#include "cli/command.h"

namespace ctlstore::cli {

Command WatchCommand();

}  // namespace ctlstore::cli

#endif  // CTLSTORE_CLI_WATCH_COMMAND_H_
