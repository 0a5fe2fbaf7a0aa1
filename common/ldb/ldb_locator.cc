#include "common/ldb/ldb_locator.h"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "absl/strings/ascii.h"
#include "absl/strings/string_view.h"

namespace ctlstore::ldb {
namespace {

constexpr size_t kVersionDigits = 13;
constexpr char kFileName[] = "ldb.db";
constexpr char kVersionedFolder[] = "versioned";

bool IsVersion(absl::string_view name) {
  return name.size() == kVersionDigits &&
         std::all_of(name.begin(), name.end(), absl::ascii_isdigit);
}

// The newest file in the folders of `folder`; empty where there is none.
std::string Newest(const std::filesystem::path& folder) {
  std::string newest;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    std::error_code ignored;
    // A folder counts when its file is there.
    if (IsVersion(name) && name > newest &&
        std::filesystem::is_regular_file(entry->path() / kFileName, ignored)) {
      newest = name;
    }
  }
  return newest.empty() ? newest : (folder / newest / kFileName).string();
}

}  // namespace

std::string LocateLdb(const std::string& path) {
  struct stat file;
  if (stat(path.c_str(), &file) == 0) {
    if (!S_ISDIR(file.st_mode)) return path;
    const std::string newest = Newest(path);
    return newest.empty() ? path : newest;
  }
  const std::string newest = Newest(std::filesystem::path(path).parent_path() / kVersionedFolder);
  return newest.empty() ? path : newest;
}

}  // namespace ctlstore::ldb
