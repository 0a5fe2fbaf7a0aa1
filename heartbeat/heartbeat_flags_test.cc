#include "heartbeat/heartbeat_flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <cstdint>
#include <string>

#include "absl/flags/declare.h"
#include "absl/flags/flag.h"
#include "absl/flags/reflection.h"

ABSL_DECLARE_FLAG(int64_t, heartbeat_interval_ms);
ABSL_DECLARE_FLAG(std::string, executive);
ABSL_DECLARE_FLAG(bool, client_tls);

namespace ctlstore::heartbeat {
namespace {

using ::testing::HasSubstr;

class HeartbeatFlagsTest : public ::testing::Test {
 protected:
  void SetUp() override { setenv("CTLSTORE_WRITER_SECRET", "hidden word", 1); }
  void TearDown() override { unsetenv("CTLSTORE_WRITER_SECRET"); }

  // Puts the flags back.
  absl::FlagSaver saver_;
};

TEST_F(HeartbeatFlagsTest, DefaultsAreTheDocumentedOnes) {
  const auto options = HeartbeatOptionsFromFlags();
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->executive, "127.0.0.1:3000");
  EXPECT_EQ(options->credentials.writer, "heartbeat");
  EXPECT_EQ(options->credentials.secret, "hidden word");
  EXPECT_EQ(options->heartbeat.interval, absl::Seconds(15));
}

TEST_F(HeartbeatFlagsTest, AnIntervalBelowAMillisecondIsRefused) {
  for (int64_t interval : {0, -5}) {
    absl::SetFlag(&FLAGS_heartbeat_interval_ms, interval);
    const auto options = HeartbeatOptionsFromFlags();
    EXPECT_EQ(options.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(options.status().message()), HasSubstr("--heartbeat_interval_ms"));
  }
}

TEST_F(HeartbeatFlagsTest, ATokenForAnotherHostTakesTls) {
  setenv("CTLSTORE_TOKEN", "admin-token-0123456789", 1);
  absl::SetFlag(&FLAGS_executive, "executive.example.com:3000");
  auto options = HeartbeatOptionsFromFlags();
  EXPECT_EQ(options.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(options.status().message()), HasSubstr("--client_tls"));
  absl::SetFlag(&FLAGS_client_tls, true);
  options = HeartbeatOptionsFromFlags();
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_TRUE(options->channel.tls.enabled);
  EXPECT_EQ(options->channel.token, "admin-token-0123456789");
  unsetenv("CTLSTORE_TOKEN");
}

TEST_F(HeartbeatFlagsTest, ASecretIsRequired) {
  unsetenv("CTLSTORE_WRITER_SECRET");
  const auto options = HeartbeatOptionsFromFlags();
  EXPECT_EQ(options.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(options.status().message()), HasSubstr("--writer_secret_file"));
}

}  // namespace
}  // namespace ctlstore::heartbeat
