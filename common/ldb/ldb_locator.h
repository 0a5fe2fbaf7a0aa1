// Which file a reader's path means.

#ifndef CTLSTORE_COMMON_LDB_LDB_LOCATOR_H_
#define CTLSTORE_COMMON_LDB_LDB_LOCATOR_H_

#include <string>

namespace ctlstore::ldb {

// A local database is a file. Where it comes as whole files, one after the other, each is in a
// folder of its own, named by 13 digits of milliseconds, and the newest one counts (the Go
// ctlstore's "versioned" folders). Returns the path itself where it leads to a file or to nothing.
// Where it is a folder: the `ldb.db` in the newest such folder there. Where it leads to nothing,
// and a folder `versioned` stands beside it: the newest one there, if there is any.
std::string LocateLdb(const std::string& path);

}  // namespace ctlstore::ldb

#endif  // CTLSTORE_COMMON_LDB_LDB_LOCATOR_H_
