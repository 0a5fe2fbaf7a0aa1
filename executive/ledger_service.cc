#include "executive/ledger_service.h"

#include <glog/logging.h>
#include <grpcpp/grpcpp.h>

#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/rpc/status_conversion.h"
#include "common/schema/errors.h"
#include "ctlstore/v1/ledger.grpc.pb.h"

namespace ctlstore::executive {
namespace {

constexpr size_t kDigestBytes = 16;

// The message's entries as they are in memory, kept there until gRPC has sent them.
grpc::Slice SharedSlice(std::shared_ptr<const LedgerMessage> message, absl::string_view bytes) {
  auto* const keeper = new std::shared_ptr<const LedgerMessage>(std::move(message));
  // gRPC does not write to it.
  return grpc::Slice(
      const_cast<char*>(bytes.data()), bytes.size(),
      [](void* keeper) { delete static_cast<std::shared_ptr<const LedgerMessage>*>(keeper); },
      keeper);
}

grpc::ByteBuffer ToByteBuffer(LedgerListener::Part part) {
  v1::TailResponse rest;
  rest.set_last_sequence(part.last_sequence);
  const grpc::Slice rest_slice(rest.SerializeAsString());
  if (part.message == nullptr) return grpc::ByteBuffer(&rest_slice, 1);
  const grpc::Slice slices[] = {SharedSlice(std::move(part.message), part.entries.bytes),
                                rest_slice};
  return grpc::ByteBuffer(slices, 2);
}

// Owns itself: made by new, deletes itself after the call's end.
class TailCall : public grpc::ServerWriteReactor<grpc::ByteBuffer>, public LedgerListener {
 public:
  TailCall(LedgerTailer* tailer, rpc::CallMetrics* metrics, grpc::CallbackServerContext* context)
      : tailer_(tailer), metrics_(metrics), context_(context) {}

  void Send(Part part) override {
    buffer_ = ToByteBuffer(std::move(part));
    StartWrite(&buffer_);
  }

  void Cancel() override { context_->TryCancel(); }

  void End(const absl::Status& status) override {
    // Before gRPC knows: it may end the call at once.
    end_ = status.code();
    Finish(rpc::ToGrpcStatus(status));
  }

  void OnWriteDone(bool ok) override {
    buffer_.Clear();
    tailer_->Sent(this, ok);
  }

  void OnCancel() override { tailer_->Leave(this); }

  void OnDone() override {
    metrics_->Record("Tail", end_, absl::Now() - start_);
    tailer_->Left(this);
    delete this;
  }

 private:
  ~TailCall() override = default;

  LedgerTailer* const tailer_;
  rpc::CallMetrics* const metrics_;
  grpc::CallbackServerContext* const context_;
  const absl::Time start_ = absl::Now();
  absl::StatusCode end_ = absl::StatusCode::kOk;
  // What is being written.
  grpc::ByteBuffer buffer_;
};

class LedgerService : public v1::Ledger::WithRawCallbackMethod_Tail<v1::Ledger::Service> {
 public:
  LedgerService(LedgerTailer* tailer, const rpc::AccessControl* access, rpc::CallMetrics* metrics)
      : tailer_(tailer), access_(access), metrics_(metrics) {}

  grpc::ServerWriteReactor<grpc::ByteBuffer>* Tail(grpc::CallbackServerContext* context,
                                                   const grpc::ByteBuffer* bytes) override {
    auto* const call = new TailCall(tailer_, metrics_, context);
    v1::TailRequest request;
    const absl::Status status = Check(*context, *bytes, &request);
    if (status.ok()) {
      tailer_->Listen({request.after_sequence(), std::move(*request.mutable_after_digest())},
                      request.instance(), call);
    } else {
      call->End(status);
    }
    return call;
  }

 private:
  absl::Status Check(const grpc::CallbackServerContext& context, const grpc::ByteBuffer& bytes,
                     v1::TailRequest* request) const {
    absl::StatusOr<rpc::Caller> caller = access_->Identify(context);
    if (!caller.ok()) return caller.status();
    absl::Status allowed = rpc::RequireRole(*caller, rpc::Role::kReader);
    if (!allowed.ok()) return allowed;
    grpc::ByteBuffer copy = bytes;
    if (!grpc::SerializationTraits<v1::TailRequest>::Deserialize(&copy, request).ok()) {
      return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kInvalidRequest,
                             "the request is not a TailRequest");
    }
    if (request->after_sequence() < 0) {
      return InvalidField("after_sequence", reason::kInvalidRequest,
                          absl::StrCat("is 0 or more, not ", request->after_sequence()));
    }
    if (!request->after_digest().empty() && request->after_digest().size() != kDigestBytes) {
      return InvalidField("after_digest", reason::kInvalidRequest,
                          absl::StrCat("has ", kDigestBytes, " bytes or none, not ",
                                       request->after_digest().size()));
    }
    return absl::OkStatus();
  }

  LedgerTailer* const tailer_;
  const rpc::AccessControl* const access_;
  rpc::CallMetrics* const metrics_;
};

}  // namespace

std::unique_ptr<grpc::Service> NewLedgerService(LedgerTailer* tailer,
                                                const rpc::AccessControl* access,
                                                rpc::CallMetrics* metrics) {
  return std::make_unique<LedgerService>(tailer, access, metrics);
}

}  // namespace ctlstore::executive
