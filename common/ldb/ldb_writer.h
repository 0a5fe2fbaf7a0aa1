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
#include "absl/types/span.h"
#include "common/schema/ledger_entry.h"

namespace ctlstore::ldb {

// The only writer of one local database (LDB). Applies whole ledger transactions, many to one
// SQLite transaction, with the position in the same transaction: at any moment, and after any
// crash, the file is the state after some whole ledger transaction. The file's format is in
// docs/formats.md.
//
// Holds an exclusive lock on `<path>.lock` while it lives. Checkpoints in turn with its own
// transactions, and is the only one that does. Not thread-safe.
class LdbWriter {
 public:
  struct Options {
    // The WAL is moved into the database after a transaction that leaves it larger than this.
    int64_t checkpoint_wal_bytes = int64_t{8} << 20;
    // A ledger transaction that is still without its end at this size is given up as broken.
    size_t max_open_transaction_bytes = size_t{128} << 20;
  };

  // Opens the LDB, or creates it with its folder. FAILED_PRECONDITION where another process (which
  // it names) writes it; DATA_LOSS where it is damaged.
  static absl::StatusOr<std::unique_ptr<LdbWriter>> Open(const std::string& path,
                                                         const Options& options);
  ~LdbWriter();
  LdbWriter(const LdbWriter&) = delete;
  LdbWriter& operator=(const LdbWriter&) = delete;

  // The last sequence that is committed here; 0 for a new LDB.
  int64_t applied_sequence() const;

  // The last sequence that was taken, which is further than the applied one while a ledger
  // transaction is without its end. What is to be given to Apply() next comes after this.
  int64_t received_sequence() const;

  // How much was committed here since Open().
  struct Applied {
    int64_t entries = 0;
    // Ledger transactions; an entry without markers around it is one.
    int64_t transactions = 0;
  };
  Applied applied() const;

  // Takes entries in ledger order, all of them after received_sequence(), and commits the ledger
  // transactions that are complete with them; the rest waits in memory for its end. On an error
  // only the ledger transactions before the one that failed are committed (none where the entries
  // are not in order), and what was waiting is forgotten: go on after applied_sequence().
  //   INVALID_ARGUMENT     the entries' order, or the markers of a ledger transaction, are wrong.
  //   FAILED_PRECONDITION, INTERNAL  a statement fails, or must not be in a ledger; the message
  //                        names its sequence, not its values. FAILED_PRECONDITION also where
  //                        another program has written to the file, or put another in its place.
  //   UNAVAILABLE          the file cannot be written.
  //   RESOURCE_EXHAUSTED   the disk is full.
  //   DATA_LOSS            the file is damaged.
  absl::Status Apply(absl::Span<const LedgerEntry> entries);

  // Moves the WAL into the database now, as far as readers let it.
  absl::Status Checkpoint();

 private:
  class Impl;
  explicit LdbWriter(std::unique_ptr<Impl> impl);
  const std::unique_ptr<Impl> impl_;
};

}  // namespace ctlstore::ldb

#endif  // CTLSTORE_COMMON_LDB_LDB_WRITER_H_
