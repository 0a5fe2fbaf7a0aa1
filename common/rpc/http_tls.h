// TLS of the HTTP server: certificates that are read again when they change, and clients' names.

#ifndef CTLSTORE_COMMON_RPC_HTTP_TLS_H_
#define CTLSTORE_COMMON_RPC_HTTP_TLS_H_

#include <gnutls/gnutls.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "common/rpc/tls_options.h"

namespace ctlstore::rpc {

// What a server shows and trusts, as the files had it at one time. Immutable; a session that uses
// it must not outlive it.
class TlsCredentials {
 public:
  // INVALID_ARGUMENT names the file that cannot be used; never holds a key.
  static absl::StatusOr<std::shared_ptr<const TlsCredentials>> Load(
      const ServerTlsOptions& options);
  ~TlsCredentials();
  TlsCredentials(const TlsCredentials&) = delete;
  TlsCredentials& operator=(const TlsCredentials&) = delete;

  // Makes a server's session, whose handshake has not begun, use these.
  void Use(gnutls_session_t session) const;

  // As they were read.
  const std::string& certificate_pem() const { return certificate_pem_; }
  const std::string& key_pem() const { return key_pem_; }

 private:
  TlsCredentials() = default;

  gnutls_certificate_credentials_t credentials_ = nullptr;
  gnutls_certificate_request_t client_request_ = GNUTLS_CERT_IGNORE;
  std::string certificate_pem_;
  std::string key_pem_;
};

// The newest credentials that could be read. Thread-safe.
class TlsFiles {
 public:
  // Errors as TlsCredentials::Load().
  static absl::StatusOr<std::unique_ptr<TlsFiles>> Open(const ServerTlsOptions& options);

  std::shared_ptr<const TlsCredentials> credentials() const;

  // Reads the files again where one has changed since. Where they cannot be used, as while they are
  // being replaced one after the other, the old credentials stay.
  void Refresh();

 private:
  // Device, inode, size and time of change of each file.
  using Signature = std::array<uint64_t, 15>;

  explicit TlsFiles(const ServerTlsOptions& options) : options_(options) {}
  Signature Look() const;

  const ServerTlsOptions options_;
  mutable absl::Mutex mutex_;
  Signature signature_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<const TlsCredentials> credentials_ ABSL_GUARDED_BY(mutex_);
};

// The names in the certificate that the client has shown and that was verified in the handshake:
// common name, DNS and URI names. Empty where it has shown none.
std::vector<std::string> ClientNames(gnutls_session_t session);

}  // namespace ctlstore::rpc

#endif  // CTLSTORE_COMMON_RPC_HTTP_TLS_H_
