// The files with which a server or a client speaks TLS.

#ifndef CTLSTORE_COMMON_RPC_TLS_OPTIONS_H_
#define CTLSTORE_COMMON_RPC_TLS_OPTIONS_H_

#include <string>

namespace ctlstore::rpc {

// All files are PEM, and are read again when they change, so that certificates can be renewed
// without a restart.
struct ServerTlsOptions {
  // Both set, or TLS is off.
  std::string cert_file;
  std::string key_file;
  // Where set, clients may show a certificate of one of these authorities, and one of any other is
  // refused.
  std::string client_ca_file;
  // Whether a client without a certificate is refused as well (mutual TLS).
  bool require_client_cert = false;

  bool enabled() const { return !cert_file.empty(); }
};

struct ClientTlsOptions {
  bool enabled = false;
  // Authorities that may have signed the server's certificate. Empty: the system's.
  std::string ca_file;
  // The client's own certificate, where the server wants one. Both set or both empty.
  std::string cert_file;
  std::string key_file;
};

}  // namespace ctlstore::rpc

#endif  // CTLSTORE_COMMON_RPC_TLS_OPTIONS_H_
