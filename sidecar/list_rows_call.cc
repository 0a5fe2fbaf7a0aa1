#include "sidecar/list_rows_call.h"

#include <cstddef>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/rpc/status_conversion.h"
#include "common/schema/errors.h"
#include "sidecar/key_views.h"
#include "sidecar/raw_messages.h"
#include "sidecar/row_encoding.h"

namespace ctlstore::sidecar {
namespace {

constexpr char kMethod[] = "ListRows";

// A page ends with the row that reaches one of these. Large enough that the cost of a message does
// not count, small enough that a slow client does not hold much.
constexpr size_t kPageBytes = 64 * 1024;
constexpr int kPageRows = 256;

absl::StatusOr<int64_t> LimitOf(const v1::ListRowsRequest& request, int64_t max_rows) {
  if (request.limit() < 0) {
    return InvalidField("limit", reason::kInvalidRequest,
                        absl::StrCat("must not be negative, and is ", request.limit(),
                                     "; 0 stands for this sidecar's limit of ", max_rows));
  }
  if (request.limit() > max_rows) {
    return InvalidField("limit", reason::kInvalidRequest,
                        absl::StrCat("is ", request.limit(), ", above this sidecar's limit of ",
                                     max_rows, " (--max_list_rows)"));
  }
  return request.limit() == 0 ? max_rows : request.limit();
}

}  // namespace

ListRowsCall::ListRowsCall(ServiceContext* service, grpc::CallbackServerContext* context,
                           const grpc::ByteBuffer& request)
    : service_(service), begin_(absl::Now()), wait_(service->waiter()) {
  // Whatever it comes to, gRPC does nothing about it before it has got this object.
  const absl::Status status = Check(*context, request);
  if (!status.ok()) {
    FinishWith(status);
  } else if (service_->IsApplied(request_.min_sequence())) {
    Begin();
  } else {
    wait_.Begin(request_.min_sequence(), service_->WaitDeadline(*context),
                [this](const absl::StatusOr<int64_t>& applied_sequence) {
                  if (applied_sequence.ok()) {
                    Begin();
                  } else {
                    FinishWith(applied_sequence.status());
                  }
                });
  }
}

void ListRowsCall::OnWriteDone(bool ok) {
  if (ok) {
    Send(NextPage());
    return;
  }
  {
    absl::MutexLock lock(&mutex_);
    LetGo();
  }
  FinishWith(absl::CancelledError("the client has gone"));
}

void ListRowsCall::OnCancel() {
  // Later than that, a page that cannot be sent ends the call.
  if (wait_.Cancel()) FinishWith(absl::CancelledError("the client has gone"));
}

void ListRowsCall::OnDone() {
  {
    absl::MutexLock lock(&mutex_);
    LetGo();
  }
  service_->Record(kMethod, end_, begin_);
  // Has no effect where the alarm was not set, or has gone off.
  alarm_.Cancel();
  Release();
}

absl::Status ListRowsCall::Check(const grpc::CallbackServerContext& context,
                                 const grpc::ByteBuffer& request) {
  absl::Status status = service_->CheckAccess(context);
  if (!status.ok()) return status;
  status = ParseRequest(request, &request_);
  if (!status.ok()) return status;
  const absl::StatusOr<int64_t> limit = LimitOf(request_, service_->options().max_list_rows);
  if (!limit.ok()) return limit.status();
  limit_ = *limit;
  return ServiceContext::CheckSequence("min_sequence", request_.min_sequence());
}

void ListRowsCall::Begin() {
  deadline_ = absl::Now() + service_->options().max_list_duration;
  const absl::Status status = Open();
  if (!status.ok()) {
    FinishWith(status);
    return;
  }
  const absl::StatusOr<bool> last = NextPage();
  if (last.ok() && !*last) {
    {
      absl::MutexLock lock(&mutex_);
      ++users_;
    }
    alarm_.Set(absl::ToChronoTime(deadline_), [this](bool expired) { OnAlarm(expired); });
  }
  Send(last);
}

absl::Status ListRowsCall::Open() {
  KeyViews key_prefix;
  absl::Status status = ViewKey("key_prefix", request_.key_prefix(), &key_prefix);
  if (!status.ok()) return status;
  KeyViews after;
  status = ViewKey("after", request_.after(), &after);
  if (!status.ok()) return status;
  absl::StatusOr<ldb::Snapshot> snapshot = service_->reader()->GetSnapshot();
  if (!snapshot.ok()) return snapshot.status();

  absl::MutexLock lock(&mutex_);
  snapshot_ = *std::move(snapshot);
  sequence_ = snapshot_->sequence();
  ldb::ListOptions options;
  options.limit = limit_ == std::numeric_limits<int64_t>::max() ? ldb::kNoLimit : limit_ + 1;
  options.after = after;
  rows_ = snapshot_->ListRows(request_.family(), request_.table(), key_prefix, options);
  return absl::OkStatus();
}

absl::StatusOr<bool> ListRowsCall::NextPage() {
  std::string page;
  absl::MutexLock lock(&mutex_);
  absl::StatusOr<bool> last = ReadRows(&page);
  if (!last.ok() || *last) LetGo();
  if (last.ok()) SetResponse(page, &page_);
  return last;
}

absl::StatusOr<bool> ListRowsCall::ReadRows(std::string* page) {
  if (!begun_) {
    begun_ = true;
    absl::Status status = Advance();
    if (!status.ok()) return WithNameChecked(status, request_.family(), request_.table());
  }
  for (int rows = 0; has_row_ && sent_ < limit_ && page->size() < kPageBytes && rows < kPageRows;
       ++rows) {
    if (!rows_.has_value() || absl::Now() >= deadline_) return TimeIsUp();
    AppendRow(v1::ListRowsResponse::kRowsFieldNumber, rows_->row(), page);
    if (++sent_ == limit_) last_key_ = rows_->key();
    absl::Status status = Advance();
    if (!status.ok()) return status;
  }
  const bool last = !has_row_ || sent_ == limit_;
  const bool truncated = has_row_ && last;
  AppendInteger(v1::ListRowsResponse::kTruncatedFieldNumber, truncated ? 1 : 0, page);
  AppendInteger(v1::ListRowsResponse::kSequenceFieldNumber, sequence_, page);
  if (truncated) {
    for (const Value& value : last_key_) {
      AppendValue(v1::ListRowsResponse::kNextAfterFieldNumber, value, page);
    }
  }
  return last;
}

absl::Status ListRowsCall::Advance() {
  has_row_ = rows_->Next();
  return has_row_ ? absl::OkStatus() : rows_->status();
}

void ListRowsCall::LetGo() {
  rows_.reset();
  snapshot_.reset();
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
      absl::StrCat("the list was not read to its end within ",
                   absl::FormatDuration(service_->options().max_list_duration),
                   ", this sidecar's limit (--max_list_duration_ms)"));
}

void ListRowsCall::OnAlarm(bool expired) {
  if (expired) {
    // A page is under way to a client that may not read it. Whoever reads on learns why it ends.
    absl::MutexLock lock(&mutex_);
    LetGo();
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
