#include "common/rpc/client_flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <fstream>
#include <string>

#include "absl/flags/declare.h"
#include "absl/flags/flag.h"
#include "absl/flags/reflection.h"
#include "absl/strings/str_cat.h"

ABSL_DECLARE_FLAG(std::string, writer);
ABSL_DECLARE_FLAG(std::string, writer_secret_file);
ABSL_DECLARE_FLAG(bool, client_tls);
ABSL_DECLARE_FLAG(std::string, client_tls_ca_file);
ABSL_DECLARE_FLAG(std::string, client_tls_cert_file);
ABSL_DECLARE_FLAG(std::string, client_tls_key_file);
ABSL_DECLARE_FLAG(std::string, token_file);

namespace ctlstore::rpc {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class ClientFlagsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    unsetenv("CTLSTORE_WRITER_SECRET");
    unsetenv("CTLSTORE_TOKEN");
  }
  void TearDown() override { SetUp(); }

  std::string SecretFile(const std::string& text) {
    const std::string path = absl::StrCat(
        ::testing::TempDir(), "/", ::testing::UnitTest::GetInstance()->current_test_info()->name());
    std::ofstream(path, std::ios::binary) << text;
    return path;
  }

  // Puts the flags back.
  absl::FlagSaver saver_;
};

TEST_F(ClientFlagsTest, AddressesAreTheDefaultPortsOnLoopback) {
  EXPECT_EQ(ExecutiveAddressFromFlags(), "127.0.0.1:3000");
  EXPECT_EQ(SidecarAddressFromFlags(), "127.0.0.1:1331");
  EXPECT_EQ(ReflectorAddressFromFlags(), "127.0.0.1:1332");
}

TEST_F(ClientFlagsTest, TakesTheSecretFromAFile) {
  absl::SetFlag(&FLAGS_writer_secret_file, SecretFile("hidden word\n"));
  const auto credentials = WriterCredentialsFromFlags("loader");
  ASSERT_TRUE(credentials.ok()) << credentials.status();
  EXPECT_EQ(credentials->writer, "loader");
  EXPECT_EQ(credentials->secret, "hidden word");
}

TEST_F(ClientFlagsTest, TakesTheSecretFromTheEnvironment) {
  setenv("CTLSTORE_WRITER_SECRET", "hidden word", 1);
  absl::SetFlag(&FLAGS_writer, "importer");
  const auto credentials = WriterCredentialsFromFlags("loader");
  ASSERT_TRUE(credentials.ok()) << credentials.status();
  EXPECT_EQ(credentials->writer, "importer");
  EXPECT_EQ(credentials->secret, "hidden word");
}

TEST_F(ClientFlagsTest, SaysWhatToSetWhenThereIsNoSecret) {
  const auto credentials = WriterCredentialsFromFlags("loader");
  ASSERT_EQ(credentials.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(credentials.status().message()),
              AllOf(HasSubstr("--writer_secret_file"), HasSubstr("CTLSTORE_WRITER_SECRET")));
}

TEST_F(ClientFlagsTest, SaysWhatToSetWhenThereIsNoWriter) {
  setenv("CTLSTORE_WRITER_SECRET", "hidden word", 1);
  const auto credentials = WriterCredentialsFromFlags("");
  ASSERT_EQ(credentials.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(credentials.status().message()), HasSubstr("--writer"));
}

TEST_F(ClientFlagsTest, RefusesASecretThatBreaksTheRulesWithoutRepeatingIt) {
  absl::SetFlag(&FLAGS_writer_secret_file, SecretFile(std::string(101, 'Q')));
  const auto credentials = WriterCredentialsFromFlags("loader");
  ASSERT_EQ(credentials.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(credentials.status().message()),
              AllOf(HasSubstr("--writer_secret_file"), HasSubstr("101"), Not(HasSubstr("QQ"))));
}

TEST_F(ClientFlagsTest, NamesTheFlagOfAFileThatCannotBeRead) {
  absl::SetFlag(&FLAGS_writer_secret_file, "/nowhere/secret");
  const auto credentials = WriterCredentialsFromFlags("loader");
  ASSERT_EQ(credentials.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(credentials.status().message()),
              AllOf(HasSubstr("--writer_secret_file"), HasSubstr("/nowhere/secret")));
}

TEST_F(ClientFlagsTest, SaysHowServersAreSpokenTo) {
  ChannelOptions options = ChannelOptionsFromFlags();
  EXPECT_FALSE(options.tls.enabled);
  EXPECT_EQ(options.token, "");
  absl::SetFlag(&FLAGS_client_tls, true);
  absl::SetFlag(&FLAGS_client_tls_ca_file, "/ca");
  absl::SetFlag(&FLAGS_client_tls_cert_file, "/cert");
  absl::SetFlag(&FLAGS_client_tls_key_file, "/key");
  options = ChannelOptionsFromFlags();
  EXPECT_TRUE(options.tls.enabled);
  EXPECT_EQ(options.tls.ca_file, "/ca");
  EXPECT_EQ(options.tls.cert_file, "/cert");
  EXPECT_EQ(options.tls.key_file, "/key");
}

TEST_F(ClientFlagsTest, TakesTheTokenFromTheFileOrTheEnvironment) {
  setenv("CTLSTORE_TOKEN", "some-token-0123456789", 1);
  ChannelOptions options = ChannelOptionsFromFlags();
  EXPECT_EQ(options.token, "some-token-0123456789");
  EXPECT_EQ(options.token_file, "");
  absl::SetFlag(&FLAGS_token_file, "/token");
  options = ChannelOptionsFromFlags();
  EXPECT_EQ(options.token, "");
  EXPECT_EQ(options.token_file, "/token");
}

}  // namespace
}  // namespace ctlstore::rpc
