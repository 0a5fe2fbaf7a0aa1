// Reads control data from this host's local database. This is the header that applications include.
//
//   ctlstore::ldb::Reader reader;
//   absl::StatusOr<ctlstore::ldb::Row> row = reader.GetRow("geo", "countries", {"NZ"});
//   if (row.ok() && row->exists()) std::cout << *row->GetText("name") << "\n";
//
//   ctlstore::ldb::RowIterator rows = reader.ListRows("geo", "subdivisions", {"NZ"});
//   while (rows.Next()) std::cout << *rows.row().GetText("name") << "\n";
//   if (!rows.status().ok()) std::cerr << rows.status() << "\n";
//
// What a row is stands in row.h; rows as structs are in row_struct.h.

#ifndef CTLSTORE_COMMON_LDB_READER_H_
#define CTLSTORE_COMMON_LDB_READER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "absl/types/span.h"
#include "common/ldb/changes.h"
#include "common/ldb/row.h"
#include "common/schema/table_schema.h"
#include "common/schema/value.h"

namespace ctlstore::ldb {

class ReaderCore;
class Cursor;
class HeldState;

inline constexpr int64_t kNoLimit = -1;

struct ListOptions {
  // At most this many rows.
  int64_t limit = kNoLimit;
  // Where a whole key is given: only the rows behind it, to go on where an earlier list ended. It
  // has the prefix, and need not be a row's.
  absl::Span<const ValueView> after;
};

// Rows in key order (by their bytes), all of one state of the database. It must not outlive its
// reader, nor its snapshot where it comes from one. One thread at a time. Where it is not read to
// its end within ReaderOptions::max_hold, the state is let go of and it fails with ABORTED
// (SNAPSHOT_EXPIRED); `after` takes the list up again.
class RowIterator {
 public:
  RowIterator(RowIterator&&) noexcept;
  RowIterator& operator=(RowIterator&&) noexcept;
  ~RowIterator();

  // Goes to the first row, or to the next one. False at the end, and when something failed.
  bool Next();

  // Where Next() went; valid until it is called again.
  const RowView& row() const;
  OwnedRow Copy() const;
  // The row's whole key, for ListOptions::after.
  std::vector<Value> key() const;

  // OK, or why Next() returned false.
  const absl::Status& status() const;

 private:
  friend class ReaderCore;
  explicit RowIterator(std::unique_ptr<Cursor> cursor);
  std::unique_ptr<Cursor> cursor_;
};

// How current a local database is.
struct Position {
  // The last ledger sequence that is applied; 0 before the first.
  int64_t applied_sequence = 0;
  // When the ctldb took that entry.
  absl::optional<absl::Time> applied_entry_time;
  // The last heartbeat that has arrived.
  absl::optional<absl::Time> heartbeat_time;

  // How old the copy is at most: the time from the newest of the two to `now`, never negative.
  absl::optional<absl::Duration> Lag(absl::Time now) const;
};

// Several reads of one state of the database, which is that after some whole ledger transaction.
// Other reads go on to newer states meanwhile. Lasts at most ReaderOptions::max_hold, because the
// database's log cannot be emptied while it does; then calls fail with ABORTED (SNAPSHOT_EXPIRED).
// Must not outlive its reader. One thread at a time. Errors are the reader's.
class Snapshot {
 public:
  Snapshot(Snapshot&&) noexcept;
  Snapshot& operator=(Snapshot&&) noexcept;
  ~Snapshot();

  // The last ledger sequence that is applied in it.
  int64_t sequence() const;

  absl::StatusOr<Row> GetRow(absl::string_view family, absl::string_view table,
                             absl::Span<const ValueView> key);
  RowIterator ListRows(absl::string_view family, absl::string_view table,
                       absl::Span<const ValueView> key_prefix, const ListOptions& options = {});
  absl::StatusOr<TableSchema> GetTable(absl::string_view family, absl::string_view table);
  absl::StatusOr<std::vector<TableSchema>> ListTables();

