// One of the program's commands.

#ifndef CTLSTORE_CLI_COMMAND_H_
#define CTLSTORE_CLI_COMMAND_H_

#include <cstddef>
#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

namespace ctlstore::cli {

// A plain description; the parts that users see go into --help as they are.
struct Command {
  static constexpr size_t kAnyNumber = std::numeric_limits<size_t>::max();

  // One word, or two or three of which the first is a group: "get", "family create", "limits table
  // set". Where one command's name begins another's, the longer one that fits is meant.
  std::string name;
  // "FAMILY TABLE KEY..."
  std::string arguments;
  // One line, without a full stop.
  std::string summary;
  // Paragraphs and examples, each line at most 80 characters.
  std::string description;
  size_t min_arguments = 0;
  size_t max_arguments = 0;

  // The flags that it takes: by name, and all of those defined in source files whose path begins
  // with one of the prefixes.
  std::vector<std::string> flags;
  std::vector<std::string> flag_files;
  // Defaults that differ from those of the flags' definitions, by the flag's name.
  std::vector<std::pair<std::string, std::string>> flag_defaults;

  // Runs after the flags are set, with the arguments. Returns the exit status.
  std::function<int(const std::vector<std::string>& arguments)> run;
};

}  // namespace ctlstore::cli

#endif  // CTLSTORE_CLI_COMMAND_H_
