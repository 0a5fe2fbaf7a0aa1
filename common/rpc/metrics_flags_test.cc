#include "common/rpc/metrics_flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/flags/declare.h"
#include "absl/flags/flag.h"
#include "absl/flags/reflection.h"
#include "absl/status/status.h"

ABSL_DECLARE_FLAG(int, metrics_port);
ABSL_DECLARE_FLAG(std::string, metrics_host);

namespace ctlstore::rpc {
namespace {

using ::testing::HasSubstr;

class MetricsFlagsTest : public ::testing::Test {
 protected:
  // Puts the flags back.
  absl::FlagSaver saver_;
};

TEST_F(MetricsFlagsTest, NothingIsServedUnlessItIsAskedFor) {
  const auto options = MetricsOptionsFromFlags();
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_FALSE(options->has_value());
}

TEST_F(MetricsFlagsTest, ListensOnLoopbackUnlessToldOtherwise) {
  absl::SetFlag(&FLAGS_metrics_port, 9100);
  auto options = MetricsOptionsFromFlags();
  ASSERT_TRUE(options.ok()) << options.status();
  ASSERT_TRUE(options->has_value());
  EXPECT_EQ((*options)->listen, "127.0.0.1:9100");
  absl::SetFlag(&FLAGS_metrics_host, "[::]");
  absl::SetFlag(&FLAGS_metrics_port, 0);
  options = MetricsOptionsFromFlags();
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ((*options)->listen, "[::]:0");
}

TEST_F(MetricsFlagsTest, ErrorsNameTheFlag) {
  for (const int port : {-2, 65536}) {
    absl::SetFlag(&FLAGS_metrics_port, port);
    const absl::Status status = MetricsOptionsFromFlags().status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr("--metrics_port"));
  }
  absl::SetFlag(&FLAGS_metrics_port, 9100);
  for (const char* host : {"", "::1", "unix:/tmp/x"}) {
    absl::SetFlag(&FLAGS_metrics_host, host);
    const absl::Status status = MetricsOptionsFromFlags().status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << host;
    EXPECT_THAT(std::string(status.message()), HasSubstr("--metrics_host")) << host;
  }
}

}  // namespace
}  // namespace ctlstore::rpc
