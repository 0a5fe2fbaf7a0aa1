#include "common/ctldb/ctldb_flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <fstream>
#include <string>

#include "absl/flags/commandlineflag.h"
#include "absl/flags/reflection.h"

namespace ctlstore::ctldb {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class CtldbFlagsTest : public ::testing::Test {
 protected:
  static void Set(const std::string& name, const std::string& value) {
    absl::CommandLineFlag* flag = absl::FindCommandLineFlag(name);
    ASSERT_NE(flag, nullptr) << name;
    std::string error;
    ASSERT_TRUE(flag->ParseFrom(value, &error)) << error;
  }

  void TearDown() override { unsetenv("CTLSTORE_CTLDB_PASSWORD"); }

 private:
  // Gives every flag back the value it had.
  absl::FlagSaver saver_;
};

TEST_F(CtldbFlagsTest, SaysHowToNameACtldb) {
  absl::Status status = TargetFromFlags().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  for (const char* hint : {"--ctldb=sqlite:///", "--ctldb=mysql://", "CTLSTORE_CTLDB"}) {
    EXPECT_THAT(std::string(status.message()), HasSubstr(hint));
  }
  Set("ctldb", "mysql://ctl@db/control");
  ASSERT_TRUE(TargetFromFlags().ok());
  EXPECT_EQ(TargetFromFlags()->ToString(), "mysql://ctl@db:3306/control");
  Set("ctldb", "mysql://ctl:hunter2@db/control");
  status = TargetFromFlags().status();
  EXPECT_THAT(std::string(status.message()), HasSubstr("--ctldb:"));
  EXPECT_THAT(std::string(status.message()), Not(HasSubstr("hunter2")));
}

TEST_F(CtldbFlagsTest, HasTheDefaultsOfConnectionOptions) {
  absl::StatusOr<ConnectionOptions> options = ConnectionOptionsFromFlags();
  ASSERT_TRUE(options.ok()) << options.status();
  const ConnectionOptions defaults;
  EXPECT_EQ(options->password, "");
  EXPECT_EQ(options->connect_timeout, defaults.connect_timeout);
  EXPECT_EQ(options->io_timeout, defaults.io_timeout);
  EXPECT_EQ(options->lock_timeout, defaults.lock_timeout);
  EXPECT_EQ(options->tls, defaults.tls);
  EXPECT_FALSE(options->read_only);
}

TEST_F(CtldbFlagsTest, TakesThePasswordFromTheFileBeforeTheEnvironment) {
  setenv("CTLSTORE_CTLDB_PASSWORD", "from environment", 1);
  EXPECT_EQ(ConnectionOptionsFromFlags()->password, "from environment");
  const std::string path = ::testing::TempDir() + "/ctldb_flags_test_password";
  std::ofstream(path) << "from file\n";
  Set("ctldb_password_file", path);
  EXPECT_EQ(ConnectionOptionsFromFlags()->password, "from file");
  Set("ctldb_password_file", path + ".missing");
  absl::Status status = ConnectionOptionsFromFlags().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("--ctldb_password_file"));
  unlink(path.c_str());
}

TEST_F(CtldbFlagsTest, ReadsTlsAndTimeouts) {
  Set("ctldb_tls", "verify");
  Set("ctldb_tls_ca_file", "/ca.pem");
  Set("ctldb_tls_cert_file", "/cert.pem");
  Set("ctldb_tls_key_file", "/key.pem");
  Set("ctldb_connect_timeout_ms", "1500");
  Set("ctldb_io_timeout_ms", "2500");
  Set("ctldb_lock_timeout_ms", "500");
  absl::StatusOr<ConnectionOptions> options = ConnectionOptionsFromFlags();
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->tls, ConnectionOptions::Tls::kVerify);
  EXPECT_EQ(options->tls_ca_file, "/ca.pem");
  EXPECT_EQ(options->tls_cert_file, "/cert.pem");
  EXPECT_EQ(options->tls_key_file, "/key.pem");
  EXPECT_EQ(options->connect_timeout, absl::Milliseconds(1500));
  EXPECT_EQ(options->io_timeout, absl::Milliseconds(2500));
  EXPECT_EQ(options->lock_timeout, absl::Milliseconds(500));
}

TEST_F(CtldbFlagsTest, TheLedgerBeginsAtOneUnlessToldOtherwise) {
  EXPECT_EQ(*LedgerFirstSequenceFromFlags(), 1);
  Set("ledger_first_sequence", "17");
  EXPECT_EQ(*LedgerFirstSequenceFromFlags(), 17);
  Set("ledger_first_sequence", "0");
  const absl::Status status = LedgerFirstSequenceFromFlags().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("--ledger_first_sequence:"));
}

TEST_F(CtldbFlagsTest, NamesTheFlagThatIsWrong) {
  const struct {
    const char* flag;
    const char* value;
    const char* named;
  } kCases[] = {
      {"ctldb_tls", "on", "--ctldb_tls:"},
      {"ctldb_tls_ca_file", "/ca.pem", "--ctldb_tls_ca_file:"},
      {"ctldb_tls_cert_file", "/cert.pem", "--ctldb_tls_cert_file:"},
      {"ctldb_tls_key_file", "/key.pem", "--ctldb_tls_cert_file:"},
      {"ctldb_connect_timeout_ms", "0", "--ctldb_connect_timeout_ms:"},
      {"ctldb_io_timeout_ms", "-1", "--ctldb_io_timeout_ms:"},
      {"ctldb_lock_timeout_ms", "999999999", "--ctldb_lock_timeout_ms:"},
      {"ctldb_lock_timeout_ms", "30000", "--ctldb_io_timeout_ms:"},
  };
  for (const auto& c : kCases) {
    absl::FlagSaver saver;
    Set(c.flag, c.value);
    absl::Status status = ConnectionOptionsFromFlags().status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << c.flag;
    EXPECT_THAT(std::string(status.message()), HasSubstr(c.named));
  }
}

}  // namespace
}  // namespace ctlstore::ctldb
