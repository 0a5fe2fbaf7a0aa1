#include "common/ctldb/ledger_reader.h"

#include <glog/logging.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/ctldb/connection_errors.h"

namespace ctlstore::ctldb {
namespace {

constexpr char kReadSql[] =
    "SELECT seq, leader_ts, statement FROM ctlstore_dml_ledger WHERE seq > ? ORDER BY seq LIMIT ?";

// The fewest entries that are asked for at once, whatever their size was before.
constexpr size_t kMinEntriesPerQuery = 16;

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

}  // namespace

LedgerReader::LedgerReader(Target target, ConnectionOptions options)
    : target_(std::move(target)), options_([&options] {
        options.read_only = true;
        return std::move(options);
      }()) {}

absl::StatusOr<Connection*> LedgerReader::Connected() {
  if (connection_ == nullptr) {
    absl::StatusOr<std::unique_ptr<Connection>> opened = Connection::Open(target_, options_);
    if (!opened.ok()) return opened.status();
    connection_ = *std::move(opened);
  }
  return connection_.get();
}

absl::Status LedgerReader::Failed(absl::Status status) {
  if (absl::IsUnavailable(status) || connection_->broken()) connection_.reset();
  if (absl::IsNotFound(status)) {
    return DatabaseUnavailable("the ctldb has no ledger yet; an executive creates it");
  }
  return status;
}

absl::StatusOr<std::vector<LedgerEntry>> LedgerReader::ReadAfter(int64_t sequence,
                                                                 size_t max_entries,
                                                                 size_t max_bytes) {
  absl::StatusOr<Connection*> connection = Connected();
  if (!connection.ok()) return connection.status();

  std::vector<LedgerEntry> entries;
  size_t bytes = 0;
  int64_t last = sequence;
  // The position behind which a gap was seen and is being looked at again.
  int64_t gap_seen_after = -1;
  while (entries.size() < max_entries && (entries.empty() || bytes < max_bytes)) {
    // No more rows are asked for than will be taken, because those that are not taken are sent all
    // the same.
    const size_t bytes_left = max_bytes > bytes ? max_bytes - bytes : 0;
    const size_t limit = std::min(max_entries - entries.size(),
                                  std::max(kMinEntriesPerQuery, bytes_left / average_bytes_ + 1));
    size_t rows = 0;
    size_t query_bytes = 0;
    bool stopped = false;
    absl::Status status = (*connection)
                              ->Query(kReadSql, {last, static_cast<int64_t>(limit)},
                                      [&](absl::Span<const ValueView> row) -> absl::Status {
                                        absl::StatusOr<LedgerEntry> entry = ToEntry(row);
                                        if (!entry.ok()) return entry.status();
                                        if (entry->sequence != last + 1 && gap_seen_after != last) {
                                          gap_seen_after = last;
                                          stopped = true;
                                        } else if (!entries.empty() && bytes >= max_bytes) {
                                          stopped = true;
                                        }
                                        if (stopped) return absl::CancelledError();
                                        if (entry->sequence != last + 1) {
                                          ++gaps_;
                                          LOG(WARNING) << "event=ledger_gap_accepted after=" << last
                                                       << " next=" << entry->sequence;
                                        }
                                        last = entry->sequence;
                                        ++rows;
                                        query_bytes += entry->statement.size();
                                        bytes += entry->statement.size();
                                        entries.push_back(*std::move(entry));
                                        return absl::OkStatus();
                                      });
    if (!status.ok() && !stopped) return Failed(std::move(status));
    if (rows > 0) average_bytes_ = std::max<size_t>(query_bytes / rows, 1);
    if (!stopped && rows < limit) break;
  }
  return entries;
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
