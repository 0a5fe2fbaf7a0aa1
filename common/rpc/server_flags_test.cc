#include "common/rpc/server_flags.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/flags/declare.h"
#include "absl/flags/flag.h"
#include "absl/flags/reflection.h"

ABSL_DECLARE_FLAG(std::string, listen);
ABSL_DECLARE_FLAG(int, grpc_max_threads);
ABSL_DECLARE_FLAG(int64_t, shutdown_grace_ms);

namespace ctlstore::rpc {
namespace {

class ServerFlagsTest : public testing::Test {
  absl::FlagSaver saver_;
};

TEST_F(ServerFlagsTest, AnEmptyListMeansTheServicesDefault) {
  const absl::StatusOr<ServerOptions> options = ServerOptionsFromFlags("127.0.0.1:3000,unix:/a/b");
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->listen, (std::vector<std::string>{"127.0.0.1:3000", "unix:/a/b"}));
}

TEST_F(ServerFlagsTest, AddressesAreSeparatedByCommas) {
  absl::SetFlag(&FLAGS_listen, "0.0.0.0:1, unix:/x/y ,");
  const absl::StatusOr<ServerOptions> options = ServerOptionsFromFlags("127.0.0.1:3000");
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->listen, (std::vector<std::string>{"0.0.0.0:1", "unix:/x/y"}));
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

TEST_F(ServerFlagsTest, TheGraceIsNeverNegative) {
  absl::SetFlag(&FLAGS_shutdown_grace_ms, 1500);
  EXPECT_EQ(ShutdownGraceFromFlags(), absl::Milliseconds(1500));
  absl::SetFlag(&FLAGS_shutdown_grace_ms, -1);
  EXPECT_EQ(ShutdownGraceFromFlags(), absl::ZeroDuration());
}

}  // namespace
}  // namespace ctlstore::rpc
