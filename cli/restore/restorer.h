// Fills a ctldb that was lost from a local database.

#ifndef CTLSTORE_CLI_RESTORE_RESTORER_H_
#define CTLSTORE_CLI_RESTORE_RESTORER_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/ctldb/connection.h"
#include "common/ctldb/target.h"

namespace ctlstore::cli {

struct RestoreProgress {
  enum class Stage { kCopying, kComparing };
  Stage stage = Stage::kCopying;
  // "family.table"; empty at the stage's end.
  std::string table;
  size_t tables_done = 0;
  size_t tables = 0;
  // Of all tables together, in this stage.
  int64_t rows = 0;
};

struct RestoreOptions {
  // A fetched snapshot, or any LDB that holds all families.
  std::string ldb_path;
  ctldb::Target ctldb;
  ctldb::ConnectionOptions connection;
  // How far the ledger goes on behind the LDB's position; larger than the number of entries that
  // were lost. At least 2.
  int64_t sequence_jump = 1000000;
  // Goes on with a restore that did not come to its end, be it of this LDB or of another one.
  bool resume = false;
  // Rows are written so many at a time, or as many as have this many bytes.
  size_t batch_rows = 5000;
  size_t batch_bytes = size_t{4} << 20;
  // Told at each batch, from the caller's thread. May be empty.
  std::function<void(const RestoreProgress&)> on_progress;
  // Asked at each batch and each table: ends it, with CANCELLED. May be empty.
  std::function<bool()> cancelled;
  // Called at named points, for tests that die there: an error leaves what a crash would. In order:
  // "checked", "claimed", "cleared", for each table "created" and for each batch "inserted",
  // "copied", "families", "compared", "finished".
  std::function<absl::Status(absl::string_view point)> fault_point;
};

struct RestoreResult {
  // The LDB's position, which is that of the snapshot.
  int64_t snapshot_sequence = 0;
  // The ledger's entries.
  int64_t first_sequence = 0;
  int64_t last_sequence = 0;
  size_t families = 0;
  size_t tables = 0;
  int64_t rows = 0;
};

// OK where Restore() would take the ctldb as it is now; only reads it. FAILED_PRECONDITION says
// what is there; UNAVAILABLE where it cannot be reached.
absl::Status CheckRestoreTarget(const RestoreOptions& options);

// Makes the ctldb's own tables, the families and their tables as an executive makes them, copies
// the rows, reads all of them back and compares them, value by value. Only then the ledger gets two
// entries that change nothing, one behind the LDB's position and one `sequence_jump` behind it. So
// a host that is exactly at the LDB's position goes on with the first one; a host that had more of
// the lost ledger finds neither its own entry nor the one behind it (LEDGER_PRUNED), or another one
// (LEDGER_DIVERGED), and comes back by a snapshot, at a position above the one that it had.
//
// Until then the ctldb is marked as unfinished, which executives refuse. After any error or crash
// it can be done again with `resume`: tables that are equal stay, all others are made anew.
//   FAILED_PRECONDITION  the ctldb is not empty, is marked and `resume` is not set, or the LDB is
//                        not fit for it; INVALID_ARGUMENT for the jump: nothing was changed.
//   ABORTED              another process has taken up the restore.
//   CANCELLED            `cancelled` has said so.
//   DATA_LOSS            the LDB is damaged, or the ctldb holds something else than was written.
//   NOT_FOUND            there is no LDB. UNAVAILABLE: one of the two cannot be reached.
absl::StatusOr<RestoreResult> Restore(const RestoreOptions& options);

}  // namespace ctlstore::cli

#endif  // CTLSTORE_CLI_RESTORE_RESTORER_H_
