// `ctlstore snapshot take`: a snapshot of any local database.

#ifndef CTLSTORE_CLI_SNAPSHOT_TAKE_COMMAND_H_
#define CTLSTORE_CLI_SNAPSHOT_TAKE_COMMAND_H_

#include "cli/command.h"

namespace ctlstore::cli {

Command SnapshotTakeCommand();

}  // namespace ctlstore::cli

#endif  // CTLSTORE_CLI_SNAPSHOT_TAKE_COMMAND_H_
