#include "cli/command_table.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "cli/command_flags.h"
#include "cli/exit_status.h"
#include "cli/nearest_name.h"

namespace ctlstore::cli {
namespace {

// In a command's name.
constexpr size_t kMostWords = 3;

bool IsHelp(const std::string& word) {
  return word == "help" || word == "--help" || word == "-help" || word == "-h";
}

std::string FirstWord(const std::string& name) { return name.substr(0, name.find(' ')); }

}  // namespace

void CommandTable::Add(const std::string& heading, std::vector<Command> commands) {
  sections_.push_back(Section{heading, std::move(commands)});
}

const Command* CommandTable::FindNamed(const std::string& name) const {
  for (const Section& section : sections_) {
    for (const Command& command : section.commands) {
      if (command.name == name) return &command;
    }
  }
  return nullptr;
}

std::vector<const Command*> CommandTable::Group(const std::string& word) const {
  std::vector<const Command*> group;
  for (const Section& section : sections_) {
    for (const Command& command : section.commands) {
      if (absl::StartsWith(command.name, word + " ")) group.push_back(&command);
    }
  }
  return group;
}

absl::StatusOr<const Command*> CommandTable::Find(absl::Span<const std::string> arguments,
                                                  size_t* words) const {
  for (*words = std::min(kMostWords, arguments.size()); *words > 0; --*words) {
    const Command* command = FindNamed(absl::StrJoin(arguments.first(*words), " "));
    if (command != nullptr) return command;
  }
  std::vector<std::string> first_words;
  for (const Section& section : sections_) {
    for (const Command& command : section.commands) first_words.push_back(FirstWord(command.name));
  }
  const std::string one = arguments.empty() ? "" : arguments[0];
  const std::vector<const Command*> group = Group(one);
  if (group.empty()) {
    const std::string nearest = NearestName(one, first_words);
    return UsageError(
        absl::StrCat("there is no command '", one, "'",
                     nearest.empty() ? "" : absl::StrCat("; did you mean '", nearest, "'?")));
  }
  std::string message = absl::StrCat("'", one, "' needs one of:");
  for (const Command* command : group) {
    absl::StrAppend(&message, command == group.front() ? " " : ", ",
                    command->name.substr(one.size() + 1));
  }
  return UsageError(message);
}

std::string CommandTable::Usage(const Command& command) {
  return absl::StrCat("ctlstore ", command.name, command.arguments.empty() ? "" : " ",
                      command.arguments);
}

std::string CommandTable::Describe(const Command& command) {
  std::string text = absl::StrCat(Usage(command), "\n\n", command.summary, ".\n");
  if (!command.description.empty()) absl::StrAppend(&text, "\n", command.description, "\n");
  const std::string flags = DescribeFlags(command);
  if (!flags.empty()) {
    absl::StrAppend(&text, "\nFlags, each of them also as a variable of the environment ",
                    "(--some_flag is\nCTLSTORE_SOME_FLAG):\n\n", flags);
  }
  return text;
}

std::string CommandTable::Overview() const {
  size_t width = 0;
  for (const Section& section : sections_) {
    for (const Command& command : section.commands) width = std::max(width, command.name.size());
  }
  std::string text =
      "ctlstore keeps control data: small, seldom written, read all the time, and there\n"
      "when everything else is down.\n\n"
      "usage: ctlstore COMMAND [ARGUMENTS] [FLAGS]\n";
  for (const Section& section : sections_) {
    absl::StrAppend(&text, "\n", section.heading, "\n");
    for (const Command& command : section.commands) {
      absl::StrAppend(&text, absl::StrFormat("  %-*s  %s\n", static_cast<int>(width), command.name,
                                             command.summary));
    }
  }
  absl::StrAppend(&text, "\nExit status\n", DescribeExitStatuses(),
                  "\n'ctlstore help COMMAND' describes a command and its flags.\n");
  return text;
}

int CommandTable::Help(absl::Span<const std::string> arguments, std::ostream& out,
                       std::ostream& err) const {
  if (arguments.empty()) {
    out << Overview();
    return kExitOk;
  }
  const std::vector<const Command*> group = Group(arguments[0]);
  if (arguments.size() == 1 && !group.empty()) {
    const Command* named = FindNamed(arguments[0]);
    if (named != nullptr) out << Describe(*named) << "\nThere is also:\n\n";
    for (const Command* command : group) {
      out << Usage(*command) << "\n    " << command->summary << ".\n";
    }
    return kExitOk;
  }
  size_t words = 0;
  const absl::StatusOr<const Command*> command = Find(arguments, &words);
  if (!command.ok()) {
    err << DescribeError(command.status()) << "'ctlstore help' lists all commands.\n";
    return kExitUsage;
  }
  out << Describe(**command);
  return kExitOk;
}

int CommandTable::Run(absl::Span<const std::string> arguments, std::ostream& out,
                      std::ostream& err) const {
  if (arguments.empty()) {
    err << Overview();
    return kExitUsage;
  }
  if (IsHelp(arguments[0])) return Help(arguments.subspan(1), out, err);
  if (arguments.size() == 2 && IsHelp(arguments[1]) && !Group(arguments[0]).empty()) {
    return Help(arguments.first(1), out, err);
  }

  size_t words = 0;
  const absl::StatusOr<const Command*> command = Find(arguments, &words);
  if (!command.ok()) {
    err << DescribeError(command.status()) << "'ctlstore help' lists all commands.\n";
    return kExitUsage;
  }
  absl::StatusOr<ParsedArguments> parsed = ParseArguments(**command, arguments.subspan(words));
  if (parsed.ok() && parsed->help) {
    out << Describe(**command);
    return kExitOk;
  }
  absl::Status usage = parsed.status();
  if (usage.ok() && (parsed->positional.size() < (*command)->min_arguments ||
                     parsed->positional.size() > (*command)->max_arguments)) {
    usage = UsageError(absl::StrCat("wrong number of arguments (", parsed->positional.size(),
                                    "); usage: ", Usage(**command)));
  }
  if (!usage.ok()) {
    err << DescribeError(usage) << "'ctlstore help " << (*command)->name << "' tells more.\n";
    return kExitUsage;
  }
  return (*command)->run(parsed->positional);
}

}  // namespace ctlstore::cli
