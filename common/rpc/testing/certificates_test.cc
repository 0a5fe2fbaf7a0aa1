#include "common/rpc/testing/certificates.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include <fstream>
#include <sstream>
#include <string>

namespace ctlstore::rpc::testing {
namespace {

X509* Parse(const std::string& pem) {
  BIO* const bio = BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
  X509* const certificate = PEM_read_bio_X509(bio, nullptr, nullptr, nullptr);
  BIO_free(bio);
  return certificate;
}

// OpenSSL's verdict: X509_V_OK or why not.
int Verify(const CertificateAuthority& ca, const Certificate& certificate) {
  X509* const root = Parse(ca.cert());
  X509* const leaf = Parse(certificate.cert);
  X509_STORE* const store = X509_STORE_new();
  X509_STORE_add_cert(store, root);
  X509_STORE_CTX* const context = X509_STORE_CTX_new();
  X509_STORE_CTX_init(context, store, leaf, nullptr);
  X509_verify_cert(context);
  const int verdict = X509_STORE_CTX_get_error(context);
  X509_STORE_CTX_free(context);
  X509_STORE_free(store);
  X509_free(leaf);
  X509_free(root);
  return verdict;
}

TEST(CertificatesTest, AreGoodWithTheirOwnAuthorityOnly) {
  const CertificateAuthority ca;
  const CertificateAuthority other;
  EXPECT_EQ(Verify(ca, ca.IssueServer()), X509_V_OK);
  EXPECT_EQ(Verify(ca, ca.IssueClient("ops")), X509_V_OK);
  EXPECT_NE(Verify(ca, other.IssueServer()), X509_V_OK);
  EXPECT_EQ(Verify(ca, ca.IssueExpiredServer()), X509_V_ERR_CERT_HAS_EXPIRED);
  EXPECT_EQ(Verify(ca, ca.IssueExpiredClient("ops")), X509_V_ERR_CERT_HAS_EXPIRED);
}

TEST(CertificatesTest, HaveTheNamesThatWereAskedFor) {
  const CertificateAuthority ca;
  X509* certificate = Parse(ca.IssueServer().cert);
  EXPECT_EQ(X509_check_host(certificate, "localhost", 0, 0, nullptr), 1);
  EXPECT_EQ(X509_check_ip_asc(certificate, "127.0.0.1", 0), 1);
  EXPECT_EQ(X509_check_ip_asc(certificate, "::1", 0), 1);
  EXPECT_EQ(X509_check_host(certificate, "example.com", 0, 0, nullptr), 0);
  X509_free(certificate);

  CertificateOptions options;
  options.common_name = "loader";
  options.alternative_names = {"DNS:example.com"};
  certificate = Parse(ca.Issue(options).cert);
  EXPECT_EQ(X509_check_host(certificate, "example.com", 0, 0, nullptr), 1);
  X509_free(certificate);
}

TEST(CertificatesTest, ReplaceFileLeavesTheNewText) {
  const std::string path = ::testing::TempDir() + "/replaced";
  ReplaceFile(path, "old");
  ReplaceFile(path, "new");
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  EXPECT_EQ(text.str(), "new");
}

}  // namespace
}  // namespace ctlstore::rpc::testing
