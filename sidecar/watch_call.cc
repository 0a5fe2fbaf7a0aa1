#include "sidecar/watch_call.h"

#include <memory>
#include <utility>

#include "absl/time/clock.h"
#include "common/rpc/status_conversion.h"
#include "common/schema/errors.h"

namespace ctlstore::sidecar {
namespace {

constexpr absl::Duration kRetryDelay = absl::Seconds(1);

}  // namespace

WatchCall::WatchCall(grpc::CallbackServerContext* context, WatchParts* parts, OnEnd on_end)
    : context_(context), parts_(parts), on_end_(std::move(on_end)) {}

void WatchCall::Start(WatchCursor cursor) {
  absl::MutexLock lock(&mutex_);
  if (state_ == State::kFinished) return;
  cursor_.emplace(std::move(cursor));
  SubmitRead();
}

void WatchCall::End(const absl::Status& status) {
  absl::MutexLock lock(&mutex_);
  switch (state_) {
    case State::kReading:
      FinishWith(status);
      return;
    case State::kSending:
      // Nothing can be finished while gRPC sends.
      if (end_.ok()) end_ = status;
      context_->TryCancel();
      return;
    case State::kWaiting:
      if (parts_->source->Cancel(wait_)) --users_;
      FinishWith(status);
      return;
    case State::kFinished:
      return;
  }
}

void WatchCall::OnCancel() { End(absl::CancelledError("the client has gone")); }

void WatchCall::OnWriteDone(bool ok) {
  absl::MutexLock lock(&mutex_);
  // Gives the memory back; Clear() would keep it.
  message_ = v1::WatchResponse();
  if (!end_.ok()) {
    FinishWith(end_);
  } else if (!ok) {
    FinishWith(absl::CancelledError("the client has gone"));
  } else if (cursor_->caught_up()) {
    BeginToWait();
  } else {
    SubmitRead();
  }
}

void WatchCall::OnDone() {
  absl::StatusCode code;
  {
    absl::MutexLock lock(&mutex_);
    code = end_code_;
  }
  on_end_(this, code);
  Release();
}

void WatchCall::Read() {
  const absl::StatusOr<WatchCursor::Step> step = MakeMessage();
  {
    absl::MutexLock lock(&mutex_);
    if (state_ != State::kFinished) GoOnAfter(step);
  }
  Release();
}

absl::StatusOr<WatchCursor::Step> WatchCall::MakeMessage() {
  const absl::StatusOr<std::unique_ptr<ChangeView>> view = parts_->source->View();
  if (!view.ok()) return view.status();
  return cursor_->Advance(view->get(), &message_);
}

void WatchCall::WaitEnded() {
  {
    absl::MutexLock lock(&mutex_);
    if (state_ != State::kFinished) SubmitRead();
  }
  Release();
}

void WatchCall::GoOnAfter(const absl::StatusOr<WatchCursor::Step>& step) {
  if (!step.ok()) {
    FinishWith(step.status());
  } else if (*step == WatchCursor::Step::kMessage || absl::Now() >= message_due_) {
    Send();
  } else if (*step == WatchCursor::Step::kMore) {
    SubmitRead();
  } else {
    BeginToWait();
  }
}

void WatchCall::SubmitRead() {
  state_ = State::kReading;
  if (parts_->readers->TrySubmit([this] { Read(); })) {
    ++users_;
    return;
  }
  FinishWith(WithRetryDelay(
      ErrorWithReason(absl::StatusCode::kResourceExhausted, reason::kQueueFull,
                      "too many watches want to read at the same time; try again later"),
      kRetryDelay));
}

void WatchCall::Send() {
  state_ = State::kSending;
  message_due_ = absl::Now() + parts_->progress_interval;
  message_.set_sequence(cursor_->position());
  parts_->changes_sent += message_.changes_size();
  parts_->resets_sent += message_.everything_changed() ? 1 : 0;
  StartWrite(&message_);
}

void WatchCall::BeginToWait() {
  state_ = State::kWaiting;
  const absl::StatusOr<uint64_t> wait =
      parts_->source->Wait(cursor_->position() + 1, message_due_, [this] { WaitEnded(); });
  if (!wait.ok()) {
    FinishWith(wait.status());
    return;
  }
  wait_ = *wait;
  ++users_;
}

void WatchCall::FinishWith(const absl::Status& status) {
  state_ = State::kFinished;
  end_code_ = status.code();
  Finish(rpc::ToGrpcStatus(status));
}

void WatchCall::Release() {
  bool last = false;
  {
    absl::MutexLock lock(&mutex_);
    last = --users_ == 0;
  }
  if (last) delete this;
}

}  // namespace ctlstore::sidecar
