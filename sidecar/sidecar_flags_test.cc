#include "sidecar/sidecar_flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/flags/declare.h"
#include "absl/flags/flag.h"
#include "absl/flags/reflection.h"
#include "absl/types/optional.h"

ABSL_DECLARE_FLAG(int64_t, max_list_rows);
ABSL_DECLARE_FLAG(int64_t, max_list_duration_ms);
ABSL_DECLARE_FLAG(int64_t, max_watches);
ABSL_DECLARE_FLAG(int64_t, watch_progress_interval_ms);
ABSL_DECLARE_FLAG(int64_t, max_http_list_bytes);
ABSL_DECLARE_FLAG(absl::optional<int>, http_port);
ABSL_DECLARE_FLAG(std::string, ldb);
ABSL_DECLARE_FLAG(std::string, listen);

namespace ctlstore::sidecar {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class SidecarFlagsTest : public ::testing::Test {
 protected:
  // Puts the flags back.
  absl::FlagSaver saver_;
};

TEST_F(SidecarFlagsTest, ListensOnPort1331OfLoopback) {
  const auto options = SidecarOptionsFromFlags();
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_THAT(options->server.listen, ElementsAre("127.0.0.1:1331"));
  EXPECT_EQ(options->max_list_rows, 100000);
  EXPECT_EQ(options->max_list_duration, absl::Seconds(30));
}

TEST_F(SidecarFlagsTest, TakesWhatTheFlagsSay) {
  absl::SetFlag(&FLAGS_max_list_rows, 7);
  absl::SetFlag(&FLAGS_max_list_duration_ms, 250);
  absl::SetFlag(&FLAGS_max_watches, 9);
  absl::SetFlag(&FLAGS_watch_progress_interval_ms, 1500);
  absl::SetFlag(&FLAGS_ldb, "/some/ldb.db");
  absl::SetFlag(&FLAGS_listen, "127.0.0.1:0,unix:/some/socket");
  const auto options = SidecarOptionsFromFlags();
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->max_list_rows, 7);
  EXPECT_EQ(options->max_list_duration, absl::Milliseconds(250));
  EXPECT_EQ(options->watches.max_watches, 9u);
  EXPECT_EQ(options->watches.progress_interval, absl::Milliseconds(1500));
  EXPECT_EQ(options->ldb_path, "/some/ldb.db");
  EXPECT_THAT(options->server.listen, ElementsAre("127.0.0.1:0", "unix:/some/socket"));
}

TEST_F(SidecarFlagsTest, HttpIsServedOnPort1380BesideGrpc) {
  auto options = SidecarOptionsFromFlags();
  ASSERT_TRUE(options.ok()) << options.status();
  ASSERT_TRUE(options->http.has_value());
  EXPECT_EQ(options->http->listen, "127.0.0.1:1380");
  EXPECT_EQ(options->max_http_list_bytes, size_t{32} << 20);
  absl::SetFlag(&FLAGS_http_port, absl::optional<int>(0));
  absl::SetFlag(&FLAGS_listen, "unix:/some/socket,127.1.2.3:1331");
  absl::SetFlag(&FLAGS_max_http_list_bytes, 1000);
  options = SidecarOptionsFromFlags();
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->http->listen, "127.1.2.3:0");
  EXPECT_EQ(options->max_http_list_bytes, 1000u);
  absl::SetFlag(&FLAGS_http_port, absl::optional<int>(-1));
  options = SidecarOptionsFromFlags();
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_FALSE(options->http.has_value());
  absl::SetFlag(&FLAGS_http_port, absl::optional<int>(65536));
  EXPECT_THAT(std::string(SidecarOptionsFromFlags().status().message()), HasSubstr("--http_port"));
  absl::SetFlag(&FLAGS_max_http_list_bytes, 1);
  EXPECT_THAT(std::string(SidecarOptionsFromFlags().status().message()),
              HasSubstr("--max_http_list_bytes"));
}

TEST_F(SidecarFlagsTest, LimitsBelowOneAreRefused) {
  absl::SetFlag(&FLAGS_max_list_rows, 0);
  auto options = SidecarOptionsFromFlags();
  EXPECT_EQ(options.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(options.status().message()), HasSubstr("--max_list_rows"));
  absl::SetFlag(&FLAGS_max_list_rows, 1);
  absl::SetFlag(&FLAGS_max_list_duration_ms, -1);
  options = SidecarOptionsFromFlags();
  EXPECT_EQ(options.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(options.status().message()), HasSubstr("--max_list_duration_ms"));
  absl::SetFlag(&FLAGS_max_list_duration_ms, 1);
  absl::SetFlag(&FLAGS_max_watches, 0);
  options = SidecarOptionsFromFlags();
  EXPECT_THAT(std::string(options.status().message()), HasSubstr("--max_watches"));
  absl::SetFlag(&FLAGS_max_watches, 1);
  absl::SetFlag(&FLAGS_watch_progress_interval_ms, 0);
  options = SidecarOptionsFromFlags();
  EXPECT_THAT(std::string(options.status().message()), HasSubstr("--watch_progress_interval_ms"));
}

}  // namespace
}  // namespace ctlstore::sidecar
