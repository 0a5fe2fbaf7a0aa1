// How the calls with one request and one answer run.

#ifndef CTLSTORE_SIDECAR_UNARY_CALL_H_
#define CTLSTORE_SIDECAR_UNARY_CALL_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/rpc/status_conversion.h"
#include "ctlstore/v1/sidecar.pb.h"
#include "sidecar/raw_messages.h"
#include "sidecar/sequence_wait.h"
#include "sidecar/service_context.h"

namespace ctlstore::sidecar {

// Ends a call with the answer that its response holds, or with an error.
grpc::ServerUnaryReactor* FinishCall(ServiceContext* service, grpc::CallbackServerContext* context,
                                     const char* method, absl::Time begin,
                                     const absl::Status& status);

// A call that waits for a sequence before it is answered. Owns itself: made by new, deletes itself
// after the call's end.
class WaitingCall : public grpc::ServerUnaryReactor {
 public:
  // Makes the answer, or says why there is none.
  using Answer = std::function<absl::Status(int64_t applied_sequence)>;

  WaitingCall(ServiceContext* service, grpc::CallbackServerContext* context, const char* method,
              absl::Time begin, int64_t sequence, Answer answer);

  void OnCancel() override;
  void OnDone() override;

 private:
  ~WaitingCall() override = default;
  void End(const absl::Status& status);

  ServiceContext* const service_;
  const char* const method_;
  const absl::Time begin_;
  const Answer answer_;
  SequenceWait wait_;
};

// Calls that never wait.
template <typename Handler>
grpc::ServerUnaryReactor* RunCall(ServiceContext* service, grpc::CallbackServerContext* context,
                                  const char* method, const Handler& handler) {
  const absl::Time begin = absl::Now();
  absl::Status status = service->CheckAccess(*context);
  if (status.ok()) status = handler();
  return FinishCall(service, context, method, begin, status);
}

grpc::ServerUnaryReactor* RunWaitForSequence(ServiceContext* service,
                                             grpc::CallbackServerContext* context,
                                             const v1::WaitForSequenceRequest& request,
                                             v1::WaitForSequenceResponse* response);

// Calls whose handlers take a request, with a member min_sequence, and write the answer's bytes
// themselves.
template <typename Request, typename Handler>
grpc::ServerUnaryReactor* RunReadCall(ServiceContext* service, grpc::CallbackServerContext* context,
                                      const char* method, const grpc::ByteBuffer& bytes,
                                      const Handler& handler) {
  const absl::Time begin = absl::Now();
  absl::Status status = service->CheckAccess(*context);
  if (!status.ok()) return FinishCall(service, context, method, begin, status);
  // Requests are taken apart into memory that is there already, as long as it is little.
  constexpr size_t kKeptBytes = 256 * 1024;
  static thread_local Request kept;
  Request once;
  Request* const request = bytes.Length() <= kKeptBytes ? &kept : &once;
  status = ParseRequest(bytes, request);
  if (status.ok()) status = ServiceContext::CheckSequence("min_sequence", request->min_sequence());
  if (status.ok() && !service->IsApplied(request->min_sequence())) {
    const int64_t sequence = request->min_sequence();
    return new WaitingCall(
        service, context, method, begin, sequence,
        [handler, request = std::move(*request)](int64_t) { return handler(request); });
  }
  if (status.ok()) status = handler(*request);
  return FinishCall(service, context, method, begin, status);
}

}  // namespace ctlstore::sidecar

#endif  // CTLSTORE_SIDECAR_UNARY_CALL_H_
