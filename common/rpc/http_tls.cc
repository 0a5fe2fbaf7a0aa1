#include "common/rpc/http_tls.h"

#include <gnutls/x509.h>

#include <cstddef>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"

namespace ctlstore::rpc {
namespace {

// Longer names in a certificate are left out.
constexpr size_t kNameMaxBytes = 1024;

gnutls_datum_t DatumOf(const std::string& text) {
  return {reinterpret_cast<unsigned char*>(const_cast<char*>(text.data())),
          static_cast<unsigned int>(text.size())};
}

// Called in the handshake, also where the client has shown nothing; GNUTLS_CERT_REQUIRE refuses
// that by itself.
int VerifyClient(gnutls_session_t session) {
  unsigned int certificates = 0;
  if (gnutls_certificate_get_peers(session, &certificates) == nullptr) return 0;
  gnutls_typed_vdata_st purpose = {};
  purpose.type = GNUTLS_DT_KEY_PURPOSE_OID;
  purpose.data = reinterpret_cast<unsigned char*>(const_cast<char*>(GNUTLS_KP_TLS_WWW_CLIENT));
  unsigned int status = 0;
  const int result = gnutls_certificate_verify_peers(session, &purpose, 1, &status);
  return result < 0 || status != 0 ? GNUTLS_E_CERTIFICATE_ERROR : 0;
}

std::vector<std::string> Paths(const ServerTlsOptions& options) {
  std::vector<std::string> paths = {options.cert_file, options.key_file};
  if (!options.client_ca_file.empty()) paths.push_back(options.client_ca_file);
  return paths;
}

// A NUL in a name could make it look like another one to who reads it.
void AddName(absl::string_view name, std::vector<std::string>* names) {
  if (!name.empty() && name.find('\0') == absl::string_view::npos) names->emplace_back(name);
}

}  // namespace

absl::StatusOr<std::shared_ptr<const TlsCredentials>> TlsCredentials::Create(
    const std::string& certificate, const std::string& key, const std::string& client_authorities,
    gnutls_certificate_request_t client_request) {
  std::shared_ptr<TlsCredentials> result(new TlsCredentials(certificate, key));
  if (gnutls_certificate_allocate_credentials(&result->credentials_) != 0) {
    return absl::InternalError("no memory for TLS credentials");
  }
  const gnutls_datum_t certificate_datum = DatumOf(certificate);
  const gnutls_datum_t key_datum = DatumOf(key);
  // Fails too where the key is not the certificate's.
  const int loaded = gnutls_certificate_set_x509_key_mem(result->credentials_, &certificate_datum,
                                                         &key_datum, GNUTLS_X509_FMT_PEM);
  if (loaded < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("the certificate and the key cannot be used: ", gnutls_strerror(loaded)));
  }
  if (!client_authorities.empty()) {
    const gnutls_datum_t datum = DatumOf(client_authorities);
    const int count =
        gnutls_certificate_set_x509_trust_mem(result->credentials_, &datum, GNUTLS_X509_FMT_PEM);
    if (count <= 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("the clients' authorities cannot be used: ",
                       count == 0 ? "there is no certificate" : gnutls_strerror(count)));
    }
    result->client_request_ = client_request;
    gnutls_certificate_set_verify_function(result->credentials_, &VerifyClient);
  }
  return std::shared_ptr<const TlsCredentials>(std::move(result));
}

TlsCredentials::~TlsCredentials() {
  if (credentials_ != nullptr) gnutls_certificate_free_credentials(credentials_);
}

void TlsCredentials::Use(gnutls_session_t session) const {
  gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, credentials_);
  gnutls_certificate_server_set_request(session, client_request_);
}

absl::StatusOr<std::unique_ptr<TlsFiles>> TlsFiles::Open(const ServerTlsOptions& options) {
  if (options.require_client_cert && options.client_ca_file.empty()) {
    return absl::InvalidArgumentError(
        "clients' certificates are required, but no file of authorities for them is named");
  }
  std::unique_ptr<TlsFiles> files(new TlsFiles(options));
  const absl::Status status = files->files_.Load();
  if (!status.ok()) return status;
  return files;
}

TlsFiles::TlsFiles(const ServerTlsOptions& options)
    : options_(options), files_(Paths(options), [this](const std::vector<std::string>& texts) {
        return Take(texts);
      }) {}

std::shared_ptr<const TlsCredentials> TlsFiles::credentials() const {
  absl::MutexLock lock(&mutex_);
  return credentials_;
}

absl::Status TlsFiles::Take(const std::vector<std::string>& texts) {
  absl::StatusOr<std::shared_ptr<const TlsCredentials>> credentials = TlsCredentials::Create(
      texts[0], texts[1], texts.size() > 2 ? texts[2] : "",
      options_.require_client_cert ? GNUTLS_CERT_REQUIRE : GNUTLS_CERT_REQUEST);
  if (!credentials.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat(absl::StrJoin(Paths(options_), ", "), ": ", credentials.status().message()));
  }
  absl::MutexLock lock(&mutex_);
  credentials_ = *std::move(credentials);
  return absl::OkStatus();
}

std::vector<std::string> ClientNames(gnutls_session_t session) {
  std::vector<std::string> names;
  unsigned int count = 0;
  const gnutls_datum_t* certificates = gnutls_certificate_get_peers(session, &count);
  if (certificates == nullptr || count == 0) return names;
  gnutls_x509_crt_t certificate = nullptr;
  if (gnutls_x509_crt_init(&certificate) != 0) return names;
  if (gnutls_x509_crt_import(certificate, &certificates[0], GNUTLS_X509_FMT_DER) == 0) {
    char buffer[kNameMaxBytes];
    size_t size = sizeof(buffer);
    if (gnutls_x509_crt_get_dn_by_oid(certificate, GNUTLS_OID_X520_COMMON_NAME, 0, 0, buffer,
                                      &size) == 0) {
      AddName(absl::string_view(buffer, size), &names);
    }
    for (unsigned int i = 0;; ++i) {
      size = sizeof(buffer);
      const int type = gnutls_x509_crt_get_subject_alt_name(certificate, i, buffer, &size, nullptr);
      if (type == GNUTLS_E_SHORT_MEMORY_BUFFER) continue;
      if (type < 0) break;
      if (type == GNUTLS_SAN_DNSNAME || type == GNUTLS_SAN_URI) {
        AddName(absl::string_view(buffer, size), &names);
      }
    }
  }
  gnutls_x509_crt_deinit(certificate);
  return names;
}

}  // namespace ctlstore::rpc
