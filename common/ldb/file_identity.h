// Whether a path still leads to the same file.

#ifndef CTLSTORE_COMMON_LDB_FILE_IDENTITY_H_
#define CTLSTORE_COMMON_LDB_FILE_IDENTITY_H_

#include <sys/types.h>

#include <string>

#include "absl/types/optional.h"

namespace ctlstore::ldb {

// Which file a path leads to. No other file gets the same identity while this one is held open.
struct FileIdentity {
  dev_t device = 0;
  ino_t inode = 0;

  friend bool operator==(const FileIdentity& a, const FileIdentity& b) {
    return a.device == b.device && a.inode == b.inode;
  }
  friend bool operator!=(const FileIdentity& a, const FileIdentity& b) { return !(a == b); }
};

// nullopt where there is no such file.
absl::optional<FileIdentity> IdentityOf(const std::string& path);

}  // namespace ctlstore::ldb

#endif  // CTLSTORE_COMMON_LDB_FILE_IDENTITY_H_
