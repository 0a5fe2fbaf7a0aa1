// How the WAL of a local database is.

#ifndef CTLSTORE_COMMON_LDB_WAL_STATUS_H_
#define CTLSTORE_COMMON_LDB_WAL_STATUS_H_

#include <sys/types.h>

#include <cstdint>

#include "absl/time/time.h"
#include "absl/types/optional.h"

namespace ctlstore::ldb {

struct WalStatus {
  // The size of the file.
  int64_t bytes = 0;
  // Checkpoints since the local database was opened: those that emptied the WAL, those that a
  // reader kept from it, and those that failed.
  int64_t checkpoints = 0;
  int64_t blocked_checkpoints = 0;
  int64_t failed_checkpoints = 0;
  // The first one that was blocked since the WAL was last emptied, and by which process (the one
  // with the lowest number), where the system tells.
  absl::optional<absl::Time> blocked_since;
  absl::optional<pid_t> blocked_by;
  // How long the last checkpoint took, with the wait for readers.
  absl::Duration last_checkpoint;
};

}  // namespace ctlstore::ldb

#endif  // CTLSTORE_COMMON_LDB_WAL_STATUS_H_
