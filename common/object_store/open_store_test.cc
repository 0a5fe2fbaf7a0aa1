#include "common/object_store/open_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"

namespace ctlstore::object_store {
namespace {

TEST(OpenStoreTest, OpensWhatTheUrlSays) {
  for (const char* text : {"file:///tmp/none", "s3://bucket/prefix", "http://127.0.0.1:1/a"}) {
    const auto url = ParseStoreUrl(text);
    ASSERT_TRUE(url.ok()) << url.status();
    const auto store = OpenStore(*url, {});
    ASSERT_TRUE(store.ok()) << store.status();
    EXPECT_EQ((*store)->name(), text);
  }
}

TEST(OpenStoreTest, OptionsThatMakeNoSenseAreRefused) {
  const auto url = ParseStoreUrl("file:///tmp/none");
  ASSERT_TRUE(url.ok()) << url.status();
  const std::vector<std::pair<std::string, std::function<void(StoreOptions*)>>> cases = {
      {"s3_endpoint", [](StoreOptions* o) { o->s3_endpoint = "127.0.0.1:9000"; }},
      {"s3_endpoint", [](StoreOptions* o) { o->s3_endpoint = "https://host/bucket"; }},
      {"s3_endpoint", [](StoreOptions* o) { o->s3_endpoint = "s3://bucket"; }},
      {"s3_region", [](StoreOptions* o) { o->s3_region = "eu west"; }},
      {"s3_part_bytes", [](StoreOptions* o) { o->s3_part_bytes = 1 << 20; }},
      {"s3_part_bytes", [](StoreOptions* o) { o->s3_part_bytes = int64_t{2} << 30; }},
      {"s3_parallel_parts", [](StoreOptions* o) { o->s3_parallel_parts = 0; }},
      {"object_store_ca_file", [](StoreOptions* o) { o->ca_file = "/none/ca.pem"; }},
      {"object_store_max_attempts", [](StoreOptions* o) { o->max_attempts = 0; }},
      {"object_store_stall_seconds",
       [](StoreOptions* o) { o->stall_timeout = absl::ZeroDuration(); }},
      {"connect_timeout", [](StoreOptions* o) { o->connect_timeout = absl::ZeroDuration(); }},
      {"min_bytes_per_second", [](StoreOptions* o) { o->min_bytes_per_second = -1; }},
      {"min_retry_pause", [](StoreOptions* o) { o->min_retry_pause = absl::ZeroDuration(); }},
      {"max_retry_pause", [](StoreOptions* o) { o->max_retry_pause = absl::Milliseconds(1); }},
  };
  for (const auto& [name, change] : cases) {
    StoreOptions options;
    options.s3_endpoint = "https://host:9000";
    change(&options);
    const absl::Status status = OpenStore(*url, options).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << name;
    EXPECT_TRUE(absl::StartsWith(status.message(), name + ": ")) << status;
  }
}

}  // namespace
}  // namespace ctlstore::object_store
