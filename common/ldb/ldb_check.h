// Looks whether a local database is whole.

#ifndef CTLSTORE_COMMON_LDB_LDB_CHECK_H_
#define CTLSTORE_COMMON_LDB_LDB_CHECK_H_

#include <functional>
#include <string>

#include "absl/status/status.h"

namespace ctlstore::ldb {

// Reads all of the local database at `path`, table by table, each in a read transaction of its own,
// so that the WAL can be emptied in between. May run beside the writer. OK where it is whole;
// DATA_LOSS with the first finding; UNAVAILABLE where it cannot be read; CANCELLED soon after
// `cancelled` (which may be called from any thread and often) says so.
//
// Finds pages that are no pages of a B-tree, rows and keys out of order, rows that are missing in
// the index of their keys or in the table, and data behind the file's end. Does not see a changed
// byte inside a value, or in a key that stays in order (the comparison with the ctldb does); a page
// that two tables claim, unless that shows in one of them; and damage in the list of free pages,
// which only the writer meets.
absl::Status CheckLdb(const std::string& path, const std::function<bool()>& cancelled);

// The structure of the B-trees alone, for a file that has the right digest: what an entry of an
// index is of is not looked at. Takes less than half as long, and several tables at a time on
// `threads` connections. Not while another one writes the file. Otherwise as CheckLdb().
absl::Status CheckLdbTrees(const std::string& path, int threads,
                           const std::function<bool()>& cancelled);

}  // namespace ctlstore::ldb

#endif  // CTLSTORE_COMMON_LDB_LDB_CHECK_H_
