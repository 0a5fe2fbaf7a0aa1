#include "common/rpc/call_metrics.h"

#include <gtest/gtest.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/rpc/testing/scrape.h"

namespace ctlstore::rpc {
namespace {

testing::Metrics Read(const prometheus::Registry& registry) {
  auto metrics =
      testing::Metrics::Parse(prometheus::TextSerializer().Serialize(registry.Collect()));
  EXPECT_TRUE(metrics.ok()) << metrics.status();
  return *std::move(metrics);
}

size_t CountSamples(const testing::Metrics& metrics, absl::string_view prefix) {
  size_t count = 0;
  for (const auto& [sample, value] : metrics.samples()) {
    if (absl::StartsWith(sample, prefix)) ++count;
  }
  return count;
}

TEST(CallMetricsTest, CountsCallsByMethodAndCode) {
  prometheus::Registry registry;
  CallMetrics calls("grpc", &registry);
  calls.Record("Mutate", absl::StatusCode::kOk, absl::Milliseconds(3));
  calls.Record("Mutate", absl::StatusCode::kOk, absl::Milliseconds(40));
  calls.Record("Mutate", absl::StatusCode::kResourceExhausted, absl::Microseconds(20));
  calls.Record("GetTable", absl::StatusCode::kOk, absl::Microseconds(70));
  const testing::Metrics metrics = Read(registry);
  EXPECT_EQ(
      metrics.Get(R"(ctlstore_calls_total{api="grpc",code="OK",method="Mutate"})").value_or(0), 2);
  EXPECT_EQ(metrics
                .Get(R"(ctlstore_calls_total{api="grpc",code="RESOURCE_EXHAUSTED",)"
                     R"(method="Mutate"})")
                .value_or(0),
            1);
  EXPECT_EQ(
      metrics.Get(R"(ctlstore_calls_total{api="grpc",code="OK",method="GetTable"})").value_or(0),
      1);
  // What did not happen is not there.
  EXPECT_EQ(CountSamples(metrics, "ctlstore_calls_total"), 3);
}

TEST(CallMetricsTest, PutsDurationsInBucketsOfSeconds) {
  prometheus::Registry registry;
  CallMetrics calls("grpc", &registry);
  for (const absl::Duration duration :
       {absl::Microseconds(20), absl::Milliseconds(3), absl::Milliseconds(3), absl::Seconds(11)}) {
    calls.Record("Mutate", absl::StatusCode::kOk, duration);
  }
  const testing::Metrics metrics = Read(registry);
  const auto bucket = [&](const std::string& bound) {
    return metrics
        .Get(absl::StrCat("ctlstore_call_seconds_bucket{api=\"grpc\",le=\"", bound,
                          "\",method=\"Mutate\"}"))
        .value_or(-1);
  };
  EXPECT_EQ(bucket("5e-05"), 1);
  EXPECT_EQ(bucket("0.0025"), 1);
  EXPECT_EQ(bucket("0.005"), 3);
  EXPECT_EQ(bucket("10"), 3);
  EXPECT_EQ(bucket("+Inf"), 4);
  EXPECT_DOUBLE_EQ(
      metrics.Get(R"(ctlstore_call_seconds_sum{api="grpc",method="Mutate"})").value_or(0),
      11.00602);
}

TEST(CallMetricsTest, ADurationBelowNothingCountsAsNothing) {
  prometheus::Registry registry;
  CallMetrics calls("grpc", &registry);
  calls.Record("Mutate", absl::StatusCode::kOk, absl::Seconds(-5));
  const testing::Metrics metrics = Read(registry);
  EXPECT_EQ(metrics.Get(R"(ctlstore_call_seconds_sum{api="grpc",method="Mutate"})").value_or(-1),
            0);
  EXPECT_EQ(metrics.Get(R"(ctlstore_call_seconds_count{api="grpc",method="Mutate"})").value_or(-1),
            1);
}

TEST(CallMetricsTest, ApisShareTheirNames) {
  prometheus::Registry registry;
  CallMetrics grpc("grpc", &registry);
  CallMetrics http("http", &registry);
  grpc.Record("Mutate", absl::StatusCode::kOk, absl::Milliseconds(1));
  http.Record("POST /families/{family}", absl::StatusCode::kAlreadyExists, absl::Milliseconds(1));
  // Read() would refuse a family that comes twice.
  const testing::Metrics metrics = Read(registry);
  EXPECT_EQ(metrics
                .Get(R"(ctlstore_calls_total{api="http",code="ALREADY_EXISTS",)"
                     R"(method="POST /families/{family}"})")
                .value_or(0),
            1);
}

TEST(CallMetricsTest, LabelsAreBounded) {
  prometheus::Registry registry;
  CallMetrics calls("http", &registry);
  calls.Record("GET /first", absl::StatusCode::kOk, absl::Milliseconds(1));
  for (int i = 0; i < 1000; ++i) {
    calls.Record(absl::StrCat("GET /", i), absl::StatusCode::kOk, absl::Milliseconds(1));
  }
  for (int code = -3; code < 100; ++code) {
    calls.Record("GET /first", static_cast<absl::StatusCode>(code), absl::Milliseconds(1));
  }
  const testing::Metrics metrics = Read(registry);
  // 199 others keep their names, and 17 codes there are.
  EXPECT_EQ(metrics.Get(R"(ctlstore_calls_total{api="http",code="OK",method="other"})").value_or(0),
            1000 - 199);
  EXPECT_EQ(
      metrics.Get(R"(ctlstore_calls_total{api="http",code="OK",method="GET /first"})").value_or(0),
      2);
  EXPECT_EQ(metrics.Get(R"(ctlstore_calls_total{api="http",code="UNKNOWN",method="GET /first"})")
                .value_or(0),
            3 + 1 + 83);
  EXPECT_EQ(CountSamples(metrics, "ctlstore_calls_total"), 201 + 16);
}

TEST(CallMetricsTest, ThreadsLoseNoCall) {
  constexpr int kThreads = 8;
  constexpr int kCalls = 5000;
  prometheus::Registry registry;
  CallMetrics calls("grpc", &registry);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&calls] {
      for (int i = 0; i < kCalls; ++i) {
        calls.Record(i % 2 == 0 ? "A" : "B", static_cast<absl::StatusCode>(i % 3),
                     absl::Microseconds(i));
      }
    });
  }
  while (Read(registry).samples().empty()) {
  }
  for (std::thread& thread : threads) thread.join();
  const testing::Metrics metrics = Read(registry);
  double total = 0;
  for (const auto& [sample, value] : metrics.samples()) {
    if (absl::StartsWith(sample, "ctlstore_calls_total")) total += value;
  }
  EXPECT_EQ(total, kThreads * kCalls);
  EXPECT_EQ(metrics.Get(R"(ctlstore_call_seconds_count{api="grpc",method="A"})").value_or(0),
            kThreads * kCalls / 2);
}

}  // namespace
}  // namespace ctlstore::rpc