  // What the ledger entries after `sequence` have changed, in ledger order, up to this state, or up
  // to about `max_changes`, and at least one entry's; `*reached` receives the sequence up to which
  // that is all. OUT_OF_RANGE (CHANGES_GONE) where changes after `sequence` are not kept any more,
  // or never were: anything may have changed.
  absl::StatusOr<std::vector<ChangeEvent>> ReadChanges(int64_t sequence, size_t max_changes,
                                                       int64_t* reached);
  // The sequence after which all changes are kept; nullopt where none are.
  absl::StatusOr<absl::optional<int64_t>> ChangesBegin();
  // What no other local database has, to tell whether it is the same one as before; empty where
  // another program has made it.
  absl::StatusOr<std::string> GetIdentity();

 private:
  friend class ReaderCore;
  explicit Snapshot(std::shared_ptr<HeldState> state);
  std::shared_ptr<HeldState> state_;
};

struct ReaderOptions {
  // Memory for rows that were read last, which answers most reads; 0 for none.
  size_t cache_bytes = size_t{64} << 20;
  // Memory that each thread's connection takes for pages of the file at most.
  size_t page_cache_bytes = size_t{16} << 20;
  // How long a snapshot or a list may hold one state of the database.
  absl::Duration max_hold = absl::Seconds(10);
};

struct ReaderStats {
  // GetRow calls that the row cache answered, and the others.
  int64_t cache_hits = 0;
  int64_t cache_misses = 0;
  int64_t cache_rows = 0;
  size_t cache_bytes = 0;
  size_t cache_max_bytes = 0;
  // Since the file or its freshness page was last opened.
  int64_t cache_evicted = 0;
  int64_t cache_invalidated = 0;
  int64_t cache_tables_invalidated = 0;
  // Connections to the file that are open now.
  int64_t connections = 0;
  // How often another file has taken the place of the one that was read.
  int64_t files_replaced = 0;
  // Whether the reflector's freshness page is used; without it nothing is cached.
  bool has_freshness_page = false;
};

// Reads one local database. Needs nothing but the file: no server, no network, no lock that the
// reflector holds. Each call sees the newest committed state, which is always the state of the
// system of record after some whole ledger transaction, and never an older one than a call before
// it, also when the file is replaced. Thread-safe; any number of processes. A child after fork()
// must open a reader of its own.
//
// Names are taken in any case. Errors of all calls:
//   UNAVAILABLE (LDB_UNAVAILABLE)      there is no local database (yet), or it cannot be read
//   NOT_FOUND (TABLE_NOT_FOUND)        it has no such table
//   INVALID_ARGUMENT (INVALID_KEY)     a key of the wrong length, or a value of the wrong kind
//   DATA_LOSS                          the file is damaged
//   FAILED_PRECONDITION (FORKED)       the reader was opened by the parent process
class Reader {
 public:
  // The file need not be there yet: calls are UNAVAILABLE until it is. Where the path is a folder,
  // the newest `ldb.db` in its folders that are named by 13 digits is read.
  explicit Reader(std::string path = DefaultPath(), const ReaderOptions& options = {});
  ~Reader();
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  // The row with this key: a value for each key field, in key order.
  absl::StatusOr<Row> GetRow(absl::string_view family, absl::string_view table,
                             absl::Span<const ValueView> key);

  // The rows whose key begins with these values; all rows for none.
  RowIterator ListRows(absl::string_view family, absl::string_view table,
                       absl::Span<const ValueView> key_prefix, const ListOptions& options = {});

  absl::StatusOr<TableSchema> GetTable(absl::string_view family, absl::string_view table);
  // All tables, sorted by family and name.
  absl::StatusOr<std::vector<TableSchema>> ListTables();

  // The newest state, for several reads.
  absl::StatusOr<Snapshot> GetSnapshot();

  absl::StatusOr<int64_t> GetSequence();
  absl::StatusOr<Position> GetPosition();

  // Returns once everything up to `sequence` is applied, as a Mutate's answer names it; also waits
  // for a local database that is not there yet. DEADLINE_EXCEEDED where it is not by `deadline`, or
  // UNAVAILABLE where there is no local database then.
  absl::Status WaitForSequence(int64_t sequence, absl::Time deadline);

  ReaderStats stats() const;
  const std::string& path() const;

  // `ldb.db` in the folder named by the environment variable CTLSTORE_PATH, or in
  // /var/spool/ctlstore.
  static std::string DefaultPath();

 private:
  std::unique_ptr<ReaderCore> core_;
};

}  // namespace ctlstore::ldb

#endif  // CTLSTORE_COMMON_LDB_READER_H_
