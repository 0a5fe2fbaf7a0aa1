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

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/types/optional.h"
#include "common/rpc/exposure.h"
#include "common/rpc/listen_address.h"
#include "common/rpc/server_credentials.h"
#include "common/rpc/tls_files.h"

namespace ctlstore::rpc {
namespace {

// Idle connections are asked for a sign of life at this interval, so that a client that vanished
// does not hold its calls for good.
constexpr int kKeepaliveTimeMs = 60 * 1000;
constexpr int kKeepaliveTimeoutMs = 20 * 1000;
// Clients may do the same, no oftener than this.
constexpr int kMinClientPingIntervalMs = 5 * 1000;
// How long a client may take until it speaks TLS and HTTP/2.
constexpr int kHandshakeTimeoutMs = 10 * 1000;

// One place in gRPC's code is heard at most this often: what clients do wrong must not fill the
// log.
constexpr absl::Duration kMessageInterval = absl::Seconds(10);

class MessageLimit {
 public:
  // How many messages of the place were kept back since the last one; nullopt to keep this one
  // back.
  absl::optional<int64_t> Pass(const char* file, int line, absl::Time now) {
    absl::MutexLock lock(&mutex_);
    Place& place = places_[{file, line}];
    if (now >= place.last && now - place.last < kMessageInterval) {
      ++place.kept_back;
      return absl::nullopt;
    }
    place.last = now;
    return std::exchange(place.kept_back, 0);
  }

 private:
  struct Place {
    absl::Time last = absl::InfinitePast();
    int64_t kept_back = 0;
  };
  absl::Mutex mutex_;
  absl::flat_hash_map<std::pair<const char*, int>, Place> places_ ABSL_GUARDED_BY(mutex_);
};

void LogGrpcMessage(gpr_log_func_args* args) {
  static MessageLimit* const limit = new MessageLimit;
  const absl::optional<int64_t> kept_back = limit->Pass(args->file, args->line, absl::Now());
  if (!kept_back.has_value()) return;
  // gRPC calls many things errors that its caller hears of anyway.
  LOG(WARNING) << "event=grpc_message file=" << args->file << " line=" << args->line
               << " kept_back=" << *kept_back << " message=\"" << args->message << "\"";
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

void WarnOfOpenAddresses(const ServerOptions& options) {
  for (const std::string& address : options.listen) {
    if (!options.insecure || IsLocalAddress(address)) continue;
    const Protection protection = ProtectionOf(options);
    if (protection.tls && protection.roles) continue;
    LOG(WARNING) << "event=insecure_address address=" << address << " tls=" << protection.tls
                 << " roles=" << protection.roles;
  }
}

}  // namespace

Protection ProtectionOf(const ServerOptions& options) {
  Protection protection;
  protection.tls = options.tls.enabled();
  protection.roles = options.access.has_tokens() || options.access.has_identities();
  protection.insecure = options.insecure;
  return protection;
}

absl::Status CheckServerOptions(const ServerOptions& options) {
  const absl::Status tls = CheckServerTls(options.tls);
  if (!tls.ok()) return tls;
  if (options.access.has_identities() && options.tls.client_ca_file.empty()) {
    return absl::InvalidArgumentError(
        "--admin_identities and --reader_identities are names in client certificates, and need "
        "--tls_client_ca_file, which says whose certificates these may be");
  }
  const absl::Status access = AccessControl::Create(options.access).status();
  if (!access.ok()) return access;
  return CheckExposure(options.listen, ProtectionOf(options));
}

class Server::Impl {
 public:
  // Used by the server to its end.
  std::vector<std::shared_ptr<grpc::ServerCredentials>> credentials;
  std::unique_ptr<grpc::Server> server;
  std::vector<std::string> addresses;
};

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const ServerOptions& options,
                                                      const std::vector<grpc::Service*>& services) {
  if (options.listen.empty()) {
    return absl::InvalidArgumentError("the server has no address to listen on");
  }
  const absl::Status usable = CheckServerOptions(options);
  if (!usable.ok()) return usable;
  std::vector<ListenAddress> addresses;
  for (const std::string& text : options.listen) {
    absl::StatusOr<ListenAddress> address = ParseListenAddress(text);
    if (!address.ok()) return address.status();
    absl::Status free = RemoveStaleSocket(*address);
    if (!free.ok()) return free;
    addresses.push_back(*std::move(address));
  }

  InitGrpcOnce();
  auto impl = std::make_unique<Impl>();
  grpc::ServerBuilder builder;
  std::vector<int> ports(addresses.size(), 0);
  for (size_t i = 0; i < addresses.size(); ++i) {
    std::shared_ptr<grpc::ServerCredentials> credentials = grpc::InsecureServerCredentials();
    if (options.tls.enabled() && !addresses[i].is_unix()) {
      absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> tls_credentials =
          NewServerCredentials(options.tls);
      if (!tls_credentials.ok()) return tls_credentials.status();
      credentials = *std::move(tls_credentials);
    }
    builder.AddListeningPort(addresses[i].ToString(), credentials, &ports[i]);
    impl->credentials.push_back(std::move(credentials));
  }
  // Otherwise two servers on one port would share its connections between them.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveTimeMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                             kMinClientPingIntervalMs);
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, kHandshakeTimeoutMs);
  builder.SetMaxReceiveMessageSize(options.max_receive_bytes);
  grpc::ResourceQuota quota("ctlstore_server");
  quota.SetMaxThreads(options.max_threads);
  builder.SetResourceQuota(quota);
  for (grpc::Service* service : services) builder.RegisterService(service);
  std::vector<std::string> service_names;
  builder.SetOption(std::make_unique<CollectServiceNames>(&service_names));

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
  WarnOfOpenAddresses(options);
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
