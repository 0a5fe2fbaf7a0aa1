#include "reflector/stream_source.h"

#include <glog/logging.h>
#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/support/async_stream.h>

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/types/optional.h"
#include "common/rpc/status_conversion.h"
#include "common/schema/errors.h"
#include "ctlstore/v1/ledger.grpc.pb.h"

namespace ctlstore::reflector {
namespace {

std::string UrlOf(absl::string_view address) {
  return absl::StrCat("grpc:", absl::StartsWith(address, "unix:") ? "" : "//", address);
}

// On the clock that nobody sets.
gpr_timespec DeadlineIn(absl::Duration duration) {
  return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                      gpr_time_from_nanos(absl::ToInt64Nanoseconds(duration), GPR_TIMESPAN));
}

absl::Status Cancelled() { return absl::CancelledError("the reading of the ledger was ended"); }

}  // namespace

// One call. Used by one thread, but for Cancel(). One operation is under way at a time.
class StreamSource::Stream {
 public:
  enum class Event { kNothing, kMessage, kEnded };

  Stream(const std::shared_ptr<grpc::Channel>& channel, const v1::TailRequest& request)
      : stub_(v1::Ledger::NewStub(channel)),
        reader_(stub_->AsyncTail(&context_, request, &queue_, this)) {}

  ~Stream() {
    // What is under way then ends at once, whether the executive answers or not.
    context_.TryCancel();
    queue_.Shutdown();
    void* tag;
    bool ok;
    while (queue_.Next(&tag, &ok)) {
    }
  }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  // Waits for the next message, or for the end, at most for `duration`; goes on with it when it is
  // called again.
  Event Wait(absl::Duration duration) {
    const gpr_timespec deadline = DeadlineIn(duration);
    while (true) {
      if (!under_way_) {
        reader_->Read(&message_, this);
        under_way_ = true;
      }
      void* tag;
      bool ok = false;
      if (queue_.AsyncNext(&tag, &ok, deadline) != grpc::CompletionQueue::GOT_EVENT) {
        return Event::kNothing;
      }
      under_way_ = false;
      if (!ok) return Event::kEnded;
      if (begun_) return Event::kMessage;
      begun_ = true;
    }
  }

  // After Wait() has returned kMessage, until it is called again.
  v1::TailResponse* message() { return &message_; }

  // After Wait() has returned kEnded. To be called once.
  grpc::Status Finish() {
    grpc::Status status;
    reader_->Finish(&status, this);
    void* tag;
    bool ok;
    queue_.Next(&tag, &ok);
    return status;
  }

  // Thread-safe.
  void Cancel() { context_.TryCancel(); }

 private:
  const std::unique_ptr<v1::Ledger::Stub> stub_;
  grpc::ClientContext context_;
  grpc::CompletionQueue queue_;
  v1::TailResponse message_;
  // Whether the call has begun; that is the first operation.
  bool begun_ = false;
  bool under_way_ = true;
  const std::unique_ptr<grpc::ClientAsyncReader<v1::TailResponse>> reader_;
};

StreamSource::StreamSource(absl::string_view address, const Options& options, Clock* clock)
    : address_(address),
      name_(UrlOf(address)),
      options_([&options] {
        Options own = options;
        own.channel.own_connection = true;
        return own;
      }()),
      clock_(clock) {}

StreamSource::~StreamSource() { Close(); }

absl::Status StreamSource::Open() {
  v1::TailRequest request;
  request.set_after_sequence(position_.sequence);
  request.set_after_digest(position_.digest);
  request.set_instance(options_.instance);
  if (channel_ == nullptr) channel_ = rpc::NewChannel(address_, options_.channel);
  messages_ = 0;
  waited_at_ = clock_->Now();
  auto stream = std::make_unique<Stream>(channel_, request);
  absl::MutexLock lock(&mutex_);
  if (cancelled_) return Cancelled();
  stream_ = std::move(stream);
  return absl::OkStatus();
}

void StreamSource::Close() {
  std::unique_ptr<Stream> stream;
  {
    absl::MutexLock lock(&mutex_);
    stream = std::move(stream_);
  }
  message_.clear();
  taken_ = 0;
}

