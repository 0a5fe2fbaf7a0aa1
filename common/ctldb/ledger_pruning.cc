#include "common/ctldb/ledger_pruning.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/ctldb/connection_errors.h"

namespace ctlstore::ctldb {
namespace {

// How many entries one query looks at: it is answered in well under the shortest patience that
// anybody has with a statement.
constexpr int64_t kEntriesPerQuery = 50000;
// Most transactions are short, so their ends are near.
constexpr int64_t kFirstEntriesForEnd = 200;

constexpr char kNewestUpTo[] =
    "SELECT seq, leader_ts < ? FROM ctlstore_dml_ledger WHERE seq > ? AND seq <= ? "
    "ORDER BY seq DESC LIMIT 1";

constexpr char kCountAndYoung[] =
    "SELECT COUNT(*), COALESCE(MAX(seq), 0), "
    "COALESCE(MIN(CASE WHEN leader_ts < ? THEN NULL ELSE seq END), 0) "
    "FROM (SELECT seq, leader_ts FROM ctlstore_dml_ledger WHERE seq >= ? AND seq <= ? "
    "ORDER BY seq LIMIT ?) entries";

// Backward, because the end of the last transaction is near the end.
constexpr char kMarkers[] =
    "SELECT COUNT(*), COALESCE(MIN(seq), 0), COALESCE(MAX(seq), 0), "
    "COALESCE(MAX(CASE WHEN marker = '--- BEGIN' THEN seq END), 0), "
    "COALESCE(MAX(CASE WHEN marker = '--- COMMIT' THEN seq END), 0) "
    "FROM (SELECT seq, SUBSTR(statement, 1, 11) AS marker FROM ctlstore_dml_ledger "
    "WHERE seq >= ? AND seq <= ? ORDER BY seq DESC LIMIT ?) entries";

constexpr char kLastUpTo[] =
    "SELECT COALESCE(MAX(seq), 0) FROM ctlstore_dml_ledger WHERE seq >= ? AND seq <= ?";

// One character more than the longest marker has.
constexpr char kOldest[] =
    "SELECT seq, LENGTH(statement), SUBSTR(statement, 1, 11) FROM ctlstore_dml_ledger "
    "WHERE seq >= ? AND seq <= ? ORDER BY seq LIMIT ?";

constexpr char kRemove[] = "DELETE FROM ctlstore_dml_ledger WHERE seq >= ? AND seq <= ?";

// The ledger's times are UTC. Entries of this second count as younger, whether they have a fraction
// or not.
std::string LedgerTime(absl::Time time) {
  return absl::FormatTime("%Y-%m-%d %H:%M:%S", time, absl::UTCTimeZone());
}

absl::Status CheckGoesOn(const Cancelled& cancelled) {
  if (cancelled && cancelled()) return absl::CancelledError("the pruning was ended");
  return absl::OkStatus();
}

absl::Status IgnoreRow(absl::Span<const ValueView>) { return absl::OkStatus(); }

// A query whose only row has one integer.
absl::StatusOr<int64_t> QueryInteger(Connection* connection, absl::string_view sql,
                                     absl::Span<const ValueView> parameters) {
  int64_t value = 0;
  absl::Status status =
      connection->Query(sql, parameters, [&value](absl::Span<const ValueView> row) {
        value = row[0].is_null() ? 0 : row[0].integer();
        return absl::OkStatus();
      });
  if (!status.ok()) return status;
  return value;
}

struct Scanned {
  int64_t entries = 0;
  int64_t last = 0;
  // 0 for none.
  int64_t first_young = 0;
};

absl::StatusOr<Scanned> Scan(Connection* connection, int64_t first, int64_t through,
                             const std::string& before) {
  Scanned scanned;
  absl::Status status =
      connection->Query(kCountAndYoung, {before, first, through, kEntriesPerQuery},
                        [&scanned](absl::Span<const ValueView> row) {
                          scanned.entries = row[0].integer();
                          scanned.last = row[1].integer();
                          scanned.first_young = row[2].integer();
                          return absl::OkStatus();
                        });
  if (!status.ok()) return status;
  return scanned;
}

// What RemoveBatch() takes of the rows that it is shown.
class BatchRange {
 public:
  BatchRange(size_t max_entries, size_t max_bytes)
      : max_entries_(max_entries), max_bytes_(max_bytes) {}

  // False where it has enough without this one.
  bool Take(int64_t sequence, int64_t bytes, absl::string_view marker) {
    if (end_ != 0 && (entries_ >= max_entries_ || bytes_ >= max_bytes_)) return false;
    ++entries_;
    bytes_ += static_cast<size_t>(std::max<int64_t>(bytes, 0));
    if (marker == kBeginMarker) within_ = true;
    if (marker == kCommitMarker) within_ = false;
    if (!within_) end_ = sequence;
    return true;
  }

