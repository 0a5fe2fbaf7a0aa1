#include "common/rpc/client.h"

#include <grpc/grpc.h>
#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/impl/grpc_library.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_certificate_verifier.h>
#include <grpcpp/security/tls_credentials_options.h>
#include <grpcpp/support/channel_arguments.h>
#include <grpcpp/support/client_interceptor.h>

#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "common/rpc/bearer_tokens.h"
#include "common/rpc/exposure.h"
#include "common/rpc/tls_files.h"
#include "common/rpc/watched_files.h"
#include "common/schema/errors.h"

namespace ctlstore::rpc {
namespace {

// A server that vanished without closing the connection is noticed after the sum of the two. The
// servers take pings this often.
constexpr int kKeepaliveTimeMs = 30 * 1000;
constexpr int kKeepaliveTimeoutMs = 10 * 1000;

constexpr int kConnectTimeoutMs = 5 * 1000;
constexpr int kFirstReconnectMs = 100;
constexpr int kMaxReconnectMs = 5 * 1000;

constexpr unsigned kReloadSeconds = 1;
constexpr char kAuthorization[] = "authorization";

bool IsUnix(absl::string_view address) { return absl::StartsWith(address, "unix:"); }

bool UsesTls(absl::string_view address, const ChannelOptions& options) {
  return options.tls.enabled && !IsUnix(address);
}

bool HasToken(const ChannelOptions& options) {
  return !options.token.empty() || !options.token_file.empty();
}

// The token of a channel, whose file may change.
class TokenSource {
 public:
  explicit TokenSource(const ChannelOptions& options)
      : token_(options.token),
        from_file_(!options.token_file.empty()),
        file_({options.token_file},
              [this](const std::vector<std::string>& texts) { return Take(texts.front()); }) {}

  absl::Status Load() { return from_file_ ? file_.Load() : CheckToken(Get()); }

  std::string Get() {
    if (from_file_) file_.Refresh();
    absl::MutexLock lock(&mutex_);
    return token_;
  }

 private:
  absl::Status Take(const std::string& text) {
    absl::StatusOr<std::vector<std::string>> tokens = ParseTokens(text);
    if (!tokens.ok()) return tokens.status();
    absl::MutexLock lock(&mutex_);
    token_ = tokens->front();
    return absl::OkStatus();
  }

  absl::Mutex mutex_;
  std::string token_ ABSL_GUARDED_BY(mutex_);
  const bool from_file_;
  WatchedFiles file_;
};

// Puts the token on each call. gRPC's own call credentials do not go over connections without TLS,
// to this machine either.
class TokenInterceptor : public grpc::experimental::Interceptor {
 public:
  explicit TokenInterceptor(std::shared_ptr<TokenSource> source) : source_(std::move(source)) {}

  void Intercept(grpc::experimental::InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(
            grpc::experimental::InterceptionHookPoints::PRE_SEND_INITIAL_METADATA)) {
      methods->GetSendInitialMetadata()->emplace(kAuthorization,
                                                 absl::StrCat("Bearer ", source_->Get()));
    }
    methods->Proceed();
  }

 private:
  const std::shared_ptr<TokenSource> source_;
};

class TokenInterceptorFactory : public grpc::experimental::ClientInterceptorFactoryInterface {
 public:
  explicit TokenInterceptorFactory(std::shared_ptr<TokenSource> source)
      : source_(std::move(source)) {}

  grpc::experimental::Interceptor* CreateClientInterceptor(
      grpc::experimental::ClientRpcInfo*) override {
    return new TokenInterceptor(source_);
  }