absl::Status StreamSource::Receive() {
  while (true) {
    // A message that is there already may have been sent long ago.
    Stream::Event event = stream_->Wait(absl::ZeroDuration());
    if (event == Stream::Event::kNothing) {
      event = stream_->Wait(options_.stale_after);
      waited_at_ = clock_->Now();
    }
    switch (event) {
      case Stream::Event::kMessage:
        return Accept();
      case Stream::Event::kNothing:
        Close();
        // Its connection may lead nowhere.
        channel_.reset();
        return absl::UnavailableError(absl::StrCat("the executive has said nothing for ",
                                                   absl::FormatDuration(options_.stale_after),
                                                   ", not even that it is there"));
      case Stream::Event::kEnded:
        break;
    }
    const int64_t messages = messages_;
    const absl::Status status = Ended();
    Close();
    // One that comes back without having got anything would come back forever.
    if (ErrorReason(status) != reason::kSlowReader || messages == 0) return status;
    LOG(INFO) << "event=stream_resumed upstream=" << name_ << " after=" << position_.sequence
              << " reason=" << reason::kSlowReader;
    const absl::Status opened = Open();
    if (!opened.ok()) return opened;
  }
}

absl::Status StreamSource::Accept() {
  v1::TailResponse* const response = stream_->message();
  message_.clear();
  taken_ = 0;
  ++messages_;
  message_.reserve(response->entries_size());
  int64_t last = position_.sequence;
  for (v1::TailEntry& entry : *response->mutable_entries()) {
    if (entry.sequence() <= last) {
      const absl::Status status = absl::InternalError(
          absl::StrCat("the executive sent the entry ", entry.sequence(), " behind ", last));
      Close();
      return status;
    }
    last = entry.sequence();
    message_.push_back(
        {last, std::move(*entry.mutable_leader_time()), std::move(*entry.mutable_statement())});
  }
  ledger_sequence_ = message_.empty() ? response->last_sequence()
                                      : std::max<int64_t>(response->last_sequence(), last);
  return absl::OkStatus();
}

absl::Status StreamSource::Ended() {
  const absl::Status status = rpc::FromGrpcStatus(stream_->Finish());
  {
    absl::MutexLock lock(&mutex_);
    if (cancelled_) return Cancelled();
  }
  if (status.ok() || absl::IsCancelled(status)) {
    return absl::UnavailableError(absl::StrCat("the executive has ended the stream",
                                               status.ok() ? "" : ": ", status.message()));
  }
  return rpc::ExplainConnectionError(status, address_, options_.channel);
}

LedgerSource::Batch StreamSource::Take(const Limits& limits) {
  Batch batch;
  size_t bytes = 0;
  while (taken_ < message_.size() &&
         (batch.entries.empty() ||
          (batch.entries.size() < limits.max_entries && bytes < limits.max_bytes))) {
    bytes += message_[taken_].statement.size();
    batch.entries.push_back(std::move(message_[taken_++]));
  }
  if (!batch.entries.empty()) position_ = PositionAfter(batch.entries.back());
  batch.ledger_sequence = std::max(ledger_sequence_, position_.sequence);
  if (ledger_sequence_ == position_.sequence) batch.all_as_of = waited_at_;
  return batch;
}

absl::StatusOr<LedgerSource::Batch> StreamSource::Read(const LedgerPosition& after,
                                                       const Limits& limits) {
  {
    absl::MutexLock lock(&mutex_);
    if (cancelled_) return Cancelled();
  }
  if (stream_ == nullptr || after != position_) {
    Close();
    position_ = after;
    const absl::Status opened = Open();
    if (!opened.ok()) return opened;
  }
  if (taken_ == message_.size()) {
    const absl::Status received = Receive();
    if (!received.ok()) return received;
  }
  return Take(limits);
}

void StreamSource::Release() {
  Close();
  channel_.reset();
}

void StreamSource::Cancel() {
  absl::MutexLock lock(&mutex_);
  cancelled_ = true;
  if (stream_ != nullptr) stream_->Cancel();
}

}  // namespace ctlstore::reflector
