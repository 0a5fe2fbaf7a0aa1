#include "common/base/environment_flags.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iostream>

#include "absl/flags/commandlineflag.h"
#include "absl/flags/parse.h"
#include "absl/flags/reflection.h"
#include "absl/flags/usage.h"
#include "absl/flags/usage_config.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace ctlstore {
namespace {

constexpr int kUsageError = 2;

// Abseil ends the program itself, with status 1, also after it has shown the help. While this is
// set, the program ends with the status that it has instead.
int exit_status_while_parsing = 0;
bool parsing = false;

void ExitWithOwnStatus() {
  if (!parsing) return;
  std::cout.flush();
  std::cerr.flush();
  _exit(exit_status_while_parsing);
}

bool AsksForHelp(absl::string_view argument) {
  if (!absl::ConsumePrefix(&argument, "-")) return false;
  absl::ConsumePrefix(&argument, "-");
  return absl::StartsWith(argument, "help") || argument == "version";
}

// Our sources are compiled with paths relative to the workspace; libraries' flags have others.
bool IsOwnFile(absl::string_view file) {
  for (absl::string_view folder :
       {"common/", "executive/", "reflector/", "sidecar/", "supervisor/", "heartbeat/", "cli/"}) {
    if (absl::StartsWith(file, folder) || absl::StrContains(file, absl::StrCat("/", folder))) {
      return true;
    }
  }
  return false;
}

}  // namespace

std::vector<std::string> ParseFlags(absl::string_view usage, int argc, char** argv) {
  absl::SetProgramUsageMessage(usage);
  absl::FlagsUsageConfig config;
  config.contains_helpshort_flags = IsOwnFile;
  config.contains_help_flags = IsOwnFile;
  absl::SetFlagsUsageConfig(config);

  for (const auto& [name, flag] : absl::GetAllFlags()) {
    if (!IsOwnFile(flag->Filename())) continue;
    const std::string variable = absl::StrCat("CTLSTORE_", absl::AsciiStrToUpper(name));
    const char* value = std::getenv(variable.c_str());
    std::string error;
    if (value != nullptr && !flag->ParseFrom(value, &error)) {
      std::cerr << "The environment variable " << variable << " is not valid: " << error << "\n";
      std::exit(kUsageError);
    }
  }
  exit_status_while_parsing = std::any_of(argv + 1, argv + argc, AsksForHelp) ? 0 : kUsageError;
  parsing = true;
  std::atexit(ExitWithOwnStatus);
  std::vector<char*> rest = absl::ParseCommandLine(argc, argv);
  parsing = false;
  return std::vector<std::string>(rest.begin() + 1, rest.end());
}

absl::StatusOr<std::string> ReadSecret(const std::string& path, const char* variable) {
  if (path.empty()) {
    const char* value = std::getenv(variable);
    return std::string(value == nullptr ? "" : value);
  }
  std::ifstream file(path, std::ios::binary);
  std::string secret;
  // Characters are taken one by one, because only that sets the stream's state where reading fails,
  // as it does on a folder.
  for (char c; file.get(c);) secret.push_back(c);
  if (!file.eof() || file.bad()) {
    return absl::InvalidArgumentError(absl::StrCat("cannot read the file ", path));
  }
  while (!secret.empty() && (secret.back() == '\n' || secret.back() == '\r')) secret.pop_back();
  return secret;
}

}  // namespace ctlstore
