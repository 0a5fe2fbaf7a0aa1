// The end of a command.

#ifndef CTLSTORE_CLI_COMMAND_RESULT_H_
#define CTLSTORE_CLI_COMMAND_RESULT_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace ctlstore::cli {

// Command::run for a function that returns a status: an error is written to standard error, and the
// exit status is the one for it. Output that could not be written is an error, too.
std::function<int(const std::vector<std::string>&)> Returning(
    std::function<absl::Status(const std::vector<std::string>&)> function);

}  // namespace ctlstore::cli

#endif  // CTLSTORE_CLI_COMMAND_RESULT_H_
