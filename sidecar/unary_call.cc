#include "sidecar/unary_call.h"

namespace ctlstore::sidecar {

grpc::ServerUnaryReactor* FinishCall(ServiceContext* service, grpc::CallbackServerContext* context,
                                     const char* method, absl::Time begin,
                                     const absl::Status& status) {
  service->Record(method, status.code(), begin);
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  reactor->Finish(rpc::ToGrpcStatus(status));
  return reactor;
}

WaitingCall::WaitingCall(ServiceContext* service, grpc::CallbackServerContext* context,
                         const char* method, absl::Time begin, int64_t sequence, Answer answer)
    : service_(service),
      method_(method),
      begin_(begin),
      answer_(std::move(answer)),
      wait_(service->waiter()) {
  wait_.Begin(sequence, service->WaitDeadline(*context),
              [this](const absl::StatusOr<int64_t>& applied_sequence) {
                End(applied_sequence.ok() ? answer_(*applied_sequence) : applied_sequence.status());
              });
}

void WaitingCall::OnCancel() {
  if (wait_.Cancel()) End(absl::CancelledError("the caller has gone"));
}

void WaitingCall::OnDone() { delete this; }

void WaitingCall::End(const absl::Status& status) {
  service_->Record(method_, status.code(), begin_);
  Finish(rpc::ToGrpcStatus(status));
}

grpc::ServerUnaryReactor* RunWaitForSequence(ServiceContext* service,
                                             grpc::CallbackServerContext* context,
                                             const v1::WaitForSequenceRequest& request,
                                             v1::WaitForSequenceResponse* response) {
  constexpr char kMethod[] = "WaitForSequence";
  const absl::Time begin = absl::Now();
  absl::Status status = service->CheckAccess(*context);
  if (status.ok()) status = ServiceContext::CheckSequence("sequence", request.sequence());
  if (!status.ok()) return FinishCall(service, context, kMethod, begin, status);
  const absl::StatusOr<int64_t> applied = service->reader()->GetSequence();
  if (applied.ok() && *applied >= request.sequence()) {
    response->set_applied_sequence(*applied);
    return FinishCall(service, context, kMethod, begin, absl::OkStatus());
  }
  return new WaitingCall(service, context, kMethod, begin, request.sequence(),
                         [response](int64_t applied_sequence) {
                           response->set_applied_sequence(applied_sequence);
                           return absl::OkStatus();
                         });
}

}  // namespace ctlstore::sidecar
