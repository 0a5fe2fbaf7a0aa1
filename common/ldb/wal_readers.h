// Who reads a local database at the moment.

#ifndef CTLSTORE_COMMON_LDB_WAL_READERS_H_
#define CTLSTORE_COMMON_LDB_WAL_READERS_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace ctlstore::ldb {

// The processes, other than this one, that hold a read transaction on the local database's WAL, as
// far as the system tells: from /proc/locks, because to ask by a file descriptor of our own would
// give up SQLite's locks of this process when it is closed. `ldb_path` may be a symbolic link.
// Empty where nothing is known; processes outside of this one's PID namespace are left out.
std::vector<pid_t> WalReaders(const std::string& ldb_path);

// The same for given contents of /proc/locks: the processes that lock a byte of the -shm file
// (`device`, `inode`) that stands for a reader (https://sqlite.org/walformat.html#wal_locks).
std::vector<pid_t> WalReadersIn(absl::string_view proc_locks, dev_t device, ino_t inode);

}  // namespace ctlstore::ldb

#endif  // CTLSTORE_COMMON_LDB_WAL_READERS_H_
