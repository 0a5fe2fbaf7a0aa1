// Looks through the files of TLS before they are used, so that what is wrong with them is said by
// name rather than by connections that fail.

#ifndef CTLSTORE_COMMON_RPC_TLS_FILES_H_
#define CTLSTORE_COMMON_RPC_TLS_FILES_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "common/rpc/tls_options.h"

namespace ctlstore::rpc {

// PEM texts: `cert` is a certificate, with the chain to its authority behind it, and `key` is its
// private key, without a password. INVALID_ARGUMENT names the file.
absl::Status CheckKeyPair(const std::string& cert_file, absl::string_view cert,
                          const std::string& key_file, absl::string_view key);

// A PEM text with at least one certificate. INVALID_ARGUMENT names the file.
absl::Status CheckAuthorities(const std::string& file, absl::string_view text);

// The options as a whole, with their files, where TLS is on. INVALID_ARGUMENT names the flag or the
// file.
absl::Status CheckServerTls(const ServerTlsOptions& options);
absl::Status CheckClientTls(const ClientTlsOptions& options);

}  // namespace ctlstore::rpc

#endif  // CTLSTORE_COMMON_RPC_TLS_FILES_H_
