#include "common/ldb/file_identity.h"

#include <sys/stat.h>

namespace ctlstore::ldb {

absl::optional<FileIdentity> IdentityOf(const std::string& path) {
  struct stat file;
  if (stat(path.c_str(), &file) != 0) return absl::nullopt;
  return FileIdentity{file.st_dev, file.st_ino};
}

}  // namespace ctlstore::ldb
