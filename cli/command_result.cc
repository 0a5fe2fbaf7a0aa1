#include "cli/command_result.h"

#include <iostream>
#include <utility>

#include "cli/exit_status.h"

namespace ctlstore::cli {

std::function<int(const std::vector<std::string>&)> Returning(
    std::function<absl::Status(const std::vector<std::string>&)> function) {
  return [function = std::move(function)](const std::vector<std::string>& arguments) {
    absl::Status status = function(arguments);
    std::cout.flush();
    if (status.ok() && !std::cout) {
      status = absl::InternalError("standard output cannot be written");
    }
    if (!status.ok()) std::cerr << DescribeError(status);
    return ExitStatusFor(status);
  };
}

}  // namespace ctlstore::cli