 private:
  const std::shared_ptr<TokenSource> source_;
};

std::shared_ptr<grpc::ChannelCredentials> NewTlsCredentials(const ClientTlsOptions& tls) {
  namespace ex = grpc::experimental;
  ex::TlsChannelCredentialsOptions options;
  options.set_verify_server_certs(true);
  options.set_certificate_verifier(std::make_shared<ex::HostNameCertificateVerifier>());
  if (!tls.ca_file.empty() || !tls.cert_file.empty()) {
    options.set_certificate_provider(std::make_shared<ex::FileWatcherCertificateProvider>(
        tls.key_file, tls.cert_file, tls.ca_file, kReloadSeconds));
  }
  if (!tls.ca_file.empty()) options.watch_root_certs();
  if (!tls.cert_file.empty()) options.watch_identity_key_cert_pairs();
  return ex::TlsCredentials(options);
}

// A channel whose calls all fail with the status.
std::shared_ptr<grpc::Channel> NewFailingChannel(const std::string& address,
                                                 const absl::Status& status) {
  static grpc::internal::GrpcLibraryInitializer initializer;
  const grpc::GrpcLibraryCodegen in_use;
  return grpc::CreateChannelInternal(
      "",
      grpc_lame_client_channel_create(address.c_str(), static_cast<grpc_status_code>(status.code()),
                                      std::string(status.message()).c_str()),
      {});
}

}  // namespace

bool GoesInClear(absl::string_view address, const ChannelOptions& options) {
  return !options.tls.enabled && !IsUnix(address) && !IsLocalAddress(address);
}

absl::Status CheckChannel(absl::string_view address, const ChannelOptions& options) {
  const absl::Status tls = CheckClientTls(options.tls);
  if (!tls.ok() || !HasToken(options)) return tls;
  if (GoesInClear(address, options)) {
    return absl::FailedPreconditionError(
        absl::StrCat("a token is set, and would go in clear to ", address,
                     ", which is not on this machine: set --client_tls, or call without a token"));
  }
  const absl::Status token = TokenSource(options).Load();
  if (token.ok()) return token;
  return absl::InvalidArgumentError(
      options.token_file.empty()
          ? absl::StrCat("the token cannot be used: ", token.message())
          : absl::StrCat("--token_file: ", options.token_file, ": ", token.message()));
}

std::shared_ptr<grpc::Channel> NewChannel(absl::string_view address,
                                          const ChannelOptions& options) {
  const absl::Status usable = CheckChannel(address, options);
  if (!usable.ok()) return NewFailingChannel(std::string(address), usable);
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(options.max_receive_bytes);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveTimeMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kFirstReconnectMs);
  // gRPC's name for how long one attempt may take.
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kConnectTimeoutMs);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kMaxReconnectMs);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  if (options.own_connection) arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  const std::shared_ptr<grpc::ChannelCredentials> credentials =
      UsesTls(address, options) ? NewTlsCredentials(options.tls)
                                : grpc::InsecureChannelCredentials();
  std::vector<std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface>> interceptors;
  if (HasToken(options)) {
    auto source = std::make_shared<TokenSource>(options);
    // It was good a moment ago. Where it is not any more, the token is empty and the server says
    // so.
    source->Load().IgnoreError();
    interceptors.push_back(std::make_unique<TokenInterceptorFactory>(std::move(source)));
  }
  return grpc::experimental::CreateCustomChannelWithInterceptors(
      std::string(address), credentials, arguments, std::move(interceptors));
}

absl::Status ExplainConnectionError(const absl::Status& status, absl::string_view address,
                                    const ChannelOptions& options) {
  // What the server itself says has a reason.
  if (!absl::IsUnavailable(status) || ErrorReason(status).has_value() || IsUnix(address)) {
    return status;
  }
  const bool tls = UsesTls(address, options);
  return absl::Status(status.code(),
                      absl::StrCat(status.message(),
                                   tls ? "; TLS is on (--client_tls): the server has to speak it, "
                                         "with a certificate for this address of a known authority "
                                         "(--client_tls_ca_file)"
                                       : "; TLS is off: where the server speaks it, set "
                                         "--client_tls"));
}

void SetDeadline(absl::Time deadline, grpc::ClientContext* context) {
  context->set_deadline(absl::ToChronoTime(deadline));
}

}  // namespace ctlstore::rpc
