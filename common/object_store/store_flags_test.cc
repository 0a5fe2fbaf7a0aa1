#include "common/object_store/store_flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <string>

#include "absl/flags/declare.h"
#include "absl/flags/flag.h"
#include "absl/flags/reflection.h"
#include "absl/status/status.h"
#include "absl/strings/match.h"

ABSL_DECLARE_FLAG(std::string, s3_endpoint);
ABSL_DECLARE_FLAG(std::string, s3_region);
ABSL_DECLARE_FLAG(bool, s3_path_style);
ABSL_DECLARE_FLAG(int64_t, s3_part_bytes);
ABSL_DECLARE_FLAG(int, s3_parallel_parts);
ABSL_DECLARE_FLAG(std::string, object_store_ca_file);
ABSL_DECLARE_FLAG(int64_t, object_store_stall_seconds);
ABSL_DECLARE_FLAG(int, object_store_max_attempts);

namespace ctlstore::object_store {
namespace {

class StoreFlagsTest : public ::testing::Test {
 protected:
  void ExpectWrong(absl::string_view flag) {
    const absl::Status status = StoreOptionsFromFlags().status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_TRUE(absl::StartsWith(status.message(), flag)) << status;
  }

  // Puts the flags back.
  absl::FlagSaver saver_;
};

TEST_F(StoreFlagsTest, NeedNotBeSet) {
  const auto options = StoreOptionsFromFlags();
  ASSERT_TRUE(options.ok()) << options.status();
  const StoreOptions defaults;
  EXPECT_EQ(options->s3_endpoint, "");
  EXPECT_EQ(options->s3_part_bytes, defaults.s3_part_bytes);
  EXPECT_EQ(options->s3_parallel_parts, defaults.s3_parallel_parts);
  EXPECT_EQ(options->stall_timeout, defaults.stall_timeout);
  EXPECT_EQ(options->max_attempts, defaults.max_attempts);
}

TEST_F(StoreFlagsTest, SetTheOptions) {
  absl::SetFlag(&FLAGS_s3_endpoint, "http://127.0.0.1:9000");
  absl::SetFlag(&FLAGS_s3_region, "eu-west-1");
  absl::SetFlag(&FLAGS_s3_path_style, true);
  absl::SetFlag(&FLAGS_s3_part_bytes, 8 << 20);
  absl::SetFlag(&FLAGS_s3_parallel_parts, 4);
  absl::SetFlag(&FLAGS_object_store_ca_file, "/dev/null");
  absl::SetFlag(&FLAGS_object_store_stall_seconds, 5);
  absl::SetFlag(&FLAGS_object_store_max_attempts, 7);
  const auto options = StoreOptionsFromFlags();
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->s3_endpoint, "http://127.0.0.1:9000");
  EXPECT_EQ(options->s3_region, "eu-west-1");
  EXPECT_TRUE(options->s3_path_style);
  EXPECT_EQ(options->s3_part_bytes, 8 << 20);
  EXPECT_EQ(options->s3_parallel_parts, 4);
  EXPECT_EQ(options->ca_file, "/dev/null");
  EXPECT_EQ(options->stall_timeout, absl::Seconds(5));
  EXPECT_EQ(options->max_attempts, 7);
}

TEST_F(StoreFlagsTest, ErrorsNameTheFlag) {
  {
    absl::FlagSaver saver;
    absl::SetFlag(&FLAGS_s3_endpoint, "127.0.0.1:9000");
    ExpectWrong("--s3_endpoint: ");
  }
  {
    absl::FlagSaver saver;
    absl::SetFlag(&FLAGS_s3_part_bytes, 1);
    ExpectWrong("--s3_part_bytes: ");
  }
  {
    absl::FlagSaver saver;
    absl::SetFlag(&FLAGS_object_store_ca_file, "/none/ca.pem");
    ExpectWrong("--object_store_ca_file: ");
  }
  for (const int64_t seconds : {int64_t{0}, int64_t{-1}, int64_t{3601}, INT64_MAX}) {
    absl::FlagSaver saver;
    absl::SetFlag(&FLAGS_object_store_stall_seconds, seconds);
    ExpectWrong("--object_store_stall_seconds: ");
  }
  absl::SetFlag(&FLAGS_object_store_max_attempts, 0);
  ExpectWrong("--object_store_max_attempts: ");
}

}  // namespace
}  // namespace ctlstore::object_store
