// Running a program in a test.

#ifndef CTLSTORE_CLI_SUBPROCESS_H_
#define CTLSTORE_CLI_SUBPROCESS_H_

#include <sys/types.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace ctlstore::cli {

// A program that runs from construction until it ends or this is destroyed, which kills it. Its
// output goes to files in `folder`. Variables of `environment` are added to the test's own. Not
// thread-safe.
class Subprocess {
 public:
  Subprocess(const std::string& folder, const std::vector<std::string>& arguments,
             absl::string_view input = "",
             const std::vector<std::pair<std::string, std::string>>& environment = {});
  ~Subprocess();
  Subprocess(const Subprocess&) = delete;
  Subprocess& operator=(const Subprocess&) = delete;

  // What it has written so far.
  std::string output() const;
  std::string errors() const;

  // Waits until its output holds `text`. False where it ended before, or the time is over.
  bool WaitForOutput(absl::string_view text, absl::Duration timeout);

  void Signal(int signal);

  // Waits for its end and returns the exit status; 128 and the signal's number where a signal ended
  // it, -1 where the time is over.
  int WaitForExit(absl::Duration timeout);

  pid_t pid() const { return pid_; }

 private:
  bool Ended();

  std::string base_;
  pid_t pid_ = -1;
  bool ended_ = false;
  int exit_status_ = -1;
};

}  // namespace ctlstore::cli

#endif  // CTLSTORE_CLI_SUBPROCESS_H_
