#include "cli/confirmation.h"

#include <unistd.h>

#include <iostream>
#include <string>

#include "absl/flags/flag.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "cli/exit_status.h"

ABSL_FLAG(bool, yes, false, "Do it without asking first.");

namespace ctlstore::cli {

absl::Status Confirm(absl::string_view what) {
  return ConfirmAt(what, absl::GetFlag(FLAGS_yes), isatty(STDIN_FILENO) != 0, std::cin, std::cerr);
}

absl::Status ConfirmAt(absl::string_view what, bool yes, bool terminal, std::istream& in,
                       std::ostream& out) {
  if (yes) return absl::OkStatus();
  if (!terminal) {
    return UsageError(absl::StrCat(
        "this ", what, ", and there is no terminal to ask at; --yes says that it is meant"));
  }
  out << "This " << what << ". Type yes to go on: " << std::flush;
  std::string answer;
  std::getline(in, answer);
  if (absl::AsciiStrToLower(absl::StripAsciiWhitespace(answer)) == "yes") return absl::OkStatus();
  return absl::AbortedError("the answer was not yes; nothing was changed");
}

}  // namespace ctlstore::cli
