#include "common/rpc/server_flags.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/flags/declare.h"
#include "absl/flags/flag.h"
#include "absl/flags/reflection.h"
#include "common/rpc/testing/certificates.h"

ABSL_DECLARE_FLAG(std::string, listen);
ABSL_DECLARE_FLAG(int, grpc_max_threads);
ABSL_DECLARE_FLAG(int64_t, shutdown_grace_ms);
ABSL_DECLARE_FLAG(std::string, tls_cert_file);
ABSL_DECLARE_FLAG(std::string, tls_key_file);
ABSL_DECLARE_FLAG(std::string, tls_client_ca_file);
ABSL_DECLARE_FLAG(bool, tls_require_client_cert);
ABSL_DECLARE_FLAG(bool, insecure);
ABSL_DECLARE_FLAG(std::string, admin_token_file);
ABSL_DECLARE_FLAG(std::string, reader_token_file);
ABSL_DECLARE_FLAG(std::string, admin_identities);
ABSL_DECLARE_FLAG(std::string, reader_identities);

namespace ctlstore::rpc {
namespace {

class ServerFlagsTest : public ::testing::Test {
  absl::FlagSaver saver_;
};

TEST_F(ServerFlagsTest, AnEmptyListMeansTheServicesDefault) {
  const absl::StatusOr<ServerOptions> options = ServerOptionsFromFlags("127.0.0.1:3000,unix:/a/b");
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->listen, (std::vector<std::string>{"127.0.0.1:3000", "unix:/a/b"}));
}

TEST_F(ServerFlagsTest, AddressesAreSeparatedByCommas) {
  absl::SetFlag(&FLAGS_listen, "127.0.0.2:1, unix:/x/y ,");
  const absl::StatusOr<ServerOptions> options = ServerOptionsFromFlags("127.0.0.1:3000");
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->listen, (std::vector<std::string>{"127.0.0.2:1", "unix:/x/y"}));
}

TEST_F(ServerFlagsTest, ErrorsNameTheFlag) {
  absl::SetFlag(&FLAGS_listen, "nonsense");
  absl::Status status = ServerOptionsFromFlags("127.0.0.1:3000").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("--listen"), absl::string_view::npos) << status;

  absl::SetFlag(&FLAGS_listen, ",");
  EXPECT_FALSE(ServerOptionsFromFlags("127.0.0.1:3000").ok());

  absl::SetFlag(&FLAGS_listen, "");
  absl::SetFlag(&FLAGS_grpc_max_threads, 1);
  status = ServerOptionsFromFlags("127.0.0.1:3000").status();
  EXPECT_NE(status.message().find("--grpc_max_threads"), absl::string_view::npos) << status;
}

TEST_F(ServerFlagsTest, BeyondLoopbackItTakesTlsAndRoles) {
  absl::SetFlag(&FLAGS_listen, "127.0.0.1:1,0.0.0.0:3000");
  absl::Status status = ServerOptionsFromFlags("127.0.0.1:3000").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  for (const char* word : {"0.0.0.0:3000", "--tls_cert_file", "--admin_token_file", "--insecure"}) {
    EXPECT_NE(status.message().find(word), absl::string_view::npos) << status;
  }
  absl::SetFlag(&FLAGS_insecure, true);
  const absl::StatusOr<ServerOptions> insecure = ServerOptionsFromFlags("127.0.0.1:3000");
  ASSERT_TRUE(insecure.ok()) << insecure.status();
  EXPECT_TRUE(insecure->insecure);
  absl::SetFlag(&FLAGS_insecure, false);

  const testing::CertificateAuthority ca;
  const testing::Certificate server = ca.IssueServer();
  const std::string folder = ::testing::TempDir();
  testing::ReplaceFile(folder + "/server.pem", server.cert);
  testing::ReplaceFile(folder + "/server.key", server.key);
  testing::ReplaceFile(folder + "/ca.pem", ca.cert());
  absl::SetFlag(&FLAGS_tls_cert_file, folder + "/server.pem");
  status = ServerOptionsFromFlags("127.0.0.1:3000").status();
  EXPECT_NE(status.message().find("--tls_key_file"), absl::string_view::npos) << status;
  absl::SetFlag(&FLAGS_tls_key_file, folder + "/server.key");
  absl::SetFlag(&FLAGS_admin_identities, "ops, spiffe://example/ops,");
  status = ServerOptionsFromFlags("127.0.0.1:3000").status();
  EXPECT_NE(status.message().find("--tls_client_ca_file"), absl::string_view::npos) << status;
  absl::SetFlag(&FLAGS_tls_client_ca_file, folder + "/ca.pem");
  absl::SetFlag(&FLAGS_tls_require_client_cert, true);
  absl::SetFlag(&FLAGS_reader_identities, "app");
  absl::SetFlag(&FLAGS_admin_token_file, folder + "/none");
  status = ServerOptionsFromFlags("127.0.0.1:3000").status();
  EXPECT_NE(status.message().find("--admin_token_file"), absl::string_view::npos) << status;
  testing::ReplaceFile(folder + "/a", "admin-token-0123456789");
  testing::ReplaceFile(folder + "/r", "reader-token-0123456789");
  absl::SetFlag(&FLAGS_admin_token_file, folder + "/a");
  absl::SetFlag(&FLAGS_reader_token_file, folder + "/r");
  const absl::StatusOr<ServerOptions> options = ServerOptionsFromFlags("127.0.0.1:3000");
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_FALSE(options->insecure);
  EXPECT_EQ(options->tls.cert_file, folder + "/server.pem");
  EXPECT_EQ(options->tls.key_file, folder + "/server.key");
  EXPECT_EQ(options->tls.client_ca_file, folder + "/ca.pem");
  EXPECT_TRUE(options->tls.require_client_cert);
  EXPECT_EQ(options->access.admin_identities,
            (std::vector<std::string>{"ops", "spiffe://example/ops"}));
  EXPECT_EQ(options->access.reader_identities, std::vector<std::string>{"app"});
  EXPECT_EQ(options->access.admin_token_file, folder + "/a");
  EXPECT_EQ(options->access.reader_token_file, folder + "/r");
}

TEST_F(ServerFlagsTest, TheGraceIsNeverNegative) {
  absl::SetFlag(&FLAGS_shutdown_grace_ms, 1500);
  EXPECT_EQ(ShutdownGraceFromFlags(), absl::Milliseconds(1500));
  absl::SetFlag(&FLAGS_shutdown_grace_ms, -1);
  EXPECT_EQ(ShutdownGraceFromFlags(), absl::ZeroDuration());
}

}  // namespace
}  // namespace ctlstore::rpc
