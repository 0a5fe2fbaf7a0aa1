#include "common/ctldb/ledger_reader.h"

#include <glog/logging.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/ctldb/connection_errors.h"
#include "common/schema/errors.h"

namespace ctlstore::ctldb {
namespace {

// Begins at the position's own entry, so that one snapshot tells both whether it is there and what
// follows it.
constexpr char kReadSql[] =
    "SELECT seq, leader_ts, statement FROM ctlstore_dml_ledger WHERE seq >= ? ORDER BY seq LIMIT ?";

// The fewest entries that are asked for at once, whatever their size was before.
constexpr size_t kMinEntriesPerQuery = 16;

constexpr std::chrono::seconds kLastSequenceInterval(1);

absl::StatusOr<LedgerEntry> ToEntry(absl::Span<const ValueView> row) {
  if (row[0].kind() != ValueKind::kInteger || row[1].kind() != ValueKind::kText ||
      (row[2].kind() != ValueKind::kText && row[2].kind() != ValueKind::kBytes)) {
    return absl::InternalError(
        absl::StrCat("a ledger entry does not have an integer, a time and a statement, but ",
                     ValueKindName(row[0].kind()), ", ", ValueKindName(row[1].kind()), " and ",
                     ValueKindName(row[2].kind())));
  }
  LedgerEntry entry;
  entry.sequence = row[0].integer();
  entry.leader_time = std::string(row[1].data());
  entry.statement = std::string(row[2].data());
  return entry;
}

absl::Status Behind(int64_t sequence) {
  return ErrorWithReason(absl::StatusCode::kUnavailable, reason::kLedgerBehind,
                         absl::StrCat("the ledger does not reach to the sequence ", sequence,
                                      ": it lags behind, or was restored from an older state"));
}

absl::Status Pruned(int64_t sequence, int64_t first) {
  return ErrorWithReason(absl::StatusCode::kFailedPrecondition, reason::kLedgerPruned,
                         absl::StrCat("what follows the sequence ", sequence,
                                      " is not in the ledger, which goes on with ", first));
}

absl::Status Diverged(int64_t sequence) {
  return ErrorWithReason(
      absl::StatusCode::kFailedPrecondition, reason::kLedgerDiverged,
      absl::StrCat("the ledger has another entry at the sequence ", sequence,
                   ": it is another ledger, or was restored and went on in another way"));
}

}  // namespace

LedgerReader::LedgerReader(Target target, ConnectionOptions connection)
    : LedgerReader(std::move(target), std::move(connection), Options()) {}

LedgerReader::LedgerReader(Target target, ConnectionOptions connection, Options options)
    : target_(std::move(target)),
      connection_options_([&connection] {
        connection.read_only = true;
        return std::move(connection);
      }()),
      options_(options) {}

absl::StatusOr<Connection*> LedgerReader::Connected() {
  {
    absl::MutexLock lock(&mutex_);
    if (cancelled_) return absl::CancelledError("the reading of the ledger was ended");
  }
  if (connection_ == nullptr) {
    absl::StatusOr<std::unique_ptr<Connection>> opened =
        Connection::Open(target_, connection_options_);
    absl::MutexLock lock(&mutex_);
    if (cancelled_) return absl::CancelledError("the reading of the ledger was ended");
    if (!opened.ok()) return opened.status();
    connection_ = *std::move(opened);
  }
  return connection_.get();
}

absl::Status LedgerReader::Failed(absl::Status status) {
  absl::MutexLock lock(&mutex_);
  if (absl::IsUnavailable(status) || connection_->broken()) connection_.reset();
  if (cancelled_) return absl::CancelledError("the reading of the ledger was ended");
  if (absl::IsNotFound(status)) {
    return DatabaseUnavailable("the ctldb has no ledger yet; an executive creates it");
  }
  return status;
}

void LedgerReader::Disconnect() {
  absl::MutexLock lock(&mutex_);
  connection_.reset();
}

void LedgerReader::Cancel() {
  absl::MutexLock lock(&mutex_);
  cancelled_ = true;
  if (connection_ != nullptr) connection_->Interrupt();
}

absl::StatusOr<LedgerReader::Page> LedgerReader::ReadPage(const LedgerPosition& after,
                                                          absl::optional<int64_t> accept_gap_after,
                                                          size_t max_entries, size_t max_bytes) {
  absl::StatusOr<Connection*> connection = Connected();
  if (!connection.ok()) return connection.status();

  // No more rows are asked for than will be taken, because those that are not taken are sent all
  // the same.
  const size_t limit =
      std::min(max_entries, std::max(kMinEntriesPerQuery, max_bytes / average_bytes_ + 1));
  const size_t asked = after.sequence > 0 ? limit + 1 : limit;
  Page page;
  size_t rows = 0;
  int64_t last = after.sequence;
  // Whether the entry at `last` was seen here, or its place is known otherwise.
  bool connected_to_last = false;
  bool stopped = false;
  absl::Status error;
  const auto take = [&](LedgerEntry entry) -> bool {
    if (rows == 1 && after.sequence > 0 && entry.sequence == after.sequence) {
      connected_to_last = true;
      if (after.digest.empty() || DigestOf(entry) == after.digest) return true;
      error = Diverged(after.sequence);
      return false;
    }
    if (page.entries.size() >= max_entries || (!page.entries.empty() && page.bytes >= max_bytes)) {
      return false;
    }
    const bool follows =
        entry.sequence == last + 1 || (last == 0 && entry.sequence <= options_.first_sequence);
    if (!follows && accept_gap_after != last) {
      page.gap_after = last;
      return false;
    }
    if (!follows && !connected_to_last) {
      error = Pruned(last, entry.sequence);
      return false;
    }
    if (!follows) {
      gaps_.fetch_add(1, std::memory_order_relaxed);
      LOG(WARNING) << "event=ledger_gap_accepted after=" << last << " next=" << entry.sequence;
    }
    connected_to_last = true;
    last = entry.sequence;
    page.bytes += entry.statement.size();
    page.entries.push_back(std::move(entry));
    return true;
  };
  absl::Status status = (*connection)
                            ->Query(kReadSql, {after.sequence, static_cast<int64_t>(asked)},
                                    [&](absl::Span<const ValueView> row) -> absl::Status {
                                      absl::StatusOr<LedgerEntry> entry = ToEntry(row);
                                      if (!entry.ok()) return entry.status();
                                      ++rows;
                                      stopped = !take(*std::move(entry));
                                      return stopped ? absl::CancelledError() : absl::OkStatus();
                                    });
  if (!status.ok() && !stopped) return Failed(std::move(status));
  if (!error.ok()) return error;
  if (rows == 0 && after.sequence > 0) return Behind(after.sequence);
  if (!page.entries.empty()) {
    average_bytes_ = std::max<size_t>(page.bytes / page.entries.size(), 1);
  }
  page.at_end = !stopped && rows < asked;
  return page;
}

absl::StatusOr<LedgerReader::Result> LedgerReader::ReadAfter(const LedgerPosition& after,
                                                             size_t max_entries, size_t max_bytes) {
  Result result;
  std::vector<LedgerEntry>& entries = result.entries;
  size_t bytes = 0;
  LedgerPosition position = after;
  absl::optional<int64_t> gap_after;
  while (!result.at_end && entries.size() < max_entries && (entries.empty() || bytes < max_bytes)) {
    absl::StatusOr<Page> page = ReadPage(position, gap_after, max_entries - entries.size(),
                                         max_bytes - std::min(bytes, max_bytes));
    if (!page.ok()) {
      // What was read is good. The next call meets the error at its own position.
      if (!entries.empty() && !absl::IsCancelled(page.status())) break;
      return page.status();
    }
    result.at_end = page->at_end;
    gap_after = page->gap_after;
    bytes += page->bytes;
    entries.insert(entries.end(), std::make_move_iterator(page->entries.begin()),
                   std::make_move_iterator(page->entries.end()));
    if (!page->entries.empty()) position = PositionAfter(entries.back());
  }

  if (result.at_end) {
    last_sequence_ = position.sequence;
  } else {
    const auto now = std::chrono::steady_clock::now();
    if (!last_sequence_asked_.has_value() || now - *last_sequence_asked_ >= kLastSequenceInterval) {
      absl::StatusOr<int64_t> last = LastSequence();
      if (absl::IsCancelled(last.status())) return last.status();
      if (last.ok()) last_sequence_ = *last;
      last_sequence_asked_ = now;
    }
  }
  result.last_sequence = std::max(last_sequence_, position.sequence);
  return result;
}

absl::StatusOr<int64_t> LedgerReader::LastSequence() {
  absl::StatusOr<Connection*> connection = Connected();
  if (!connection.ok()) return connection.status();
  int64_t last = 0;
  absl::Status status = (*connection)
                            ->Query("SELECT COALESCE(MAX(seq), 0) FROM ctlstore_dml_ledger", {},
                                    [&last](absl::Span<const ValueView> row) {
                                      last = row[0].integer();
                                      return absl::OkStatus();
                                    });
  if (!status.ok()) return Failed(std::move(status));
  return last;
}

}  // namespace ctlstore::ctldb
