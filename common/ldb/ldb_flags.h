// The flag that says where this host's local database is.

#ifndef CTLSTORE_COMMON_LDB_LDB_FLAGS_H_
#define CTLSTORE_COMMON_LDB_LDB_FLAGS_H_

#include <string>

#include "absl/flags/declare.h"

// Linking this library adds the flag to a program.
ABSL_DECLARE_FLAG(std::string, ldb);

namespace ctlstore::ldb {

// --ldb, or Reader::DefaultPath() where the flag is empty. To be called after the flags are parsed.
std::string LdbPathFromFlags();

}  // namespace ctlstore::ldb

#endif  // CTLSTORE_COMMON_LDB_LDB_FLAGS_H_
