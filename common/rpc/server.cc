#include "common/rpc/server.h"

#include <glog/logging.h>
#include <grpc/support/log.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/impl/server_builder_option.h>
#include <grpcpp/impl/server_builder_plugin.h>
#include <grpcpp/impl/server_initializer.h>
#include <grpcpp/resource_quota.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/rpc/listen_address.h"

namespace ctlstore::rpc {
namespace {

// Idle connections are asked for a sign of life at this interval, so that a client that vanished
// does not hold its calls for good.
constexpr int kKeepaliveTimeMs = 60 * 1000;
constexpr int kKeepaliveTimeoutMs = 20 * 1000;
// Clients may do the same, no oftener than this.
constexpr int kMinClientPingIntervalMs = 5 * 1000;

void LogGrpcMessage(gpr_log_func_args* args) {
  // gRPC calls many things errors that its caller hears of anyway.
  LOG(WARNING) << "event=grpc_message file=" << args->file << " line=" << args->line
               << " message=\"" << args->message << "\"";
}

// What gRPC has only for the process as a whole.
void InitGrpcOnce() {
  static const bool initialized = [] {
    gpr_set_log_function(LogGrpcMessage);
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    return true;
  }();
  static_cast<void>(initialized);
}

// Learns the names of the services that a server has, which the health service does not do by
// itself.
class ServiceNames : public grpc::ServerBuilderPlugin {
 public:
  explicit ServiceNames(std::vector<std::string>* names) : names_(names) {}
  std::string name() override { return "ctlstore.service_names"; }
  void InitServer(grpc::ServerInitializer*) override {}
  void Finish(grpc::ServerInitializer* initializer) override {
    *names_ = *initializer->GetServiceList();
  }
  void ChangeArguments(const std::string&, void*) override {}

 private:
  std::vector<std::string>* const names_;
};

class CollectServiceNames : public grpc::ServerBuilderOption {
 public:
  explicit CollectServiceNames(std::vector<std::string>* names) : names_(names) {}
  void UpdateArguments(grpc::ChannelArguments*) override {}
  void UpdatePlugins(std::vector<std::unique_ptr<grpc::ServerBuilderPlugin>>* plugins) override {
    plugins->push_back(std::make_unique<ServiceNames>(names_));
  }

 private:
  std::vector<std::string>* const names_;
};

}  // namespace

class Server::Impl {
 public:
  std::unique_ptr<grpc::Server> server;
  std::vector<std::string> addresses;
};

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const ServerOptions& options,
                                                      const std::vector<grpc::Service*>& services) {
  if (options.listen.empty()) {
    return absl::InvalidArgumentError("the server has no address to listen on");
  }
  std::vector<ListenAddress> addresses;
  for (const std::string& text : options.listen) {
    absl::StatusOr<ListenAddress> address = ParseListenAddress(text);
    if (!address.ok()) return address.status();
    absl::Status free = RemoveStaleSocket(*address);
    if (!free.ok()) return free;
    addresses.push_back(*std::move(address));
  }

  InitGrpcOnce();
  grpc::ServerBuilder builder;
  std::vector<int> ports(addresses.size(), 0);
  for (size_t i = 0; i < addresses.size(); ++i) {
    builder.AddListeningPort(addresses[i].ToString(), grpc::InsecureServerCredentials(), &ports[i]);
  }
  // Otherwise two servers on one port would share its connections between them.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveTimeMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                             kMinClientPingIntervalMs);
  builder.SetMaxReceiveMessageSize(options.max_receive_bytes);
  grpc::ResourceQuota quota("ctlstore_server");
  quota.SetMaxThreads(options.max_threads);
  builder.SetResourceQuota(quota);
  for (grpc::Service* service : services) builder.RegisterService(service);
  std::vector<std::string> service_names;
  builder.SetOption(std::make_unique<CollectServiceNames>(&service_names));

  auto impl = std::make_unique<Impl>();
  impl->server = builder.BuildAndStart();
  for (size_t i = 0; i < addresses.size(); ++i) {
    // gRPC stops at the first address that it cannot have.
    if (ports[i] == 0) {
      return absl::UnavailableError(absl::StrCat("cannot listen on ", addresses[i].ToString(), ": ",
                                                 ExplainListenFailure(addresses[i])));
    }
    if (!addresses[i].is_unix()) addresses[i].port = static_cast<uint16_t>(ports[i]);
    impl->addresses.push_back(addresses[i].ToString());
  }
  if (impl->server == nullptr) {
    return absl::InternalError("gRPC did not start the server; its reason is in the log");
  }
  for (const std::string& name : service_names) {
    impl->server->GetHealthCheckService()->SetServingStatus(name, true);
  }
  return std::unique_ptr<Server>(new Server(std::move(impl)));
}

Server::Server(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Server::~Server() { Shutdown(absl::ZeroDuration()); }

const std::vector<std::string>& Server::addresses() const { return impl_->addresses; }

void Server::SetServing(bool serving) {
  impl_->server->GetHealthCheckService()->SetServingStatus(serving);
}

void Server::Shutdown(absl::Duration grace) {
  // Whoever watches the health learns of the end before connections close.
  impl_->server->GetHealthCheckService()->Shutdown();
  impl_->server->Shutdown(absl::ToChronoTime(absl::Now() + grace));
}

}  // namespace ctlstore::rpc
