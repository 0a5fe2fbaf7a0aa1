#include "sidecar/list_rows_call.h"

#include <cstddef>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/rpc/status_conversion.h"
#include "sidecar/row_conversion.h"

namespace ctlstore::sidecar {
namespace {

// A page ends with the row that reaches one of these. Large enough that the cost of a message does
// not count, small enough that a slow client does not hold much.
constexpr size_t kPageBytes = 64 * 1024;
constexpr int kPageRows = 256;

}  // namespace

ListRowsCall::ListRowsCall(ldb::RowIterator rows, int64_t limit, absl::Duration max_duration,
                           OnEnd on_end)
    : limit_(limit),
      max_duration_(max_duration),
      deadline_(absl::Now() + max_duration),
      on_end_(std::move(on_end)),
      rows_(std::move(rows)) {
  const absl::StatusOr<bool> last = NextPage();
  if (last.ok() && !*last) {
    {
      absl::MutexLock lock(&mutex_);
      ++users_;
    }
    alarm_.Set(absl::ToChronoTime(deadline_), [this](bool expired) { OnAlarm(expired); });
  }
  // gRPC begins with it when it has got this object, so nothing ends before that.
  Send(last);
}

ListRowsCall::ListRowsCall(const absl::Status& error, OnEnd on_end)
    : limit_(0),
      max_duration_(absl::ZeroDuration()),
      deadline_(absl::InfinitePast()),
      on_end_(std::move(on_end)) {
  FinishWith(error);
}

void ListRowsCall::OnWriteDone(bool ok) {
  if (ok) {
    Send(NextPage());
    return;
  }
  {
    absl::MutexLock lock(&mutex_);
    rows_.reset();
  }
  FinishWith(absl::CancelledError("the client has gone"));
}

void ListRowsCall::OnDone() {
  {
    absl::MutexLock lock(&mutex_);
    rows_.reset();
  }
  on_end_(end_);
  // Has no effect where the alarm was not set, or has gone off.
  alarm_.Cancel();
  Release();
}

absl::StatusOr<bool> ListRowsCall::NextPage() {
  page_.Clear();
  absl::MutexLock lock(&mutex_);
  absl::StatusOr<bool> last = ReadRows();
  if (!last.ok() || *last) rows_.reset();
  return last;
}

absl::StatusOr<bool> ListRowsCall::ReadRows() {
  if (!begun_) {
    begun_ = true;
    absl::Status status = Advance();
    if (!status.ok()) return status;
  }
  size_t bytes = 0;
  while (has_row_ && sent_ < limit_ && bytes < kPageBytes && page_.rows_size() < kPageRows) {
    if (!rows_.has_value() || absl::Now() >= deadline_) return TimeIsUp();
    v1::Row* row = page_.add_rows();
    ToProto(rows_->row(), row);
    bytes += row->ByteSizeLong();
    ++sent_;
    absl::Status status = Advance();
    if (!status.ok()) return status;
  }
  page_.set_truncated(has_row_ && sent_ == limit_);
  return !has_row_ || sent_ == limit_;
}

absl::Status ListRowsCall::Advance() {
  has_row_ = rows_->Next();
  return has_row_ ? absl::OkStatus() : rows_->status();
}

void ListRowsCall::FinishWith(const absl::Status& status) {
  // Before gRPC knows: it may end the call at once.
  end_ = status.code();
  Finish(rpc::ToGrpcStatus(status));
}

void ListRowsCall::Send(const absl::StatusOr<bool>& last) {
  if (!last.ok()) {
    FinishWith(last.status());
  } else if (*last) {
    StartWriteAndFinish(&page_, grpc::WriteOptions(), grpc::Status::OK);
  } else {
    StartWrite(&page_);
  }
}

absl::Status ListRowsCall::TimeIsUp() const {
  return absl::DeadlineExceededError(
      absl::StrCat("the list was not read to its end within ", absl::FormatDuration(max_duration_),
                   ", this sidecar's limit (--max_list_duration_ms)"));
}

void ListRowsCall::OnAlarm(bool expired) {
  if (expired) {
    // A page is under way to a client that may not read it. Whoever reads on learns why it ends.
    absl::MutexLock lock(&mutex_);
    rows_.reset();
  }
  Release();
}

void ListRowsCall::Release() {
  bool last = false;
  {
    absl::MutexLock lock(&mutex_);
    last = --users_ == 0;
  }
  if (last) delete this;
}

}  // namespace ctlstore::sidecar
