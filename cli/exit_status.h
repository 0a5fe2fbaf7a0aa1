// What the program's exit status means, and how errors are shown.

#ifndef CTLSTORE_CLI_EXIT_STATUS_H_
#define CTLSTORE_CLI_EXIT_STATUS_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace ctlstore::cli {

// Part of the program's interface, like its flags.
enum ExitStatus : int {
  kExitOk = 0,
  // The server, the disk or the network failed.
  kExitFailed = 1,
  // The command line itself is wrong.
  kExitUsage = 2,
  // The row, table, family, writer, limit or file is not there.
  kExitNotFound = 3,
  // The input or the credentials were refused, or a limit or a setting of the server forbids it;
  // nothing was changed.
  kExitRefused = 4,
  // The server cannot be reached or asks to come back later.
  kExitUnavailable = 5,
  // What was compared is not the same.
  kExitDiffers = 6,
};

// The same for --help, a line each.
std::string DescribeExitStatuses();

// An error of the command line: exit status 2 and a hint at --help.
absl::Status UsageError(absl::string_view message);
bool IsUsageError(const absl::Status& status);

// The exit status for what a command returned.
int ExitStatusFor(const absl::Status& status);

// An error in a few lines: the message, then the field and the reason where the error has them.
//
//   ctlstore: table geo.cities does not exist
//     reason: TABLE_NOT_FOUND
std::string DescribeError(const absl::Status& status);

}  // namespace ctlstore::cli

#endif  // CTLSTORE_CLI_EXIT_STATUS_H_
