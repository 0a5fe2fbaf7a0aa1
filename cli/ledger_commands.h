// Commands about the ctldb's ledger.

#ifndef CTLSTORE_CLI_LEDGER_COMMANDS_H_
#define CTLSTORE_CLI_LEDGER_COMMANDS_H_

#include <vector>

#include "cli/command.h"

namespace ctlstore::cli {

// ledger prune.
std::vector<Command> LedgerCommands();

}  // namespace ctlstore::cli

#endif  // CTLSTORE_CLI_LEDGER_COMMANDS_H_
