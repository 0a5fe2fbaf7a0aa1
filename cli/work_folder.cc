#include "cli/work_folder.h"

#include <stdlib.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "absl/flags/flag.h"
#include "absl/memory/memory.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

ABSL_FLAG(std::string, work_folder, "",
          "Where files are kept while the command works: as large as the local database. What is "
          "fetched stays there for the next time. Empty: a new folder in $TMPDIR or /tmp, removed "
          "at the end.");

namespace ctlstore::cli {

absl::StatusOr<std::unique_ptr<WorkFolder>> WorkFolder::FromFlags() {
  const std::string named = absl::GetFlag(FLAGS_work_folder);
  if (!named.empty()) {
    std::error_code error;
    std::filesystem::create_directories(named, error);
    if (error) {
      return absl::UnavailableError(
          absl::StrCat("the folder ", named, " cannot be made: ", error.message()));
    }
    return absl::WrapUnique(new WorkFolder(named, /*temporary=*/false));
  }
  const char* const temporary = std::getenv("TMPDIR");
  std::string path = absl::StrCat(temporary == nullptr || *temporary == '\0' ? "/tmp" : temporary,
                                  "/ctlstore-XXXXXX");
  if (mkdtemp(path.data()) == nullptr) {
    return absl::UnavailableError(
        absl::StrCat("a folder ", path, " cannot be made: ", std::strerror(errno)));
  }
  return absl::WrapUnique(new WorkFolder(path, /*temporary=*/true));
}

WorkFolder::~WorkFolder() {
  std::error_code ignored;
  if (temporary_) std::filesystem::remove_all(path_, ignored);
}

}  // namespace ctlstore::cli
