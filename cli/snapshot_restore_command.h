// `ctlstore snapshot restore`: fills a ctldb that was lost.

#ifndef CTLSTORE_CLI_SNAPSHOT_RESTORE_COMMAND_H_
#define CTLSTORE_CLI_SNAPSHOT_RESTORE_COMMAND_H_

#include "cli/command.h"

namespace ctlstore::cli {

Command SnapshotRestoreCommand();

}  // namespace ctlstore::cli

#endif  // CTLSTORE_CLI_SNAPSHOT_RESTORE_COMMAND_H_
