// Where a command keeps files while it works.

#ifndef CTLSTORE_CLI_WORK_FOLDER_H_
#define CTLSTORE_CLI_WORK_FOLDER_H_

#include <memory>
#include <string>
#include <utility>

#include "absl/flags/declare.h"
#include "absl/status/statusor.h"

ABSL_DECLARE_FLAG(std::string, work_folder);

namespace ctlstore::cli {

// From --work_folder, made where it is not there; what is in it stays for the next time. Without
// the flag a new folder in $TMPDIR or /tmp, which is removed with all that is in it at the end. Not
// thread-safe.
class WorkFolder {
 public:
  // UNAVAILABLE where it cannot be made.
  static absl::StatusOr<std::unique_ptr<WorkFolder>> FromFlags();
  ~WorkFolder();
  WorkFolder(const WorkFolder&) = delete;
  WorkFolder& operator=(const WorkFolder&) = delete;

  const std::string& path() const { return path_; }

 private:
  WorkFolder(std::string path, bool temporary) : path_(std::move(path)), temporary_(temporary) {}

  const std::string path_;
  const bool temporary_;
};

}  // namespace ctlstore::cli

#endif  // CTLSTORE_CLI_WORK_FOLDER_H_
