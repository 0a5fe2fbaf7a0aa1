#include "sidecar/sidecar_service.h"

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <string>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "common/rpc/instance_name.h"
#include "ctlstore/v1/sidecar.grpc.pb.h"
#include "sidecar/get_row.h"
#include "sidecar/ldb_change_source.h"
#include "sidecar/list_rows_call.h"
#include "sidecar/service_context.h"
#include "sidecar/table_calls.h"
#include "sidecar/unary_call.h"

namespace ctlstore::sidecar {
namespace {

using v1::Sidecar;

// The calls that answer with rows take and give bytes.
using RowCalls = Sidecar::WithRawCallbackMethod_GetRow<Sidecar::WithRawCallbackMethod_BatchGetRows<
    Sidecar::WithRawCallbackMethod_ListRows<Sidecar::Service>>>;
using Calls = Sidecar::WithCallbackMethod_Watch<
    Sidecar::WithCallbackMethod_WaitForSequence<Sidecar::WithCallbackMethod_GetTable<
        Sidecar::WithCallbackMethod_ListTables<Sidecar::WithCallbackMethod_GetStatus<RowCalls>>>>>;

}  // namespace

class SidecarService::Impl : public Calls {
 public:
  Impl(ldb::Reader* reader, Clock* clock, const Options& options, rpc::CallMetrics* metrics)
      : service_(reader, options, metrics),
        reader_(reader),
        clock_(clock),
        instance_(rpc::InstanceName()),
        change_source_(reader, 2 * options.watches.max_watches),
        watches_(&change_source_, options.watches) {}

  grpc::ServerUnaryReactor* GetRow(grpc::CallbackServerContext* context,
                                   const grpc::ByteBuffer* request,
                                   grpc::ByteBuffer* response) override {
    return RunReadCall<v1::GetRowRequest>(&service_, context, "GetRow", *request,
                                          [this, response](const v1::GetRowRequest& parsed) {
                                            return sidecar::GetRow(reader_, parsed, response);
                                          });
  }

  grpc::ServerUnaryReactor* BatchGetRows(grpc::CallbackServerContext* context,
                                         const grpc::ByteBuffer* request,
                                         grpc::ByteBuffer* response) override {
    return RunReadCall<v1::BatchGetRowsRequest>(
        &service_, context, "BatchGetRows", *request,
        [this, response](const v1::BatchGetRowsRequest& parsed) {
          return sidecar::BatchGetRows(reader_, parsed, service_.options().max_response_bytes,
                                       response);
        });
  }

  grpc::ServerWriteReactor<grpc::ByteBuffer>* ListRows(grpc::CallbackServerContext* context,
                                                       const grpc::ByteBuffer* request) override {
    return new ListRowsCall(&service_, context, *request);
  }

  grpc::ServerWriteReactor<v1::WatchResponse>* Watch(grpc::CallbackServerContext* context,
                                                     const v1::WatchRequest* request) override {
    return watches_.Watch(context, service_.CheckAccess(*context), *request,
                          [this, begin = absl::Now()](absl::StatusCode code) {
                            service_.Record("Watch", code, begin);
                          });
  }

  grpc::ServerUnaryReactor* WaitForSequence(grpc::CallbackServerContext* context,
                                            const v1::WaitForSequenceRequest* request,
                                            v1::WaitForSequenceResponse* response) override {
    return RunWaitForSequence(&service_, context, *request, response);
  }

  grpc::ServerUnaryReactor* GetTable(grpc::CallbackServerContext* context,
                                     const v1::SidecarGetTableRequest* request,
                                     v1::SidecarGetTableResponse* response) override {
    return RunCall(&service_, context, "GetTable", [this, request, response] {
      return sidecar::GetTable(reader_, *request, response);
    });
  }

  grpc::ServerUnaryReactor* ListTables(grpc::CallbackServerContext* context,
                                       const v1::SidecarListTablesRequest* request,
                                       v1::SidecarListTablesResponse* response) override {
    return RunCall(&service_, context, "ListTables", [this, request, response] {
      return sidecar::ListTables(reader_, *request, service_.options().max_response_bytes,
                                 response);
    });
  }

  grpc::ServerUnaryReactor* GetStatus(grpc::CallbackServerContext* context,
                                      const v1::GetStatusRequest*,
                                      v1::GetStatusResponse* response) override {
    return RunCall(&service_, context, "GetStatus", [this, response] {
      response->set_instance(instance_);
      return sidecar::GetStatus(reader_, clock_->Now(), response);
    });
  }

  SequenceWaiter* waiter() { return service_.waiter(); }
  Watches* watches() { return &watches_; }

 private:
  ServiceContext service_;
  ldb::Reader* const reader_;
  Clock* const clock_;
  const std::string instance_;
  LdbChangeSource change_source_;
  // After what it reads from: its threads end first.
  Watches watches_;
};

SidecarService::SidecarService(ldb::Reader* reader, Clock* clock, const Options& options,
                               rpc::CallMetrics* metrics)
    : impl_(std::make_unique<Impl>(reader, clock, options, metrics)) {}
SidecarService::~SidecarService() = default;

grpc::Service* SidecarService::grpc_service() { return impl_.get(); }
size_t SidecarService::waiting() const { return impl_->waiter()->waiting(); }
SequenceWaiter* SidecarService::waiter() { return impl_->waiter(); }
void SidecarService::EndWatches() { impl_->watches()->Shutdown(); }
Watches::Stats SidecarService::watch_stats() const { return impl_->watches()->stats(); }

}  // namespace ctlstore::sidecar
