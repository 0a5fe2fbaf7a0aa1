// `ctlstore verify`: compares this host's copy with the system of record.

#ifndef CTLSTORE_CLI_VERIFY_COMMAND_H_
#define CTLSTORE_CLI_VERIFY_COMMAND_H_

#include "cli/command.h"

namespace ctlstore::cli {

Command VerifyCommand();

}  // namespace ctlstore::cli

#endif  // CTLSTORE_CLI_VERIFY_COMMAND_H_
