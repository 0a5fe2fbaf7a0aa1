// Applies the ledger to the local database.

#ifndef CTLSTORE_COMMON_LDB_LDB_WRITER_H_
#define CTLSTORE_COMMON_LDB_LDB_WRITER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "absl/types/span.h"
#include "common/base/clock.h"
#include "common/ldb/changes.h"
#include "common/ldb/wal_status.h"
#include "common/schema/ledger_entry.h"
#include "common/schema/ledger_position.h"

namespace ctlstore::ldb {

// The only writer of one local database (LDB). Applies whole ledger transactions, many to one
// SQLite transaction, with the position and the history of changes in the same transaction: at any
// moment, and after any crash, the file is the state after some whole ledger transaction. The
// file's format is in docs/formats.md.
//
// Holds an exclusive lock on `<path>.lock` while it lives. Checkpoints in turn with its own
// transactions, and is the only one that does. Keeps the freshness page beside the file; where that
// cannot be written, goes on without it. Not thread-safe, but for wal().
class LdbWriter {
 public:
  struct Options {
    // The WAL is moved into the database after a transaction that leaves it larger than this.
    int64_t checkpoint_wal_bytes = int64_t{8} << 20;
    // Nothing more is applied while the WAL is larger than this and a reader keeps it from being
    // emptied.
    int64_t max_wal_bytes = int64_t{2} << 30;
    // A ledger transaction that is still without its end at this size is given up as broken.
    size_t max_open_transaction_bytes = size_t{128} << 20;
    // A SQLite transaction is committed at the end of the ledger transaction with which it passes
    // any of these; bytes are those of the entries.
    size_t max_commit_entries = 10000;
    size_t max_commit_bytes = size_t{16} << 20;
    absl::Duration max_commit_time = absl::Milliseconds(200);
    // The families that are kept, all where empty. What the ledger says of others is gone over.
    std::vector<std::string> families;
    // How much of what the last commits changed is kept in the LDB (change_history.h), about; 0 for
    // nothing.
    int64_t change_history_bytes = int64_t{16} << 20;
    // Told of each commit. Must outlive the writer.
    std::vector<ChangeListener*> listeners;
    // How long a reader may keep the WAL from being emptied before it is logged.
    absl::Duration warn_reader_after = absl::Seconds(10);
    // Must outlive the writer.
    Clock* clock = Clock::Real();
    // False where the caller holds a lock that keeps other writers away: then Open() takes none.
    bool lock = true;
  };

  // Opens the LDB, or creates it with its folder. FAILED_PRECONDITION where another process (which
  // it names) writes it, or where it was made for other families (FAMILIES_DIFFER); an LDB that
  // does not say for which ones has all. INVALID_ARGUMENT for names that no family has; DATA_LOSS
  // where it is damaged; UNAVAILABLE, RESOURCE_EXHAUSTED as in Apply().
  static absl::StatusOr<std::unique_ptr<LdbWriter>> Open(const std::string& path,
                                                         const Options& options);
  ~LdbWriter();
  LdbWriter(const LdbWriter&) = delete;
  LdbWriter& operator=(const LdbWriter&) = delete;

  // The last entry that is committed here; sequence 0 for a new LDB. The digest is empty where
  // another program has written the last one.
  const LedgerPosition& applied_position() const;
  int64_t applied_sequence() const { return applied_position().sequence; }

  // The last entry that was taken, which is further than the applied one while a ledger transaction
  // is without its end. What is to be given to Apply() next comes after this.
  LedgerPosition received_position() const;
  int64_t received_sequence() const;

  // 16 bytes that no other local database has.
  const std::string& identity() const;

  // How much was committed here since Open(), with what was gone over.
  struct Applied {
    int64_t entries = 0;
    // Ledger transactions; an entry without markers around it is one.
    int64_t transactions = 0;
    // SQLite transactions.
    int64_t commits = 0;
  };
  Applied applied() const;

  // Takes entries in ledger order, all of them after received_sequence(), and commits the ledger
  // transactions that are complete with them; the rest waits in memory for its end. On an error the
  // ledger transactions before the one that failed are committed (none where the entries are not in
  // order; only some where the file could not be written), and what was waiting is forgotten: go on
  // after applied_position().
  //   FAILED_PRECONDITION, INTERNAL, INVALID_ARGUMENT with ENTRY_FAILED: an entry cannot be
  //                        applied, see failed_sequence(); the message does not show its values.
  //                        INVALID_ARGUMENT where the markers of a ledger transaction do not fit,
  //                        or where it cannot be told which family a statement is for.
  //   INVALID_ARGUMENT     without a reason: the entries are not in order.
  //   FAILED_PRECONDITION  with LDB_REPLACED: the path leads to another file, or to none, or
  //                        another program has written to the file.
  //   RESOURCE_EXHAUSTED   with WAL_FULL: see max_wal_bytes. Without a reason: the disk is full.
  //   UNAVAILABLE          the file cannot be written.
  //   DATA_LOSS            the file is damaged.
  // After the last three kinds the next call opens the file anew.
  absl::Status Apply(absl::Span<const LedgerEntry> entries);

  // The entry at which the last Apply() failed with ENTRY_FAILED; nullopt after all else. Of a
  // ledger transaction that is too large without its end it is the first one.
  absl::optional<int64_t> failed_sequence() const;

  // Makes Apply() go over the entry with this sequence, be it a statement or a marker, as if it
  // were not there; the LDB remembers it with the commit that passes it (`_ldb_skipped`). What
  // waits for its end is forgotten: go on after applied_position(). Where no such entry comes, this
  // has no effect.
  void SkipEntry(int64_t sequence);
  // Entries ever skipped in this LDB.
  int64_t skipped_entries() const;

  // How the WAL is. Thread-safe.
  using Wal = WalStatus;
  Wal wal() const;

  // To be called every second or so while nothing is applied: checkpoints what a reader was in the
  // way of, or what has been in the WAL for some seconds, so that readers find a short one, and
  // gives back memory that is not needed when idle. Errors as in Apply(), none of an entry.
  absl::Status Idle();

  // Moves the WAL into the database now, as far as readers let it.
  absl::Status Checkpoint();

 private:
  class Impl;
  explicit LdbWriter(std::unique_ptr<Impl> impl);
  const std::unique_ptr<Impl> impl_;
};

}  // namespace ctlstore::ldb

#endif  // CTLSTORE_COMMON_LDB_LDB_WRITER_H_
