#include "common/ldb/transaction_splitter.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/ldb/ledger_markers.h"

namespace ctlstore::ldb {

absl::StatusOr<absl::optional<size_t>> TransactionSplitter::End(size_t begin,
                                                                size_t* failed) const {
  // What waits is known to have no end.
  bool open = begin == 0 && !waiting_.empty();
  for (size_t i = open ? waiting_.size() : begin; i < size(); ++i) {
    const LedgerEntry& entry = (*this)[i];
    const Marker marker = IsSkipped(entry.sequence) ? Marker::kNone : MarkerOf(entry.statement);
    if (marker == Marker::kBegin && open) {
      *failed = i;
      return absl::InvalidArgumentError("it begins a transaction inside a transaction");
    }
    if (marker == Marker::kCommit && !open) {
      *failed = i;
      return absl::InvalidArgumentError("it ends a transaction that was not begun");
    }
    if (marker != Marker::kNone) open = marker == Marker::kBegin;
    if (!open) return absl::optional<size_t>(i + 1);
  }
  return absl::optional<size_t>();
}

absl::Status TransactionSplitter::Keep(size_t begin) {
  const size_t first_new = std::max(begin, waiting_.size());
  size_t bytes = begin < waiting_.size() ? waiting_bytes_ : 0;
  for (size_t i = first_new; i < size(); ++i) bytes += BytesOf((*this)[i]);
  if (bytes > max_open_bytes_) {
    return absl::InvalidArgumentError(
        absl::StrCat("the ledger transaction that begins with it has ", bytes,
                     " bytes without its end; at most ", max_open_bytes_, " are kept"));
  }
  const absl::Span<const LedgerEntry> rest = entries_.subspan(first_new - waiting_.size());
  if (begin >= waiting_.size()) Forget();
  waiting_.insert(waiting_.end(), rest.begin(), rest.end());
  waiting_bytes_ = bytes;
  entries_ = {};
  return absl::OkStatus();
}

void TransactionSplitter::Forget() {
  waiting_.clear();
  waiting_.shrink_to_fit();
  waiting_bytes_ = 0;
  entries_ = {};
}

void TransactionSplitter::Skip(int64_t sequence) {
  Forget();
  skipped_.insert(sequence);
}

void TransactionSplitter::ForgetSkippedUpTo(int64_t sequence) {
  skipped_.erase(skipped_.begin(), skipped_.upper_bound(sequence));
}

}  // namespace ctlstore::ldb
