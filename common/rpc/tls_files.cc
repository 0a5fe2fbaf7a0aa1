#include "common/rpc/tls_files.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/rpc/watched_files.h"

namespace ctlstore::rpc {
namespace {

template <auto kFree>
struct Free {
  template <typename T>
  void operator()(T* pointer) const {
    kFree(pointer);
  }
};
using Bio = std::unique_ptr<BIO, Free<BIO_free>>;
using Certificate = std::unique_ptr<X509, Free<X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Free<EVP_PKEY_free>>;

Bio OpenText(absl::string_view text) {
  return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

// OpenSSL would ask at the terminal.
int NoPassword(char*, int, int, void*) { return -1; }

absl::Status Malformed(const std::string& file, absl::string_view problem) {
  return absl::InvalidArgumentError(absl::StrCat("the file ", file, " ", problem));
}

// The first of the certificates. All of them have to be well formed.
absl::StatusOr<Certificate> ReadCertificates(const std::string& file, absl::string_view text) {
  const Bio bio = OpenText(text);
  Certificate first;
  while (true) {
    Certificate next(PEM_read_bio_X509(bio.get(), nullptr, NoPassword, nullptr));
    if (next == nullptr) break;
    if (first == nullptr) first = std::move(next);
  }
  const auto error = ERR_peek_last_error();
  ERR_clear_error();
  if (first == nullptr) return Malformed(file, "holds no certificate in PEM");
  if (ERR_GET_REASON(error) != PEM_R_NO_START_LINE) {
    return Malformed(file, "holds a certificate that is not well formed");
  }
  return first;
}

absl::Status CheckPair(const std::string& cert_option, const std::string& cert_file,
                       const std::string& key_option, const std::string& key_file) {
  WatchedFiles files({cert_file, key_file}, [&](const std::vector<std::string>& texts) {
    return CheckKeyPair(cert_file, texts[0], key_file, texts[1]);
  });
  const absl::Status status = files.Load();
  if (status.ok()) return status;
  return absl::InvalidArgumentError(
      absl::StrCat("--", cert_option, ", --", key_option, ": ", status.message()));
}

absl::Status CheckAuthorityFile(const std::string& option, const std::string& file) {
  WatchedFiles files({file}, [&](const std::vector<std::string>& texts) {
    return CheckAuthorities(file, texts[0]);
  });
  const absl::Status status = files.Load();
  if (status.ok()) return status;
  return absl::InvalidArgumentError(absl::StrCat("--", option, ": ", status.message()));
}

// `needs` has to be set where `option` is.
absl::Status Needs(absl::string_view option, absl::string_view needs) {
  return absl::InvalidArgumentError(absl::StrCat("--", option, " is set without --", needs));
}

}  // namespace

absl::Status CheckKeyPair(const std::string& cert_file, absl::string_view cert,
                          const std::string& key_file, absl::string_view key) {
  const absl::StatusOr<Certificate> certificate = ReadCertificates(cert_file, cert);
  if (!certificate.ok()) return certificate.status();
  const Key private_key(PEM_read_bio_PrivateKey(OpenText(key).get(), nullptr, NoPassword, nullptr));
  const bool belongs =
      private_key != nullptr && X509_check_private_key(certificate->get(), private_key.get()) == 1;
  ERR_clear_error();
  if (private_key == nullptr) {
    return Malformed(key_file, "holds no private key in PEM, or one with a password");
  }
  if (!belongs) {
    return Malformed(
        key_file,
        absl::StrCat("holds a key that does not belong to the certificate in ", cert_file));
  }
  return absl::OkStatus();
}

absl::Status CheckAuthorities(const std::string& file, absl::string_view text) {
  return ReadCertificates(file, text).status();
}

absl::Status CheckServerTls(const ServerTlsOptions& options) {
  if (options.cert_file.empty() != options.key_file.empty()) {
    return options.key_file.empty() ? Needs("tls_cert_file", "tls_key_file")
                                    : Needs("tls_key_file", "tls_cert_file");
  }
  if (!options.client_ca_file.empty() && !options.enabled()) {
    return Needs("tls_client_ca_file", "tls_cert_file");
  }
  if (options.require_client_cert && options.client_ca_file.empty()) {
    return Needs("tls_require_client_cert", "tls_client_ca_file");
  }
  if (!options.enabled()) return absl::OkStatus();
  const absl::Status pair =
      CheckPair("tls_cert_file", options.cert_file, "tls_key_file", options.key_file);
  if (!pair.ok() || options.client_ca_file.empty()) return pair;
  return CheckAuthorityFile("tls_client_ca_file", options.client_ca_file);
}

absl::Status CheckClientTls(const ClientTlsOptions& options) {
  if (options.cert_file.empty() != options.key_file.empty()) {
    return options.key_file.empty() ? Needs("client_tls_cert_file", "client_tls_key_file")
                                    : Needs("client_tls_key_file", "client_tls_cert_file");
  }
  if (!options.enabled) {
    if (!options.ca_file.empty()) return Needs("client_tls_ca_file", "client_tls");
    if (!options.cert_file.empty()) return Needs("client_tls_cert_file", "client_tls");
    return absl::OkStatus();
  }
  if (!options.cert_file.empty()) {
    const absl::Status pair = CheckPair("client_tls_cert_file", options.cert_file,
                                        "client_tls_key_file", options.key_file);
    if (!pair.ok()) return pair;
  }
  if (options.ca_file.empty()) return absl::OkStatus();
  return CheckAuthorityFile("client_tls_ca_file", options.ca_file);
}

}  // namespace ctlstore::rpc
