// The flags of one command: set from the environment and the command line, and described.

#ifndef CTLSTORE_CLI_COMMAND_FLAGS_H_
#define CTLSTORE_CLI_COMMAND_FLAGS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "cli/command.h"

namespace ctlstore::cli {

struct ParsedArguments {
  // --help or -h was among them; then nothing else is set.
  bool help = false;
  // What is not a flag, in order.
  std::vector<std::string> positional;
};

// Sets the command's flags: first its own defaults, then the variables CTLSTORE_<FLAG> of the
// environment, then `arguments`: --flag=value, --flag value, and --flag and --noflag for booleans.
// Flags and other arguments may be mixed; everything after "--" is no flag, nor is "-" or a
// negative number. Other programs' flags and those of other commands are unknown here. Usage errors
// name the flag and what may have been meant.
absl::StatusOr<ParsedArguments> ParseArguments(const Command& command,
                                               absl::Span<const std::string> arguments);

// The command's flags with their defaults, for --help; empty where it has none.
std::string DescribeFlags(const Command& command);

}  // namespace ctlstore::cli

#endif  // CTLSTORE_CLI_COMMAND_FLAGS_H_
