#include "common/rpc/http_tls.h"

#include <glog/logging.h>
#include <gnutls/x509.h>
#include <sys/stat.h>

#include <cstddef>
#include <fstream>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace ctlstore::rpc {
namespace {

// Longer names in a certificate are left out.
constexpr size_t kNameMaxBytes = 1024;

absl::StatusOr<std::string> ReadPem(const std::string& file) {
  std::ifstream stream(file, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
  if (!stream.is_open() || stream.bad() || text.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("cannot read ", file, ", or it is empty"));
  }
  return text;
}

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

// A NUL in a name could make it look like another one to who reads it.
void AddName(absl::string_view name, std::vector<std::string>* names) {
  if (!name.empty() && name.find('\0') == absl::string_view::npos) names->emplace_back(name);
}

}  // namespace

absl::StatusOr<std::shared_ptr<const TlsCredentials>> TlsCredentials::Load(
    const ServerTlsOptions& options) {
  if (options.require_client_cert && options.client_ca_file.empty()) {
    return absl::InvalidArgumentError(
        "clients' certificates are required, but no file of authorities for them is named");
  }
  std::shared_ptr<TlsCredentials> result(new TlsCredentials());
  absl::StatusOr<std::string> certificate = ReadPem(options.cert_file);
  if (!certificate.ok()) return certificate.status();
  absl::StatusOr<std::string> key = ReadPem(options.key_file);
  if (!key.ok()) return key.status();
  result->certificate_pem_ = *std::move(certificate);
  result->key_pem_ = *std::move(key);

  if (gnutls_certificate_allocate_credentials(&result->credentials_) != 0) {
    return absl::InternalError("no memory for TLS credentials");
  }
  const gnutls_datum_t certificate_datum = DatumOf(result->certificate_pem_);
  const gnutls_datum_t key_datum = DatumOf(result->key_pem_);
  // Fails too where the key is not the certificate's.
  const int loaded = gnutls_certificate_set_x509_key_mem(result->credentials_, &certificate_datum,
                                                         &key_datum, GNUTLS_X509_FMT_PEM);
  if (loaded < 0) {
    return absl::InvalidArgumentError(absl::StrCat("cannot use the certificate ", options.cert_file,
                                                   " with the key ", options.key_file, ": ",
                                                   gnutls_strerror(loaded)));
  }
  if (!options.client_ca_file.empty()) {
    absl::StatusOr<std::string> authorities = ReadPem(options.client_ca_file);
    if (!authorities.ok()) return authorities.status();
    const gnutls_datum_t datum = DatumOf(*authorities);
    const int count =
        gnutls_certificate_set_x509_trust_mem(result->credentials_, &datum, GNUTLS_X509_FMT_PEM);
    if (count <= 0) {
      return absl::InvalidArgumentError(absl::StrCat(
          "cannot use the authorities in ", options.client_ca_file, ": ",
          count == 0 ? "there is no certificate in the file" : gnutls_strerror(count)));
    }
    result->client_request_ =
        options.require_client_cert ? GNUTLS_CERT_REQUIRE : GNUTLS_CERT_REQUEST;
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
  std::unique_ptr<TlsFiles> files(new TlsFiles(options));
  // Looked at before they are read, so that a change in between is seen at the next look.
  const Signature signature = files->Look();
  absl::StatusOr<std::shared_ptr<const TlsCredentials>> credentials = TlsCredentials::Load(options);
  if (!credentials.ok()) return credentials.status();
  absl::MutexLock lock(&files->mutex_);
  files->signature_ = signature;
  files->credentials_ = *std::move(credentials);
  return files;
}

std::shared_ptr<const TlsCredentials> TlsFiles::credentials() const {
  absl::MutexLock lock(&mutex_);
  return credentials_;
}

void TlsFiles::Refresh() {
  const Signature signature = Look();
  {
    absl::MutexLock lock(&mutex_);
    if (signature == signature_) return;
    signature_ = signature;
  }
  absl::StatusOr<std::shared_ptr<const TlsCredentials>> credentials =
      TlsCredentials::Load(options_);
  if (!credentials.ok()) {
    LOG(WARNING) << "event=http_tls_not_reloaded error=\"" << credentials.status().message()
                 << "\"";
    return;
  }
  LOG(INFO) << "event=http_tls_reloaded certificate=" << options_.cert_file;
  absl::MutexLock lock(&mutex_);
  credentials_ = *std::move(credentials);
}

TlsFiles::Signature TlsFiles::Look() const {
  Signature signature = {};
  size_t next = 0;
  for (const std::string* file :
       {&options_.cert_file, &options_.key_file, &options_.client_ca_file}) {
    struct stat state = {};
    if (!file->empty() && stat(file->c_str(), &state) == 0) {
      signature[next] = state.st_dev;
      signature[next + 1] = state.st_ino;
      signature[next + 2] = static_cast<uint64_t>(state.st_size);
      signature[next + 3] = static_cast<uint64_t>(state.st_ctim.tv_sec);
      signature[next + 4] = static_cast<uint64_t>(state.st_ctim.tv_nsec);
    }
    next += 5;
  }
  return signature;
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
