// All commands together: finding one, describing them, running one.

#ifndef CTLSTORE_CLI_COMMAND_TABLE_H_
#define CTLSTORE_CLI_COMMAND_TABLE_H_

#include <ostream>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "cli/command.h"

namespace ctlstore::cli {

// Commands under headings, in the order in which --help shows them. Not thread-safe.
class CommandTable {
 public:
  void Add(const std::string& heading, std::vector<Command> commands);

  // Runs the command that the first words of `arguments` name (the program's name is not
  // among them) and returns its exit status. Help goes to `out`, errors to `err`.
  int Run(absl::Span<const std::string> arguments, std::ostream& out, std::ostream& err) const;

 private:
  struct Section {
    std::string heading;
    std::vector<Command> commands;
  };

  // The command and how many arguments name it. A usage error suggests what may have been meant.
  absl::StatusOr<const Command*> Find(absl::Span<const std::string> arguments, size_t* words) const;
  // Null where no command has exactly this name.
  const Command* FindNamed(const std::string& name) const;
  std::vector<const Command*> Group(const std::string& word) const;
  std::string Overview() const;
  static std::string Describe(const Command& command);
  static std::string Usage(const Command& command);
  int Help(absl::Span<const std::string> arguments, std::ostream& out, std::ostream& err) const;

  std::vector<Section> sections_;
};

}  // namespace ctlstore::cli

#endif  // CTLSTORE_CLI_COMMAND_TABLE_H_
