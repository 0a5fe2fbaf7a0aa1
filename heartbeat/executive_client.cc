#include "heartbeat/executive_client.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <cstddef>
#include <functional>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "common/rpc/client.h"
#include "common/rpc/proto_conversion.h"
#include "common/rpc/status_conversion.h"
#include "ctlstore/v1/executive.grpc.pb.h"

namespace ctlstore::heartbeat {
namespace {

using Async = v1::Executive::StubInterface::async_interface;

}  // namespace

class ExecutiveClient::Impl {
 public:
  Impl(absl::string_view address, const rpc::ChannelOptions& channel,
       rpc::WriterCredentials credentials, absl::Duration timeout)
      : address_(address),
        channel_(channel),
        credentials_(std::move(credentials)),
        timeout_(timeout),
        stub_(v1::Executive::NewStub(rpc::NewChannel(address, channel))) {}

  // Makes one call and waits for its answer. The callback API is used because its threads see to
  // the connection between calls too; with the synchronous one nobody would, and a broken
  // connection would often be found broken again.
  template <typename Request, typename Response>
  absl::Status Call(void (Async::*method)(grpc::ClientContext*, const Request*, Response*,
                                          std::function<void(grpc::Status)>),
                    const Request& request, Response* response, bool as_writer = false) {
    grpc::ClientContext context;
    rpc::SetDeadline(absl::Now() + timeout_, &context);
    if (as_writer) {
      rpc::AddWriterCredentials(credentials_.writer, credentials_.secret, &context);
    }
    {
      absl::MutexLock lock(&mutex_);
      if (cancelled_) return absl::CancelledError("the client has been stopped");
      context_ = &context;
    }
    grpc::Status status;
    absl::Notification done;
    (stub_->async()->*method)(&context, &request, response, [&](grpc::Status result) {
      status = std::move(result);
      done.Notify();
    });
    done.WaitForNotification();
    {
      absl::MutexLock lock(&mutex_);
      context_ = nullptr;
    }
    return rpc::ExplainConnectionError(rpc::FromGrpcStatus(status), address_, channel_);
  }

  void Cancel() {
    absl::MutexLock lock(&mutex_);
    cancelled_ = true;
    if (context_ != nullptr) context_->TryCancel();
  }

  const rpc::WriterCredentials& credentials() const { return credentials_; }

 private:
  const std::string address_;
  const rpc::ChannelOptions channel_;
  const rpc::WriterCredentials credentials_;
  const absl::Duration timeout_;
  const std::unique_ptr<v1::Executive::Stub> stub_;

  absl::Mutex mutex_;
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  // The call under way.
  grpc::ClientContext* context_ ABSL_GUARDED_BY(mutex_) = nullptr;
};

ExecutiveClient::ExecutiveClient(absl::string_view address, const rpc::ChannelOptions& channel,
                                 rpc::WriterCredentials credentials, absl::Duration timeout)
    : impl_(std::make_unique<Impl>(address, channel, std::move(credentials), timeout)) {}
ExecutiveClient::~ExecutiveClient() = default;

absl::Status ExecutiveClient::RegisterWriter() {
  v1::RegisterWriterRequest request;
  request.set_writer(impl_->credentials().writer);
  request.set_secret(impl_->credentials().secret);
  v1::RegisterWriterResponse response;
  return impl_->Call(&Async::RegisterWriter, request, &response);
}

absl::Status ExecutiveClient::CreateFamily(absl::string_view family) {
  v1::CreateFamilyRequest request;
  request.set_family(std::string(family));
  v1::CreateFamilyResponse response;
  return impl_->Call(&Async::CreateFamily, request, &response);
}

absl::Status ExecutiveClient::CreateTable(const TableSchema& schema) {
  v1::CreateTableRequest request;
  rpc::ToProto(schema, request.mutable_table());
  v1::CreateTableResponse response;
  return impl_->Call(&Async::CreateTable, request, &response);
}

absl::StatusOr<int64_t> ExecutiveClient::Mutate(const TableSchema& schema,
                                                absl::Span<const ValueView> row) {
  v1::MutateRequest request;
  request.set_family(schema.name().family);
  v1::Mutation* mutation = request.add_mutations();
  mutation->set_table(schema.name().table);
  for (size_t i = 0; i < row.size(); ++i) {
    rpc::ToProto(row[i], &(*mutation->mutable_values())[schema.fields()[i].name]);
  }
  v1::MutateResponse response;
  absl::Status status = impl_->Call(&Async::Mutate, request, &response, /*as_writer=*/true);
  if (!status.ok()) return status;
  return response.sequence();
}

void ExecutiveClient::Cancel() { impl_->Cancel(); }

}  // namespace ctlstore::heartbeat
