#include "common/rpc/testing/certificates.h"

#include <glog/logging.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace ctlstore::rpc::testing {
namespace {

template <auto kFree>
struct Free {
  template <typename T>
  void operator()(T* pointer) const {
    kFree(pointer);
  }
};
using Key = std::unique_ptr<EVP_PKEY, Free<EVP_PKEY_free>>;
using X509Pointer = std::unique_ptr<X509, Free<X509_free>>;
using Bio = std::unique_ptr<BIO, Free<BIO_free>>;

const std::vector<std::string>& LocalNames() {
  static const auto* const names =
      new std::vector<std::string>{"DNS:localhost", "IP:127.0.0.1", "IP:::1"};
  return *names;
}

Key NewKey() {
  Key key(EVP_EC_gen("P-256"));
  CHECK(key != nullptr);
  return key;
}

std::string Text(const Bio& bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);  // NOLINT: the library's type
  return std::string(data, static_cast<size_t>(size));
}

std::string ToPem(X509* certificate) {
  const Bio bio(BIO_new(BIO_s_mem()));
  CHECK_EQ(PEM_write_bio_X509(bio.get(), certificate), 1);
  return Text(bio);
}

std::string ToPem(EVP_PKEY* key) {
  const Bio bio(BIO_new(BIO_s_mem()));
  CHECK_EQ(PEM_write_bio_PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr), 1);
  return Text(bio);
}

void SetRandomSerial(X509* certificate) {
  unsigned char bytes[16];
  CHECK_EQ(RAND_bytes(bytes, sizeof(bytes)), 1);
  bytes[0] &= 0x7f;
  const std::unique_ptr<BIGNUM, Free<BN_free>> number(BN_bin2bn(bytes, sizeof(bytes), nullptr));
  CHECK(BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate)) != nullptr);
}

void SetTimes(absl::Time not_before, absl::Time not_after, X509* certificate) {
  CHECK(ASN1_TIME_set(X509_getm_notBefore(certificate), absl::ToTimeT(not_before)) != nullptr);
  CHECK(ASN1_TIME_set(X509_getm_notAfter(certificate), absl::ToTimeT(not_after)) != nullptr);
}

void SetCommonName(absl::string_view name, X509* certificate) {
  CHECK_EQ(X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_UTF8,
                                      reinterpret_cast<const unsigned char*>(name.data()),
                                      static_cast<int>(name.size()), -1, 0),
           1);
}

void AddExtension(int nid, const std::string& value, X509* issuer, X509* certificate) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const std::unique_ptr<X509_EXTENSION, Free<X509_EXTENSION_free>> extension(
      X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()));
  CHECK(extension != nullptr) << value;
  CHECK_EQ(X509_add_ext(certificate, extension.get(), -1), 1);
}

X509Pointer NewCertificate(absl::string_view common_name, EVP_PKEY* key, absl::Time not_before,
                           absl::Time not_after) {
  X509Pointer certificate(X509_new());
  CHECK_EQ(X509_set_version(certificate.get(), X509_VERSION_3), 1);
  SetRandomSerial(certificate.get());
  SetTimes(not_before, not_after, certificate.get());
  if (!common_name.empty()) SetCommonName(common_name, certificate.get());
  CHECK_EQ(X509_set_pubkey(certificate.get(), key), 1);
  return certificate;
}

}  // namespace

class CertificateAuthority::Impl {
 public:
  explicit Impl(absl::string_view name) : key(NewKey()) {
    const absl::Time now = absl::Now();
    certificate = NewCertificate(name, key.get(), now - absl::Hours(48), now + absl::Hours(48));
    X509* const self = certificate.get();
    CHECK_EQ(X509_set_issuer_name(self, X509_get_subject_name(self)), 1);
    AddExtension(NID_subject_key_identifier, "hash", self, self);
    AddExtension(NID_basic_constraints, "critical,CA:TRUE", self, self);
    AddExtension(NID_key_usage, "critical,keyCertSign,cRLSign", self, self);
    CHECK_GT(X509_sign(self, key.get(), EVP_sha256()), 0);
    pem = ToPem(self);
  }

  Key key;
  X509Pointer certificate;
  std::string pem;
};

CertificateAuthority::CertificateAuthority(absl::string_view name)
    : impl_(std::make_unique<Impl>(name)) {}
CertificateAuthority::~CertificateAuthority() = default;

const std::string& CertificateAuthority::cert() const { return impl_->pem; }

Certificate CertificateAuthority::Issue(const CertificateOptions& options) const {
  const Key key = NewKey();
  const X509Pointer certificate =
      NewCertificate(options.common_name, key.get(), options.not_before, options.not_after);
  X509* const issuer = impl_->certificate.get();
  CHECK_EQ(X509_set_issuer_name(certificate.get(), X509_get_subject_name(issuer)), 1);
  AddExtension(NID_basic_constraints, "critical,CA:FALSE", issuer, certificate.get());
  AddExtension(NID_key_usage, "critical,digitalSignature", issuer, certificate.get());
  AddExtension(NID_ext_key_usage, "serverAuth,clientAuth", issuer, certificate.get());
  AddExtension(NID_authority_key_identifier, "keyid", issuer, certificate.get());
  if (!options.alternative_names.empty()) {
    AddExtension(NID_subject_alt_name, absl::StrJoin(options.alternative_names, ","), issuer,
                 certificate.get());
  }
  CHECK_GT(X509_sign(certificate.get(), impl_->key.get(), EVP_sha256()), 0);
  return Certificate{ToPem(certificate.get()), ToPem(key.get())};
}

Certificate CertificateAuthority::IssueServer() const {
  CertificateOptions options;
  options.common_name = "ctlstore server";
  options.alternative_names = LocalNames();
  return Issue(options);
}

Certificate CertificateAuthority::IssueExpiredServer() const {
  CertificateOptions options;
  options.common_name = "ctlstore server";
  options.alternative_names = LocalNames();
  options.not_before = absl::Now() - absl::Hours(24);
  options.not_after = absl::Now() - absl::Hours(1);
  return Issue(options);
}

Certificate CertificateAuthority::IssueClient(absl::string_view common_name) const {
  CertificateOptions options;
  options.common_name = std::string(common_name);
  return Issue(options);
}

Certificate CertificateAuthority::IssueExpiredClient(absl::string_view common_name) const {
  CertificateOptions options;
  options.common_name = std::string(common_name);
  options.not_before = absl::Now() - absl::Hours(24);
  options.not_after = absl::Now() - absl::Hours(1);
  return Issue(options);
}

void ReplaceFile(const std::string& path, absl::string_view text) {
  const std::string temporary = absl::StrCat(path, ".", getpid(), ".new");
  {
    std::ofstream file(temporary, std::ios::binary);
    file << text;
    file.close();
    CHECK(file.good()) << temporary;
  }
  CHECK_EQ(std::rename(temporary.c_str(), path.c_str()), 0) << path;
}

}  // namespace ctlstore::rpc::testing
