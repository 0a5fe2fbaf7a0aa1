#include "common/rpc/tls_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdlib.h>

#include <filesystem>
#include <random>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/rpc/testing/certificates.h"

namespace ctlstore::rpc {
namespace {

using ::ctlstore::rpc::testing::Certificate;
using ::ctlstore::rpc::testing::CertificateAuthority;
using ::ctlstore::rpc::testing::ReplaceFile;
using ::testing::AllOf;
using ::testing::HasSubstr;

class TlsFilesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = "/tmp/tls_files_XXXXXX";
    ASSERT_NE(mkdtemp(&folder_[0]), nullptr);
    server_ = ca_.IssueServer();
    ReplaceFile(cert(), server_.cert);
    ReplaceFile(key(), server_.key);
    ReplaceFile(ca(), ca_.cert());
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string cert() const { return folder_ + "/server.pem"; }
  std::string key() const { return folder_ + "/server.key"; }
  std::string ca() const { return folder_ + "/ca.pem"; }

  std::string Server(const std::string& cert, const std::string& key, const std::string& ca = "",
                     bool require = false) {
    ServerTlsOptions options;
    options.cert_file = cert;
    options.key_file = key;
    options.client_ca_file = ca;
    options.require_client_cert = require;
    const absl::Status status = CheckServerTls(options);
    EXPECT_TRUE(status.ok() || absl::IsInvalidArgument(status)) << status;
    return std::string(status.message());
  }

  std::string Client(bool enabled, const std::string& ca, const std::string& cert = "",
                     const std::string& key = "") {
    const absl::Status status = CheckClientTls({enabled, ca, cert, key});
    EXPECT_TRUE(status.ok() || absl::IsInvalidArgument(status)) << status;
    return std::string(status.message());
  }

  std::string folder_;
  CertificateAuthority ca_;
  Certificate server_;
};

TEST_F(TlsFilesTest, TakesGoodFilesAndNoneAtAll) {
  EXPECT_EQ(Server("", ""), "");
  EXPECT_EQ(Server(cert(), key()), "");
  EXPECT_EQ(Server(cert(), key(), ca(), true), "");
  EXPECT_EQ(Client(false, ""), "");
  EXPECT_EQ(Client(true, ""), "");
  EXPECT_EQ(Client(true, ca(), cert(), key()), "");
}

TEST_F(TlsFilesTest, NamesTheFlagThatIsMissing) {
  EXPECT_THAT(Server(cert(), ""), HasSubstr("without --tls_key_file"));
  EXPECT_THAT(Server("", key()), HasSubstr("without --tls_cert_file"));
  EXPECT_THAT(Server("", "", ca()), HasSubstr("without --tls_cert_file"));
  EXPECT_THAT(Server(cert(), key(), "", true), HasSubstr("without --tls_client_ca_file"));
  EXPECT_THAT(Client(false, ca()), HasSubstr("without --client_tls"));
  EXPECT_THAT(Client(false, "", cert(), key()), HasSubstr("without --client_tls"));
  EXPECT_THAT(Client(true, "", cert()), HasSubstr("without --client_tls_key_file"));
  EXPECT_THAT(Client(true, "", "", key()), HasSubstr("without --client_tls_cert_file"));
}

TEST_F(TlsFilesTest, NamesTheFileThatIsWrong) {
  const std::string none = folder_ + "/none";
  const std::string text = folder_ + "/text";
  ReplaceFile(text, "no PEM at all");
  EXPECT_THAT(Server(none, key()), AllOf(HasSubstr("--tls_cert_file"), HasSubstr(none)));
  EXPECT_THAT(Server(cert(), none), AllOf(HasSubstr("--tls_key_file"), HasSubstr(none)));
  EXPECT_THAT(Server(text, key()), HasSubstr(text));
  EXPECT_THAT(Server(cert(), text), HasSubstr(text));
  EXPECT_THAT(Server(cert(), cert()), HasSubstr("no private key"));
  EXPECT_THAT(Server(cert(), key(), text),
              AllOf(HasSubstr("--tls_client_ca_file"), HasSubstr(text)));
  EXPECT_THAT(Client(true, none), AllOf(HasSubstr("--client_tls_ca_file"), HasSubstr(none)));
  EXPECT_THAT(Client(true, ca(), cert(), text),
              AllOf(HasSubstr("--client_tls_key_file"), HasSubstr(text)));
}

TEST_F(TlsFilesTest, AKeyHasToBelongToItsCertificate) {
  ReplaceFile(key(), ca_.IssueServer().key);
  EXPECT_THAT(Server(cert(), key()),
              AllOf(HasSubstr("does not belong"), HasSubstr(cert()), HasSubstr(key())));
}

TEST_F(TlsFilesTest, AKeyWithAPasswordIsRefusedWithoutAQuestion) {
  BIO* const in = BIO_new_mem_buf(server_.key.data(), static_cast<int>(server_.key.size()));
  EVP_PKEY* const parsed = PEM_read_bio_PrivateKey(in, nullptr, nullptr, nullptr);
  BIO* const out = BIO_new(BIO_s_mem());
  char password[] = "word";
  ASSERT_EQ(
      PEM_write_bio_PKCS8PrivateKey(out, parsed, EVP_aes_128_cbc(), password, 4, nullptr, nullptr),
      1);
  char* data = nullptr;
  const auto size = BIO_get_mem_data(out, &data);
  ReplaceFile(key(), absl::string_view(data, static_cast<size_t>(size)));
  EXPECT_THAT(Server(cert(), key()), HasSubstr("password"));
  BIO_free(out);
  EVP_PKEY_free(parsed);
  BIO_free(in);
}

TEST_F(TlsFilesTest, SeveralAuthoritiesAndAChainAreTakenButNoTornOne) {
  const CertificateAuthority other;
  ReplaceFile(ca(), absl::StrCat("a comment\n", ca_.cert(), "\n", other.cert()));
  EXPECT_EQ(Client(true, ca()), "");
  ReplaceFile(cert(), absl::StrCat(server_.cert, ca_.cert()));
  EXPECT_EQ(Server(cert(), key()), "");
  ReplaceFile(ca(), absl::StrCat(ca_.cert(), other.cert().substr(0, 200)));
  EXPECT_THAT(Client(true, ca()), HasSubstr("not well formed"));
}

TEST_F(TlsFilesTest, ATornFileIsAnErrorAndNoCrash) {
  std::mt19937 random(7);
  for (int round = 0; round < 500; ++round) {
    std::string cert = server_.cert;
    std::string key = server_.key;
    std::string* const torn = random() % 2 == 0 ? &cert : &key;
    const size_t place = random() % (torn->size() - 1);
    if (random() % 2 == 0) {
      torn->resize(place);
    } else {
      (*torn)[place] = static_cast<char>(random() % 256);
    }
    // A changed letter may leave it as good as it was, but for what it is, never a crash.
    CheckKeyPair("cert", cert, "key", key).IgnoreError();
    CheckAuthorities("ca", *torn).IgnoreError();
  }
  EXPECT_FALSE(CheckKeyPair("cert", server_.cert.substr(0, 300), "key", server_.key).ok());
  EXPECT_FALSE(CheckKeyPair("cert", server_.cert, "key", server_.key.substr(0, 100)).ok());
}

}  // namespace
}  // namespace ctlstore::rpc
