#include "common/rpc/server_credentials.h"

#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpcpp/security/server_credentials.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/rpc/tls_files.h"
#include "common/rpc/watched_files.h"

namespace ctlstore::rpc {
namespace {

// gRPC's own credentials that watch files refuse connections while a key and a certificate do not
// belong together. Its core lets the server decide what it uses instead, and asks before each
// handshake; only there is no class for that.
class ReloadingCredentials : public grpc::ServerCredentials {
 public:
  ReloadingCredentials(const ServerTlsOptions& options, Clock* clock)
      : files_(
            Paths(options),
            [this, options](const std::vector<std::string>& texts) { return Take(options, texts); },
            clock) {
    const grpc_ssl_client_certificate_request_type request =
        options.client_ca_file.empty() ? GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE
        : options.require_client_cert  ? GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY
                                       : GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY;
    credentials_ = grpc_ssl_server_credentials_create_with_options(
        grpc_ssl_server_credentials_create_options_using_config_fetcher(request, &Fetch, this));
  }

  ~ReloadingCredentials() override { grpc_server_credentials_release(credentials_); }

  absl::Status Load() { return files_.Load(); }

  void SetAuthMetadataProcessor(const std::shared_ptr<grpc::AuthMetadataProcessor>&) override {}

 private:
  static std::vector<std::string> Paths(const ServerTlsOptions& options) {
    std::vector<std::string> paths = {options.cert_file, options.key_file};
    if (!options.client_ca_file.empty()) paths.push_back(options.client_ca_file);
    return paths;
  }

  static grpc_ssl_certificate_config_reload_status Fetch(
      void* self, grpc_ssl_server_certificate_config** config) {
    return static_cast<ReloadingCredentials*>(self)->Fetch(config);
  }

  int AddPortToServer(const std::string& address, grpc_server* server) override {
    return grpc_server_add_http2_port(server, address.c_str(), credentials_);
  }

  absl::Status Take(const ServerTlsOptions& options, const std::vector<std::string>& texts) {
    absl::Status status = CheckKeyPair(options.cert_file, texts[0], options.key_file, texts[1]);
    if (!status.ok()) return status;
    if (texts.size() > 2) status = CheckAuthorities(options.client_ca_file, texts[2]);
    if (!status.ok()) return status;
    absl::MutexLock lock(&mutex_);
    texts_ = texts;
    fetched_ = false;
    return absl::OkStatus();
  }

  grpc_ssl_certificate_config_reload_status Fetch(grpc_ssl_server_certificate_config** config) {
    files_.Refresh();
    absl::MutexLock lock(&mutex_);
    if (fetched_) return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
    const grpc_ssl_pem_key_cert_pair pair = {texts_[1].c_str(), texts_[0].c_str()};
    // gRPC insists on authorities, also where it asks clients for nothing and does not use them.
    const std::string& authorities = texts_.size() > 2 ? texts_[2] : texts_[0];
    *config = grpc_ssl_server_certificate_config_create(authorities.c_str(), &pair, 1);
    fetched_ = true;
    return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
  }

  absl::Mutex mutex_;
  // Certificate, key and, where clients are asked for certificates, their authorities.
  std::vector<std::string> texts_ ABSL_GUARDED_BY(mutex_);
  // Whether gRPC has got them.
  bool fetched_ ABSL_GUARDED_BY(mutex_) = false;
  WatchedFiles files_;
  grpc_server_credentials* credentials_ = nullptr;
};

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> NewServerCredentials(
    const ServerTlsOptions& options, Clock* clock) {
  absl::Status status = CheckServerTls(options);
  if (!status.ok()) return status;
  auto credentials = std::make_shared<ReloadingCredentials>(options, clock);
  status = credentials->Load();
  if (!status.ok()) return status;
  return std::shared_ptr<grpc::ServerCredentials>(std::move(credentials));
}

}  // namespace ctlstore::rpc