  // The last transaction's end; 0 where none has ended.
  int64_t end() const { return end_; }

 private:
  const size_t max_entries_;
  const size_t max_bytes_;
  size_t entries_ = 0;
  size_t bytes_ = 0;
  bool within_ = false;
  int64_t end_ = 0;
};

// The end of the transactions that a batch removes; 0 where there is none.
absl::StatusOr<int64_t> FindBatchEnd(Connection* connection, int64_t first, int64_t through,
                                     size_t max_entries, size_t max_bytes) {
  // More are asked for where the first transaction is larger than a batch.
  for (size_t limit = std::max<size_t>(max_entries, 1);; limit *= 2) {
    BatchRange range(max_entries, max_bytes);
    size_t rows = 0;
    bool enough = false;
    absl::Status status =
        connection->Query(kOldest, {first, through, static_cast<int64_t>(limit)},
                          [&](absl::Span<const ValueView> row) -> absl::Status {
                            ++rows;
                            enough = !range.Take(row[0].integer(), row[1].integer(), row[2].data());
                            return enough ? absl::CancelledError() : absl::OkStatus();
                          });
    if (!status.ok() && !enough) return status;
    if (range.end() != 0 || rows < limit) return range.end();
  }
}

absl::StatusOr<int64_t> RemoveRange(Connection* connection, int64_t first, int64_t through) {
  // Takes effect with the next transaction, and for that one only.
  const absl::string_view only_rows = connection->dialect().LockOnlyRows();
  if (!only_rows.empty()) {
    absl::StatusOr<int64_t> set = connection->Execute(only_rows);
    if (!set.ok()) return set.status();
  }
  absl::Status status = connection->BeginWrite();
  if (!status.ok()) return status;
  absl::StatusOr<int64_t> removed = connection->Execute(kRemove, {first, through});
  if (removed.ok()) status = connection->Commit();
  connection->Rollback();
  if (!status.ok()) return status;
  return removed;
}

}  // namespace

absl::StatusOr<std::unique_ptr<PruneLock>> PruneLock::Take(const Target& target,
                                                           Connection* connection) {
  constexpr absl::string_view kTaken = "the ledger is being pruned already";
  const std::string take = connection->dialect().TakePruneLock();
  if (!take.empty()) {
    absl::StatusOr<int64_t> had = QueryInteger(connection, take, {});
    if (!had.ok()) return had.status();
    if (*had != 1) return DatabaseBusy(absl::StrCat(kTaken, ", by another executive"));
    return std::unique_ptr<PruneLock>(new PruneLock(connection, nullptr));
  }
  absl::StatusOr<std::unique_ptr<FileLock>> file =
      FileLock::Open(absl::StrCat(target.path, ".prune.lock"));
  if (!file.ok()) return DatabaseUnavailable(file.status().message());
  absl::Status locked = (*file)->Lock(absl::ZeroDuration());
  if (absl::IsFailedPrecondition(locked)) {
    return DatabaseBusy(absl::StrCat(kTaken, ": ", locked.message()));
  }
  if (!locked.ok()) return DatabaseUnavailable(locked.message());
  return std::unique_ptr<PruneLock>(new PruneLock(connection, *std::move(file)));
}

PruneLock::~PruneLock() {
  if (file_ != nullptr || connection_->broken()) return;
  // Where this fails, the connection is broken, and the lock is gone with it.
  static_cast<void>(connection_->Query(connection_->dialect().GivePruneLock(), {}, IgnoreRow));
}

absl::StatusOr<LedgerBounds> ReadLedgerBounds(Connection* connection) {
  LedgerBounds bounds;
  absl::Status status = connection->Query(
      "SELECT COALESCE(MIN(seq), 0), COALESCE(MAX(seq), 0) FROM ctlstore_dml_ledger", {},
      [&bounds](absl::Span<const ValueView> row) {
        bounds.first = row[0].integer();
        bounds.last = row[1].integer();
        return absl::OkStatus();
      });
  if (!status.ok()) return status;
  return bounds;
}

absl::StatusOr<absl::optional<LedgerEntry>> ReadLedgerEntry(Connection* connection,
                                                            int64_t sequence) {
  absl::optional<LedgerEntry> entry;
  absl::Status status =
      connection->Query("SELECT seq, leader_ts, statement FROM ctlstore_dml_ledger WHERE seq = ?",
                        {sequence}, [&entry](absl::Span<const ValueView> row) {
                          entry = LedgerEntry{row[0].integer(), std::string(row[1].data()),
                                              std::string(row[2].data())};
                          return absl::OkStatus();
                        });
  if (!status.ok()) return status;
  return entry;
}

absl::StatusOr<int64_t> FindOldThrough(Connection* connection, const LedgerBounds& bounds,
                                       absl::Time before) {
  const std::string time = LedgerTime(before);
  int64_t found = 0;
  // What was looked at up to `old` is old, and from `young` on is not. Nothing may be at `old`.
  int64_t old = bounds.first - 1;
  int64_t young = bounds.last + 1;
  while (young - old > 1) {
    const int64_t middle = old + (young - old) / 2;
    int64_t sequence = 0;
    bool is_old = false;
    absl::Status status =
        connection->Query(kNewestUpTo, {time, old, middle}, [&](absl::Span<const ValueView> row) {
          sequence = row[0].integer();
          is_old = !row[1].is_null() && row[1].integer() != 0;
          return absl::OkStatus();
        });
    if (!status.ok()) return status;
    if (sequence != 0 && !is_old) {
      young = sequence;
      continue;
    }
    old = middle;
    if (sequence != 0) found = sequence;
  }
  return found;
}

absl::StatusOr<absl::optional<int64_t>> FindFirstYoung(Connection* connection, int64_t first,
                                                       int64_t through, absl::Time before,
                                                       const Cancelled& cancelled) {
  const std::string time = LedgerTime(before);
  while (first <= through) {
    absl::Status status = CheckGoesOn(cancelled);
    if (!status.ok()) return status;
    absl::StatusOr<Scanned> scanned = Scan(connection, first, through, time);
    if (!scanned.ok()) return scanned.status();
    if (scanned->first_young != 0) return absl::make_optional(scanned->first_young);
    if (scanned->entries < kEntriesPerQuery) break;
    first = scanned->last + 1;
  }
  return absl::optional<int64_t>();
}

absl::StatusOr<int64_t> FindTransactionEnd(Connection* connection, int64_t first, int64_t through,
                                           const Cancelled& cancelled) {
  int64_t last = 0;
  int64_t limit = kFirstEntriesForEnd;
  int64_t up_to = through;
  while (true) {
    absl::Status status = CheckGoesOn(cancelled);
    if (!status.ok()) return status;
    int64_t entries = 0;
    int64_t lowest = 0;
    int64_t begin = 0;
    int64_t commit = 0;
    status =
        connection->Query(kMarkers, {first, up_to, limit}, [&](absl::Span<const ValueView> row) {
          entries = row[0].integer();
          lowest = row[1].integer();
          if (last == 0) last = row[2].integer();
          begin = row[3].integer();
          commit = row[4].integer();
          return absl::OkStatus();
        });
    if (!status.ok()) return status;
    if (begin > commit) return QueryInteger(connection, kLastUpTo, {first, begin - 1});
    // Behind a transaction, or with none before it, each statement is one by itself.
    if (commit > 0 || entries < limit) return last;
    up_to = lowest - 1;
    limit = std::min(limit * 4, kEntriesPerQuery);
  }
}

absl::StatusOr<int64_t> CountEntries(Connection* connection, int64_t first, int64_t through,
                                     const Cancelled& cancelled) {
  int64_t entries = 0;
  while (first <= through) {
    absl::Status status = CheckGoesOn(cancelled);
    if (!status.ok()) return status;
    absl::StatusOr<Scanned> scanned =
        Scan(connection, first, through, LedgerTime(absl::UnixEpoch()));
    if (!scanned.ok()) return scanned.status();
    entries += scanned->entries;
    if (scanned->entries < kEntriesPerQuery) break;
    first = scanned->last + 1;
  }
  return entries;
}

absl::StatusOr<RemovedBatch> RemoveBatch(Connection* connection, int64_t first, int64_t through,
                                         size_t max_entries, size_t max_bytes) {
  absl::StatusOr<int64_t> last =
      QueryInteger(connection, "SELECT COALESCE(MAX(seq), 0) FROM ctlstore_dml_ledger", {});
  if (!last.ok()) return last.status();
  absl::StatusOr<int64_t> end =
      FindBatchEnd(connection, first, std::min(through, *last - 1), max_entries, max_bytes);
  if (!end.ok()) return end.status();
  RemovedBatch batch;
  if (*end == 0) return batch;
  absl::StatusOr<int64_t> removed = RemoveRange(connection, first, *end);
  if (!removed.ok()) return removed.status();
  batch.through = *end;
  batch.entries = *removed;
  return batch;
}

}  // namespace ctlstore::ctldb
