// TLS of the HTTP server: certificates that are read again when they change, and clients' names.

#ifndef CTLSTORE_COMMON_RPC_HTTP_TLS_H_
#define CTLSTORE_COMMON_RPC_HTTP_TLS_H_

#include <gnutls/gnutls.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "common/rpc/tls_options.h"
#include "common/rpc/watched_files.h"

namespace ctlstore::rpc {

// What a server shows and trusts. Immutable; a session that uses it must not outlive it.
class TlsCredentials {
 public:
  // The texts are PEM. Without authorities no client is asked for a certificate. `client_request`
  // is what clients are asked for otherwise. INVALID_ARGUMENT never holds a key.
  static absl::StatusOr<std::shared_ptr<const TlsCredentials>> Create(
      const std::string& certificate, const std::string& key, const std::string& client_authorities,
      gnutls_certificate_request_t client_request);
  ~TlsCredentials();
  TlsCredentials(const TlsCredentials&) = delete;
  TlsCredentials& operator=(const TlsCredentials&) = delete;

  // Makes a server's session, whose handshake has not begun, use these.
  void Use(gnutls_session_t session) const;

  // As they were given.
  const std::string& certificate() const { return certificate_; }
  const std::string& key() const { return key_; }

 private:
  TlsCredentials(const std::string& certificate, const std::string& key)
      : certificate_(certificate), key_(key) {}

  const std::string certificate_;
  const std::string key_;
  gnutls_certificate_credentials_t credentials_ = nullptr;
  gnutls_certificate_request_t client_request_ = GNUTLS_CERT_IGNORE;
};

// The newest credentials that could be read from files. Where the files do not fit each other, as
// while they are being replaced one after the other, the old credentials stay. Thread-safe.
class TlsFiles {
 public:
  // INVALID_ARGUMENT names the file that cannot be read, or the certificate that cannot be used.
  static absl::StatusOr<std::unique_ptr<TlsFiles>> Open(const ServerTlsOptions& options);

  std::shared_ptr<const TlsCredentials> credentials() const;

  // Reads the files again where they have changed; to be called again and again.
  void Refresh() { files_.Refresh(); }

 private:
  explicit TlsFiles(const ServerTlsOptions& options);
  absl::Status Take(const std::vector<std::string>& texts);

  const ServerTlsOptions options_;
  mutable absl::Mutex mutex_;
  std::shared_ptr<const TlsCredentials> credentials_ ABSL_GUARDED_BY(mutex_);
  WatchedFiles files_;
};

// The names in the certificate that the client has shown and that was verified in the handshake:
// common name, DNS and URI names. Empty where it has shown none.
std::vector<std::string> ClientNames(gnutls_session_t session);

}  // namespace ctlstore::rpc

#endif  // CTLSTORE_COMMON_RPC_HTTP_TLS_H_
