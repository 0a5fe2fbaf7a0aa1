// Certificates and keys of a test's own.

#ifndef CTLSTORE_COMMON_RPC_TESTING_CERTIFICATES_H_
#define CTLSTORE_COMMON_RPC_TESTING_CERTIFICATES_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace ctlstore::rpc::testing {

// Both are PEM.
struct Certificate {
  std::string cert;
  std::string key;
};

struct CertificateOptions {
  std::string common_name;
  // As OpenSSL writes them: "DNS:localhost", "IP:127.0.0.1", "URI:spiffe://test/loader".
  std::vector<std::string> alternative_names;
  absl::Time not_before = absl::Now() - absl::Hours(1);
  absl::Time not_after = absl::Now() + absl::Hours(24);
};

// Signs certificates with a key that only it has; each certificate has a new key, on the curve
// P-256, and is good for servers and for clients. Ends the process where that fails. Thread-safe.
//
//   CertificateAuthority ca;
//   ReplaceFile(folder + "/ca.pem", ca.cert());
//   const Certificate server = ca.IssueServer();
//   ReplaceFile(folder + "/server.pem", server.cert);
//   ReplaceFile(folder + "/server.key", server.key);
class CertificateAuthority {
 public:
  explicit CertificateAuthority(absl::string_view name = "Test CA");
  ~CertificateAuthority();
  CertificateAuthority(const CertificateAuthority&) = delete;
  CertificateAuthority& operator=(const CertificateAuthority&) = delete;

  // The authority's own certificate, PEM.
  const std::string& cert() const;

  Certificate Issue(const CertificateOptions& options) const;

  // For localhost, 127.0.0.1 and ::1.
  Certificate IssueServer() const;
  // The same, expired an hour ago.
  Certificate IssueExpiredServer() const;
  // For a client that is known by its common name.
  Certificate IssueClient(absl::string_view common_name) const;
  Certificate IssueExpiredClient(absl::string_view common_name) const;

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

// Writes a file so that whoever reads it finds the old text or the new one, never a part. Ends the
// process where that fails.
void ReplaceFile(const std::string& path, absl::string_view text);

}  // namespace ctlstore::rpc::testing

#endif  // CTLSTORE_COMMON_RPC_TESTING_CERTIFICATES_H_
