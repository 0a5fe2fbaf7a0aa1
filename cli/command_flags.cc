#include "cli/command_flags.h"

#include <algorithm>
#include <cstdlib>
#include <map>

#include "absl/flags/commandlineflag.h"
#include "absl/flags/reflection.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "cli/exit_status.h"
#include "cli/nearest_name.h"

namespace ctlstore::cli {
namespace {

constexpr size_t kLineWidth = 80;
constexpr char kIndent[] = "      ";

// By name.
using Flags = std::map<std::string, absl::CommandLineFlag*>;

Flags FlagsOf(const Command& command) {
  Flags flags;
  for (const auto& [name, flag] : absl::GetAllFlags()) {
    bool taken = std::find(command.flags.begin(), command.flags.end(), name) != command.flags.end();
    const std::string file = flag->Filename();
    for (const std::string& prefix : command.flag_files) {
      taken = taken || absl::StartsWith(file, prefix);
    }
    if (taken) flags.emplace(std::string(name), flag);
  }
  return flags;
}

absl::Status Set(absl::CommandLineFlag* flag, absl::string_view value, absl::string_view where) {
  std::string error;
  if (flag->ParseFrom(value, &error)) return absl::OkStatus();
  return UsageError(absl::StrCat(where, ": ", absl::StripAsciiWhitespace(error)));
}

absl::Status SetDefaults(const Command& command, const Flags& flags) {
  for (const auto& [name, value] : command.flag_defaults) {
    const auto found = flags.find(name);
    if (found == flags.end()) continue;
    absl::Status set = Set(found->second, value, absl::StrCat("--", name));
    if (!set.ok()) return set;
  }
  return absl::OkStatus();
}

absl::Status SetFromEnvironment(const Flags& flags) {
  for (const auto& [name, flag] : flags) {
    const std::string variable = absl::StrCat("CTLSTORE_", absl::AsciiStrToUpper(name));
    const char* value = std::getenv(variable.c_str());
    if (value == nullptr) continue;
    absl::Status set = Set(flag, value, absl::StrCat("the environment variable ", variable));
    if (!set.ok()) return set;
  }
  return absl::OkStatus();
}

bool LooksLikeFlag(absl::string_view argument) {
  if (argument.size() < 2 || argument[0] != '-') return false;
  const auto next = static_cast<unsigned char>(argument[1]);
  return !absl::ascii_isdigit(next) && next != '.';
}

absl::Status UnknownFlag(const Command& command, const Flags& flags, absl::string_view name) {
  std::vector<std::string> names;
  for (const auto& [known, flag] : flags) names.push_back(known);
  const std::string nearest = NearestName(name, names);
  return UsageError(
      absl::StrCat("'ctlstore ", command.name, "' has no flag --", name,
                   nearest.empty() ? "" : absl::StrCat("; did you mean --", nearest, "?")));
}

// Paragraphs of `text`, broken at blanks.
std::string Wrapped(absl::string_view text) {
  std::string result;
  size_t column = 0;
  for (absl::string_view word : absl::StrSplit(text, absl::ByAnyChar(" \n"), absl::SkipEmpty())) {
    if (column == 0 || column + 1 + word.size() > kLineWidth) {
      absl::StrAppend(&result, column == 0 ? "" : "\n", kIndent, word);
      column = sizeof(kIndent) - 1 + word.size();
    } else {
      absl::StrAppend(&result, " ", word);
      column += 1 + word.size();
    }
  }
  return result;
}

}  // namespace

absl::StatusOr<ParsedArguments> ParseArguments(const Command& command,
                                               absl::Span<const std::string> arguments) {
  const Flags flags = FlagsOf(command);
  ParsedArguments parsed;
  for (const std::string& argument : arguments) {
    if (argument == "--") break;
    if (argument == "--help" || argument == "-h" || argument == "-help") {
      parsed.help = true;
      return parsed;
    }
  }
  absl::Status set = SetDefaults(command, flags);
  if (!set.ok()) return set;
  set = SetFromEnvironment(flags);
  if (!set.ok()) return set;

  bool only_positional = false;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    if (!only_positional && argument == "--") {
      only_positional = true;
      continue;
    }
    if (only_positional || !LooksLikeFlag(argument)) {
      parsed.positional.push_back(argument);
      continue;
    }
    const absl::string_view text =
        absl::string_view(argument).substr(absl::StartsWith(argument, "--") ? 2 : 1);
    const size_t equals = text.find('=');
    const std::string name(text.substr(0, equals));
    auto found = flags.find(name);
    std::string value;
    if (found == flags.end() && equals == text.npos && absl::StartsWith(name, "no")) {
      found = flags.find(name.substr(2));
      if (found != flags.end() && !found->second->IsOfType<bool>()) found = flags.end();
      value = "false";
    } else if (equals != text.npos) {
      value = std::string(text.substr(equals + 1));
    } else if (found != flags.end() && found->second->IsOfType<bool>()) {
      value = "true";
    } else if (found != flags.end()) {
      if (i + 1 == arguments.size()) {
        return UsageError(absl::StrCat("the flag --", name, " needs a value"));
      }
      value = arguments[++i];
    }
    if (found == flags.end()) return UnknownFlag(command, flags, name);
    set = Set(found->second, value, absl::StrCat("--", found->first));
    if (!set.ok()) return set;
  }
  return parsed;
}

std::string DescribeFlags(const Command& command) {
  std::string text;
  for (const auto& [name, flag] : FlagsOf(command)) {
    std::string value = flag->DefaultValue();
    for (const auto& [own, own_value] : command.flag_defaults) {
      if (own == name) value = own_value;
    }
    const bool quoted = flag->IsOfType<std::string>();
    absl::StrAppend(&text, "  --", name, " (default ", quoted ? "\"" : "", value,
                    quoted ? "\"" : "", ")\n", Wrapped(flag->Help()), "\n");
  }
  return text;
}

}  // namespace ctlstore::cli
