// A file that lives as long as its object, for tests.

#ifndef CTLSTORE_CLI_IMPORT_TEMPORARY_FILE_H_
#define CTLSTORE_CLI_IMPORT_TEMPORARY_FILE_H_

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace ctlstore::cli {

class TemporaryFile {
 public:
  explicit TemporaryFile(absl::string_view content, absl::string_view ending = ".txt") {
    static std::atomic<int> count{0};
    path_ = absl::StrCat(testing::TempDir(), "/import-", getpid(), "-", ++count, ending);
    std::ofstream(path_, std::ios::binary) << content;
  }
  ~TemporaryFile() { unlink(path_.c_str()); }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace ctlstore::cli

#endif  // CTLSTORE_CLI_IMPORT_TEMPORARY_FILE_H_
